"""From a device to measurements, and on to its latency table.

Nothing here exports by itself or knows a runtime: models come from `hwnat.targets`.
"""
