"""Weights: elastic networks, their training, adaptation and the accuracy of their subnets.

Nothing here depends on latency or search: `hwnat.records` computes costs, `hwnat.search` chooses.
"""
