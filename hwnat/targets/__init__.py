"""Targets: a file format and a runtime each; they export, check parity and time.

Exporting needs torch, timing needs the runtime alone; both are imported where they are used.
"""
