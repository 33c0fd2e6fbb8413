"""Strict parsing shared by all importers: numbers, units, keys that occur twice."""

import json
import re
from collections.abc import Sequence
from math import isfinite
from statistics import median, pstdev
from typing import Any, Final

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import (
    Facts,
    Finding,
    Granularity,
    Imported,
    NetworkTotal,
    Request,
    Severity,
    Source,
    Unit,
)
from hwnat.table.lookup import MAX_NS, Entry

_NS: Final[dict[Unit, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
#: Half the width of a normal distribution's central 90 %, and its interquartile range, in
#: standard deviations.
Z90: Final = 1.645
IQR: Final = 1.349
#: Above this ratio of standard deviation to mean a measurement says little.
MAX_STD: Final = 0.2


class NotMeasuredError(DataError):
    """A value that stands where a latency belongs and is none."""


def number(value: object, *, where: str) -> float:
    """Return a finite number; text must be a plain decimal.

    Args:
        value: what the decoder returned.
        where: file, line and key, named in the message.

    Raises:
        DataError: it is something else, NaN or infinite.

    >>> number("1.5e3", where="f:1")
    1500.0
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        plain, value = True, value.strip()
    found = _float(value) if plain else float("nan")
    if not isfinite(found):
        msg = f"{where}: {value!r:.60} is not a finite number. Correct it or take the entry out."
        raise NotMeasuredError(msg)
    return found


def _float(value: Any) -> float:  # noqa: ANN401 - an int, a float or the text of one
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def positive(value: object, *, where: str) -> float:
    """Return a finite number over zero.

    Raises:
        DataError: it is not; the message says what -1 and 0 usually mean.
    """
    found = number(value, where=where)
    if found <= 0:
        msg = f"{where}: {value!r:.60} is no latency; -1 or 0 often stands for 'not measured'."
        raise NotMeasuredError(msg + " Take the entry out, or measure it.")
    return found


def to_ns(value: object, unit: Unit, *, where: str) -> int:
    """Convert a latency to whole nanoseconds.

    Raises:
        DataError: it is no latency, below half a nanosecond, or over an hour: a wrong unit.
    """
    ns = positive(value, where=where) * _NS[unit]
    if not 0.5 < ns < MAX_NS:
        msg = f"{where}: {value!r:.60} {unit} is out of range; is the unit right? Give --unit."
        raise DataError(msg)
    return round(ns)


def imported_entry(mean_ns: int, *, std_ns: float = 0.0, n: int = 1) -> Entry:
    """Make the entry of a published mean.

    The interval is mean -/+ 1.645 std, not divided by the root of `n`: runs of one process are
    not independent. A file without a spread gives an interval without width.
    """
    half = round(Z90 * std_ns)
    return Entry(
        p10_ns=max(1, mean_ns - half),
        p50_ns=mean_ns,
        p90_ns=min(MAX_NS - 1, mean_ns + half),
        n=n,
        spread=round(IQR * std_ns / mean_ns, 4),
        provenance="imported",
    )


class Pairs(tuple[tuple[str, object], ...]):
    """The members of a JSON object in order, keys that occur twice included."""

    __slots__ = ()


def json_pairs(source: Source) -> Pairs:
    """Decode a JSON object without losing keys that occur twice; nested ones likewise.

    NaN and infinities come back as text, for `number` to refuse with their key.

    Raises:
        DataError: not JSON, truncated, or no object.
    """
    try:
        found = json.loads(source.text, object_pairs_hook=Pairs, parse_constant=str)
    except (ValueError, RecursionError) as damage:
        msg = f"{source.name}: not JSON, or truncated ({damage}); get the file again."
        raise DataError(msg) from damage
    if not isinstance(found, Pairs):
        msg = f"{source.name}: expected an object of keys, found {type(found).__name__}."
        raise DataError(msg)
    return found


class Intake:
    """Keeps account of what an importer meets; `done` makes the record.

    Args:
        request: as given to the importer.
        name: the importer's name.
        unit: the format's own unit.
        sources: the files.
    """

    def __init__(
        self, request: Request, *, name: str, unit: Unit, sources: Sequence[Source]
    ) -> None:
        self.request = request
        self.unit: Unit = request.unit or unit
        self._name = name
        self._sources = tuple(sources)
        self._found: dict[str, list[tuple[int, float, int]]] = {}
        self._places: dict[str, str] = {}
        self._unmapped: dict[str, str] = {}
        self._findings: list[Finding] = []

    def option(self, name: str, default: str | None = None) -> str:
        """Return an option of the request.

        Raises:
            UsageError: it is missing and has no default.
        """
        found = self.request.options.get(name, default)
        if found is None:
            msg = f"Format {self._name} needs an option: give --option {name}=…"
            raise UsageError(msg)
        return found

    def latency_ns(self, foreign: str, value: object, *, where: str) -> int | None:
        """Return a latency in ns; None, with a finding, if it is none and the request lenient.

        Raises:
            DataError: it is none.
        """
        try:
            return to_ns(value, self.unit, where=f"{where}: {foreign}")
        except NotMeasuredError as refused:
            if not self.request.lenient:
                raise
            message = str(refused).removeprefix(f"{where}: {foreign}: ")
            self.find("not-measured", "error", where=where, key=foreign, message=message)
            return None

    def add(
        self,
        op: OpSpec,
        value: object,
        *,
        foreign: str,
        where: str,
        std: object = None,
        n: object = 1,
    ) -> None:
        """Take in one latency; a key that comes twice is the same finding in every format.

        Args:
            op: what the foreign key means.
            value: mean or median, in the unit of the intake.
            foreign: the key as the file spells it.
            where: file and line.
            std: standard deviation in the same unit, if the file has one.
            n: runs that went into the value, if the file tells.

        Raises:
            DataError: a value that is no latency, or another one for the same key; not if the
                request is lenient.
        """
        ns = self.latency_ns(foreign, value, where=where)
        if ns is None:
            self._unmapped[foreign] = "its value is no latency"
            return
        deviation = self._deviation_ns(std, where=f"{where}: {foreign}: std")
        count = number(n, where=f"{where}: {foreign}: count")
        if count < 1 or count != int(count):
            msg = f"{where}: {foreign}: {n!r:.60} is no count of runs."
            raise DataError(msg)
        if before := self._found.get(op.key):
            self._twice(op.key, before[0][0], ns, where=where)
            return
        if deviation > MAX_STD * ns:
            message = f"standard deviation is {deviation / ns:.0%} of the mean, over {MAX_STD:.0%}:"
            message += " measure it again, or widen what you conclude from it"
            self.find("noisy", "warning", where=where, key=op.key, message=message)
        self._found[op.key] = [(ns, deviation, int(count))]
        self._places[op.key] = where

    def add_repeat(self, op: OpSpec, value: object, *, foreign: str, where: str) -> None:
        """Take in one of several timings of equal work; the entry will be their median.

        Raises:
            DataError: a value that is no latency; not if the request is lenient.
        """
        ns = self.latency_ns(foreign, value, where=where)
        if ns is None:
            self._unmapped[foreign] = "its value is no latency"
            return
        self._found.setdefault(op.key, []).append((ns, 0.0, 1))
        self._places.setdefault(op.key, where)

    def leave_out(self, foreign: str, reason: str) -> None:
        """Record a foreign key that gets no entry, and why."""
        self._unmapped.setdefault(foreign, reason)

    def find(self, rule: str, severity: Severity, *, where: str, key: str, message: str) -> None:
        """Record a finding.

        Raises:
            DataError: it is an error and the request is not lenient.
        """
        found = Finding(rule=rule, severity=severity, where=where, key=key, message=message)
        if severity == "error" and not self.request.lenient:
            raise DataError(str(found))
        self._findings.append(found)

    def done(
        self,
        *,
        granularity: Granularity,
        space: tuple[str, int, tuple[int, ...]] | None = None,
        networks: Sequence[NetworkTotal] = (),
        facts: Facts | None = None,
        licence: str = "",
    ) -> Imported:
        """Return the record.

        Args:
            granularity: of the entries.
            space: name, classes and resolutions, if this is a space's block table.
            networks: whole networks that the files call measured.
            facts: what the format or the files say about the runtime.
            licence: what is known of the terms.

        Raises:
            DataError: there is not one entry; the message gives the first reason.
        """
        if not self._found and not self.request.lenient:
            why = next((f": {k}: {r}" for k, r in self._unmapped.items()), "")
            msg = f"{self._sources[0].name}: nothing in it becomes an entry{why}. "
            raise DataError(msg + f"Is it of format {self._name}?")
        name, classes, resolutions = space or (None, None, ())
        return Imported(
            format=self._name,
            device=self.request.device,
            unit=self.unit,
            sources=self._sources,
            granularity=granularity,
            entries={key: _entry(values) for key, values in sorted(self._found.items())},
            places=dict(sorted(self._places.items())),
            unmapped=self._unmapped,
            findings=tuple(self._findings),
            space=name,
            classes=classes,
            resolutions=resolutions,
            networks=tuple(networks),
            facts=facts or Facts(),
            licence=licence,
        )

    def _deviation_ns(self, std: object, *, where: str) -> float:
        """Return a standard deviation in ns; none given is 0."""
        if std is None:
            return 0.0
        found = number(std, where=where)
        if found < 0:
            msg = f"{where}: {std!r:.60} is negative; is it the column you mean?"
            raise DataError(msg)
        return found * _NS[self.unit]

    def _twice(self, key: str, before_ns: int, ns: int, *, where: str) -> None:
        first = self._places[key]
        if before_ns == ns:
            message = f"stands there twice with one value; {first} is kept"
            self.find("repeated-key", "warning", where=where, key=key, message=message)
            return
        message = (
            f"has another value at {first}: {before_ns / 1e6:g} and {ns / 1e6:g} ms; "
            "find out which is right and take the other out"
        )
        self.find("conflicting-values", "error", where=where, key=key, message=message)


def _entry(values: Sequence[tuple[int, float, int]]) -> Entry:
    """Summarise the timings of one key."""
    if len(values) == 1:
        ns, deviation, count = values[0]
        return imported_entry(ns, std_ns=deviation, n=count)
    series = [ns for ns, _, _ in values]
    return imported_entry(round(median(series)), std_ns=pstdev(series), n=len(series))
