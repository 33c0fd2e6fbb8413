"""Hardware-aware deployment toolkit: measure a device, predict, search, export.

The stages are importable one by one (`hwnat.records`, `hwnat.table`, `hwnat.search`, ...);
this package itself imports nothing until asked, so that a lab host never pays for a framework it
does not use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnat.table.lookup import load_table

__all__ = ["__version__", "load_table"]

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "load_table":
        from hwnat.table.lookup import load_table

        return load_table
    msg = f"module 'hwnat' has no attribute '{name}'"
    raise AttributeError(msg)
