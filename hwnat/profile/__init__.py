"""From a device to measurements, and on to its latency table.

It exports no models and knows no runtime: `hwnat.targets` does that.
"""
