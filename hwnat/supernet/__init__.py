"""Weights: elastic networks, their training, adaptation and the accuracy of their subnets.

Knows no latency and no search; costs come from `hwnat.records`, choices from `hwnat.search`.
"""
