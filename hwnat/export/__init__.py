"""Chosen networks as files that ship: written, compared with PyTorch, scored and timed.

It neither chooses nor trains. A file that differs from PyTorch is an error, not a warning.
"""
