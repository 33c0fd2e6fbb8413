"""Readers of published latency formats, found through the entry-point group `hwnat.importers`.

Each returns an `Imported`: what the files hold, what was left out and why. None guesses a value.
"""
