"""Collect the results of an importer: entries, keys without an entry, and findings."""

from collections.abc import Sequence
from statistics import median, pstdev
from typing import Final

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.entry import MAX_NS, Entry
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
from hwnat.table.importers.values import NS, NotMeasuredError, imported_entry, number, to_ns

#: Real files have about 20,000 rows.
MOST_ROWS: Final = 50_000


class Intake:
    """Collects the rows of an importer; `done` returns the result.

    Args:
        request: the request to the importer.
        name: name of the importer.
        unit: unit of the format.
        sources: the files.
    """

    def __init__(
        self, request: Request, *, name: str, unit: Unit, sources: Sequence[Source]
    ) -> None:
        self.request = request
        self.unit: Unit = request.unit or unit
        self._name = name
        self._sources = tuple(sources)
        self._timings: dict[str, list[tuple[int, float, int]]] = {}
        self._places: dict[str, str] = {}
        self._unmapped: dict[str, str] = {}
        self._findings: list[Finding] = []
        self._rows = 0

    def option(self, name: str, default: str | None = None) -> str:
        """Return an option of the request.

        Raises:
            UsageError: the option is missing and has no default.
        """
        value = self.request.options.get(name, default)
        if value is None:
            msg = f"Format {self._name} needs an option: set --option {name}=…"
            raise UsageError(msg)
        return value

    def latency_ns(self, foreign: str, value: object, *, where: str) -> int | None:
        """Return a latency in ns; None, with a finding, if it is invalid.

        Raises:
            DataError: it is invalid and the request is not lenient.
        """
        self._count_row()
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
        """Add one latency; report a finding if the key occurs twice.

        Args:
            op: the operation of the foreign key.
            value: mean or median, in the unit of the intake.
            foreign: the key as spelt in the file.
            where: file and line.
            std: standard deviation in the same unit; None if the file has none.
            n: number of runs behind the value.

        Raises:
            DataError: the request is not lenient, and the value is not a latency or the key
                already has another value.
        """
        ns = self.latency_ns(foreign, value, where=where)
        if ns is None:
            self._unmapped[foreign] = "its value is no latency"
            return
        deviation = self.deviation_ns(std, where=f"{where}: {foreign}: std")
        count = number(n, where=f"{where}: {foreign}: count")
        if count < 1 or count != int(count):
            msg = f"{where}: {foreign}: {n!r:.60} is not a number of runs."
            raise DataError(msg)
        if before := self._timings.get(op.key):
            self._twice(op.key, before[0][0], ns, where=where)
            return
        self._timings[op.key] = [(ns, deviation, int(count))]
        self._places[op.key] = where

    def add_repeat(
        self, op: OpSpec, value: object, *, foreign: str, where: str, n: int = 1
    ) -> None:
        """Add one of several timings of the same work; the entry is their median.

        `n` is the number of runs behind the value.

        Raises:
            DataError: the value is not a latency and the request is not lenient.
        """
        ns = self.latency_ns(foreign, value, where=where)
        if ns is None:
            self._unmapped[foreign] = "its value is no latency"
            return
        self._timings.setdefault(op.key, []).append((ns, 0.0, n))
        self._places.setdefault(op.key, where)

    def leave_out(self, foreign: str, reason: str) -> None:
        """Record a foreign key without an entry and the reason."""
        self._count_row()
        self._unmapped.setdefault(foreign, reason)

    def find(self, rule: str, severity: Severity, *, where: str, key: str, message: str) -> None:
        """Record a finding.

        Raises:
            DataError: the finding is an error and the request is not lenient.
        """
        finding = Finding(rule=rule, severity=severity, where=where, key=key, message=message)
        if severity == "error" and not self.request.lenient:
            raise DataError(str(finding))
        self._findings.append(finding)

    def done(
        self,
        *,
        granularity: Granularity,
        space: tuple[str, int, tuple[int, ...]] | None = None,
        networks: Sequence[NetworkTotal] = (),
        facts: Facts | None = None,
    ) -> Imported:
        """Return the result.

        Args:
            granularity: granularity of the entries.
            space: name, classes and resolutions of a block table; None for other files.
            networks: whole networks with a measured latency.
            facts: facts about the runtime that the format or the files state.

        Raises:
            DataError: there are no entries; the message gives the first reason.
        """
        if not self._timings and not self.request.lenient:
            why = next((f": {k:.80}: {r:.200}" for k, r in self._unmapped.items()), "")
            msg = (
                f"{self._sources[0].name}: nothing in it becomes an entry{why}. Is it of format "
                f"{self._name}?"
            )
            raise DataError(msg)
        name, classes, resolutions = space or (None, None, ())
        return Imported(
            format=self._name,
            device=self.request.device,
            unit=self.unit,
            sources=self._sources,
            granularity=granularity,
            entries={key: _entry(values) for key, values in sorted(self._timings.items())},
            places=dict(sorted(self._places.items())),
            unmapped=self._unmapped,
            findings=tuple(self._findings),
            space=name,
            classes=classes,
            resolutions=resolutions,
            networks=tuple(networks),
            facts=facts or Facts(),
        )

    def deviation_ns(self, std: object, *, where: str) -> float:
        """Return a standard deviation in ns; 0 if the file has none.

        Raises:
            DataError: it is negative or longer than an hour.
        """
        if std is None:
            return 0.0
        std_ns = number(std, where=where) * NS[self.unit]
        if not 0 <= std_ns < MAX_NS:
            msg = f"{where}: {std!r:.60} {self.unit} is not between 0 and 1 hour. Correct it."
            raise DataError(msg)
        return std_ns

    def _count_row(self) -> None:
        self._rows += 1
        if self._rows > MOST_ROWS:
            msg = (
                f"{self._sources[0].name}: over {MOST_ROWS:,} rows, the limit of one import. "
                "Split the file."
            )
            raise DataError(msg)

    def _twice(self, key: str, before_ns: int, ns: int, *, where: str) -> None:
        first = self._places[key]
        if before_ns == ns:
            message = f"occurs twice with the same value; {first} is kept"
            self.find("repeated-key", "warning", where=where, key=key, message=message)
            return
        message = (
            f"has another value at {first}: {before_ns / 1e6:g} and {ns / 1e6:g} ms; "
            "find out which is right and remove the other"
        )
        self.find("conflicting-values", "error", where=where, key=key, message=message)


def _entry(values: Sequence[tuple[int, float, int]]) -> Entry:
    """Summarise the timings of one key."""
    if len(values) == 1:
        ns, deviation, count = values[0]
        return imported_entry(ns, std_ns=deviation, n=count)
    series = [ns for ns, _, _ in values]
    return imported_entry(
        round(median(series)), std_ns=pstdev(series), n=sum(n for _, _, n in values)
    )
