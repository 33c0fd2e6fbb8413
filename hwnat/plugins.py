"""Lookup of plug-ins through entry points. The built-in ones are registered in the same way.

Groups: `hwnat.spaces`, `hwnat.targets`, `hwnat.transports`, `hwnat.importers`, `hwnat.runners`.
This module looks a name up and loads the object. It does not cache, configure or log anything.
"""

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from hwnat.errors import UsageError


def names(group: str) -> tuple[str, ...]:
    """Return the sorted names registered in `group`."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


def load(group: str, name: str) -> Any:  # noqa: ANN401 - its type is the group's Protocol
    """Load the object registered as `name` in `group`.

    Raises:
        UsageError: no plug-in of that name is registered (the message lists the known names), or
            its package does not load.
    """
    kind = group.rpartition(".")[2].removesuffix("s")
    entries = entry_points(group=group, name=name)
    if not entries:
        known = names(group)
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        msg = f"Unknown {kind} '{name}'.{hint} Known: {', '.join(known) or 'none'}."
        raise UsageError(msg)
    entry = next(iter(entries))
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        msg = f"The {kind} '{name}' ({entry.value}) does not load: {error}. Reinstall its package."
        raise UsageError(msg) from error
