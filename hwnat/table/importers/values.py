"""Strict parsing of published latencies: numbers, units and JSON with repeated keys."""

import json
import re
from math import isfinite
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.table.entry import MAX_NS, Z90, Entry
from hwnat.table.importers.base import Source, Unit

#: Nanoseconds in each unit.
NS: Final[dict[Unit, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
#: Interquartile range of a normal distribution, in standard deviations.
IQR: Final = 1.349
_MOST_NAME: Final = 200


class NotMeasuredError(DataError):
    """A value in the place of a latency that is not a latency."""


def number(value: object, *, where: str) -> float:
    """Return a finite number; text must be a plain decimal.

    Args:
        value: the decoded value.
        where: file, line and key, for messages.

    Raises:
        DataError: the value is not a number, or is NaN or infinite.

    >>> number("1.5e3", where="f:1")
    1500.0
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        plain, value = True, value.strip()
    result = _float(value) if plain else float("nan")
    if not isfinite(result):
        msg = f"{where}: {value!r:.60} is not a finite number. Correct it or remove the entry."
        raise NotMeasuredError(msg)
    return result


def _float(value: Any) -> float:  # noqa: ANN401 - an int, a float or its text
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def positive(value: object, *, where: str) -> float:
    """Return a finite number above zero.

    Raises:
        DataError: the value is not one; the message explains the usual meaning of -1 and 0.
    """
    result = number(value, where=where)
    if result <= 0:
        msg = (
            f"{where}: {value!r:.60} is not a latency; -1 or 0 often means 'not measured'. "
            "Remove the entry, or measure it."
        )
        raise NotMeasuredError(msg)
    return result


def to_ns(value: object, unit: Unit, *, where: str) -> int:
    """Convert a latency to whole nanoseconds.

    Raises:
        DataError: it is not a latency, or not between half a nanosecond and an hour (wrong unit).
    """
    ns = positive(value, where=where) * NS[unit]
    if not 0.5 < ns < MAX_NS:
        msg = f"{where}: {value!r:.60} {unit} is out of range; is the unit right? Set --unit."
        raise DataError(msg)
    return round(ns)


def imported_entry(mean_ns: int, *, std_ns: float = 0.0, n: int = 1) -> Entry:
    """Make the entry of a published mean.

    The interval is mean -/+ 1.645 std. It is not divided by the root of `n`, because runs of one
    process are not independent. Without a standard deviation its width is 0.
    """
    half = round(Z90 * std_ns)
    low_ns, high_ns = max(1, mean_ns - half), min(MAX_NS - 1, mean_ns + half)
    return Entry(
        p10_ns=low_ns,
        p50_ns=mean_ns,
        p90_ns=high_ns,
        low_ns=low_ns,
        high_ns=high_ns,
        n=n,
        spread=round(IQR * std_ns / mean_ns, 4),
        provenance="imported",
    )


class Pairs(tuple[tuple[str, object], ...]):
    """The members of a JSON object in order, including repeated keys."""

    __slots__ = ()


def json_pairs(source: Source) -> Pairs:
    """Decode a JSON object, and objects nested in it, without losing repeated keys.

    NaN and infinities are returned as text, so that `number` can refuse them with their key.

    Raises:
        DataError: the content is truncated, or not a JSON object.
    """
    decoded = json_content(source)
    if not isinstance(decoded, Pairs):
        msg = f"{source.name}: expected an object of keys, not {type(decoded).__name__}."
        raise DataError(msg)
    return decoded


def json_content(source: Source) -> object:
    """Decode JSON with every object as `Pairs`; see `json_pairs`.

    Raises:
        DataError: it is truncated or not JSON, or a key is unprintable or over 200 characters.
    """
    try:
        return json.loads(source.text, object_pairs_hook=_pairs, parse_constant=str)
    except (ValueError, RecursionError) as damage:
        msg = f"{source.name}: not JSON, or truncated ({damage}). Get the file again."
        raise DataError(msg) from damage


def _pairs(pairs: list[tuple[str, object]]) -> Pairs:
    for key, _ in pairs:
        refuse_name(key)
    return Pairs(pairs)


def refuse_name(name: str) -> None:
    """Refuse a name that a message cannot show.

    Raises:
        ValueError: the name has control characters or half a surrogate pair, or is longer than 200
            characters.
    """
    if not name.isprintable() or len(name) > _MOST_NAME:
        msg = f"the name {name[:60]!r} is unprintable or longer than {_MOST_NAME} characters"
        raise ValueError(msg)
