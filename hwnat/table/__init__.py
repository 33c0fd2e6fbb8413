"""From measurements to latency tables: build, calibrate, write, read strictly, look up.

Nothing here predicts a network, and nothing is guessed: what was not measured is an error.
"""
