"""Nouns that cross the stages: operations, architectures, spaces, devices, measurements, files.

Arithmetic and data only. No module here imports a framework, talks to a device or times anything.
"""
