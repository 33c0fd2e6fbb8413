"""Records that all stages share: operations, architectures, spaces, devices, measurements, files.

This package holds data and arithmetic only. None of its modules imports a framework, talks to a
device or times anything.
"""
