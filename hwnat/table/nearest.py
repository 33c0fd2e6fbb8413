"""The operation keys that resemble one that is missing, for messages."""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from typing import Final

#: Keys that are compared letter by letter; a table may hold 100,000.
_COMPARED: Final = 100


def nearest_keys(key: str, keys: Iterable[str], *, count: int = 3) -> list[str]:
    """Return the keys most like `key`, the nearest first: those of its kind, if there are any.

    Time grows linearly with the number of keys: letters are compared only for the keys that have
    the most fields in common.

    >>> nearest_keys("mix|in=1x1x1x8|out=4", ["conv|in=1x1x1x8", "mix|in=1x1x1x9|out=4"])
    ['mix|in=1x1x1x9|out=4']
    """
    every = list(keys)
    kind = key.partition("|")[0]
    alike = [known for known in every if known.partition("|")[0] == kind] or every
    if len(alike) > _COMPARED:
        fields = set(key.split("|"))
        alike = nlargest(_COMPARED, alike, key=lambda known: len(fields & set(known.split("|"))))
    return get_close_matches(key, alike, n=count, cutoff=0.0)
