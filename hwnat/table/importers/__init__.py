"""Readers of published latency formats, found through the entry-point group `hwnat.importers`.

Each returns an `Imported`: entries, and the reasons for keys without one. No value is guessed.
"""
