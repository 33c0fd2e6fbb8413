"""Readers of published latency formats, found through the entry-point group `hwnat.importers`.

Each returns an `Imported`: the entries, the keys without an entry, and why. No value is guessed.
"""
