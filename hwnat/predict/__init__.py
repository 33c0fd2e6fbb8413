"""From a latency table to the latency of a whole network, or of many at once.

Nothing here measures, and nothing skips an operation that the table lacks.
"""
