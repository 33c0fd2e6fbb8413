"""Search: archive, surrogate, evolution and the Pareto front of a space.

It does not train weights (`hwnat.supernet`), measure latency (`hwnat.profile`) or write model
files (`hwnat.export`).
"""
