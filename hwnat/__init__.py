"""Hardware-aware deployment toolkit: measure a device, predict, search, export.

The stages are importable one by one (`hwnat.records`, `hwnat.table`, `hwnat.search`, ...);
this package itself imports nothing, so that a lab host never pays for a framework it does not use.
"""

__version__ = "0.1.0"
