"""Targets: each one pairs a file format with the runtime that executes it.

Exporting needs torch; timing needs only the runtime. Both are imported where they are used.
"""
