"""Predict the latency of one whole network, or of many at once, from a latency table.

This package measures nothing, and it never skips an operation that the table lacks.
"""
