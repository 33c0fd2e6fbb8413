"""Measure a device and build its latency table.

`hwnat.targets` exports and runs the models.
"""
