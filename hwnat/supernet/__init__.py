"""Weights: elastic networks, their training, adaptation and the accuracy of their subnets.

It knows neither latency nor search: `hwnat.records` computes costs and `hwnat.search` chooses.
"""
