"""Chosen networks as files that ship: written, compared with PyTorch, scored and timed.

Chooses nothing and trains nothing; a file that differs from PyTorch is an error, not a warning.
"""
