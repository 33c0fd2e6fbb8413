"""The latency table: a file a person can diff and a program cannot misread."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from hwnat.errors import DataError, TableMismatchError, UncoveredOpError
from hwnat.records import parse
from hwnat.records.device import TimingProtocol
from hwnat.records.measurement import Conditions, Setup, plain
from hwnat.records.op import OpSpec
from hwnat.records.parse import is_name
from hwnat.records.write import write_text
from hwnat.table.calibrate import Calibration, NetworkCheck
from hwnat.table.entry import MAX_NS, Effort, Entry, FittedModel, Origin, interval_ns
from hwnat.table.nearest import nearest_keys

# Format history. Never edit an entry; add one and a migration.
#   1  nanoseconds per block, calibration and validation on whole networks
#   2  an interval for each entry; tables of operators, imported and transferred tables; models
TABLE_SCHEMA: Final = 2
#: An operation may take no longer than starting a run, but not so many, if they are over half.
_MOST_VANISHED: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Latencies of operations on one device with one runtime, of a space or of any networks.

    Attributes:
        setup: device, runtime and protocol. Values that an imported table does not state are 0
            or empty.
        protocol: how hwnat measured; None for an imported or estimated table.
        space: the space whose blocks these are; None for the operators of any network.
        classes: outputs of the classifier; None without a space.
        resolutions: those of `space` that are covered.
        reference_ns: long-run median of the reference model; None without a reference.
        overhead_ns: time to start a run. A network pays it once, so entries do not include it.
        entries: operation key to latency.
        calibration: how sums of entries become latencies of networks.
        validation: measured networks that were not used for the calibration.
        conditions: before the first and after the last measurement.
        hwnat: version that built it.
        created: UTC, ISO 8601.
        origin: the imported files; None for other tables.
        sources: ids of the tables that entries were transferred from.
        models: regressors for operations without an entry.
        effort: timings of a table that was not timed in full; None for other tables.
        doubts: reasons not to trust it, such as a fit that misses its own networks.
    """

    setup: Setup
    protocol: TimingProtocol | None
    space: str | None
    classes: int | None
    resolutions: tuple[int, ...]
    granularity: Literal["block", "operator"]
    reference_ns: int | None
    overhead_ns: int
    entries: Mapping[str, Entry]
    calibration: Calibration
    validation: tuple[NetworkCheck, ...]
    conditions: tuple[Conditions | None, Conditions | None]
    hwnat: str
    created: str
    origin: Origin | None = None
    sources: tuple[str, ...] = ()
    models: tuple[FittedModel, ...] = ()
    effort: Effort | None = None
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for wrong, what in self._problems():
            if wrong:
                raise DataError(what)

    def _problems(self) -> Iterator[tuple[bool, str]]:
        """Yield what may be wrong, and how a message says it."""
        yield not self.entries, "a table needs entries"
        if self.reference_ns is not None:
            reference = f"the latency of the reference model is {self.reference_ns} ns"
            yield not 0 < self.reference_ns < MAX_NS, reference
        yield not 0 <= self.overhead_ns < MAX_NS, f"the overhead is {self.overhead_ns} ns"
        known = (self.space is None) == (self.classes is None)
        yield not known, f"space {self.space} with {self.classes} classes is not possible"
        if self.space is not None and self.classes is not None:
            yield not is_name(self.space), f"{self.space!r:.80} is not the name of a space"
            yield self.classes < 1, f"a classifier of {self.classes} classes is not possible"
            yield not self.resolutions, "a table of a space needs the resolutions it covers"
        sizes = f"resolutions {self.resolutions!s:.80} are not positive"
        yield min(self.resolutions, default=1) < 1, sizes
        timed = [entry.p50_ns for entry in self.entries.values() if entry.provenance == "measured"]
        vanished = timed.count(1)
        yield (
            vanished > _MOST_VANISHED and 2 * vanished > len(timed),
            f"the overhead of {self.overhead_ns} ns takes {vanished} of {len(timed)} measured "
            "entries to 1 ns, so it is wrong; profile again with another --store",
        )

    def __repr__(self) -> str:
        return f"LatencyTable({self.name}, {len(self.entries)} entries)"

    @property
    def table_id(self) -> str:
        """Sixteen hexadecimal digits of the content's hash."""
        return _digest(_plain(self))

    @property
    def name(self) -> str:
        """Name of this table in messages."""
        setup = self.setup
        words = (setup.target, setup.delegate, setup.precision, self.space or "operators")
        return f"{setup.device}/{'-'.join(filter(None, words))}"

    def of_space(self) -> tuple[str, int]:
        """Return the name of the table's space and the outputs of its classifier.

        Raises:
            TableMismatchError: the table holds operators of any network.
        """
        if self.space is None or self.classes is None:
            msg = (
                f"Table {self.name} holds operators of no particular space; use a table of a space."
            )
            raise TableMismatchError(msg)
        return self.space, self.classes

    def timed_as(self) -> tuple[TimingProtocol, int]:
        """Return the protocol and the reference latency, in ns.

        Raises:
            TableMismatchError: hwnat did not measure the table.
        """
        if self.protocol is None or self.reference_ns is None:
            msg = (
                f"Table {self.name} was not measured by hwnat, so nothing can be timed on its "
                f"scale; measure one with: hwnat profile --device {self.setup.device}"
            )
            raise TableMismatchError(msg)
        return self.protocol, self.reference_ns

    @property
    def half_width(self) -> float | None:
        """Relative half-width of a network's 90 % interval.

        None from fewer than nine networks, and for operators of any network, from none.
        """
        half = self.calibration.half_width(unseen=self.validation)
        if half is None and self.granularity == "operator":
            half = self.calibration.few_half_width(unseen=self.validation)
        return half

    def lookup(self, key: str) -> Entry:
        """Return the entry of an operation.

        Raises:
            UncoveredOpError: there is none; the message says how to measure it.
        """
        try:
            return self.entries[key]
        except KeyError:
            raise self.uncovered(key) from None

    def sum_ns(self, keys: Iterable[str]) -> int:
        """Return the overhead plus the entries of a network's operations, before calibration.

        Raises:
            UncoveredOpError: one of them has no entry.
        """
        return self.overhead_ns + sum(self.lookup(key).p50_ns for key in keys)

    def uncovered(self, key: str, *, resolution: int | None = None) -> UncoveredOpError:
        """Return the error for an operation that is missing, by itself or with a resolution."""
        near = nearest_keys(key, self.entries)
        sizes = {*self.resolutions, *([] if resolution is None else [resolution])}
        argv = ["hwnat", "profile", "--device", self.setup.device]
        if self.space is not None:
            argv += ["--space", self.space, "--classes", str(self.classes)]
        argv += [word for size in sorted(sizes) for word in ("--resolution", str(size))]
        if resolution is None:
            argv += ["--op", key]
        return UncoveredOpError(key, table=self.name, nearest=near, remedy=shlex.join(argv))

    def save(self, path: Path) -> None:
        """Write the table in one step; equal tables give equal bytes."""
        write_text(path, self.text)

    @property
    def text(self) -> str:
        """The file's content: sorted keys, one entry a line."""
        content = _plain(self)
        content |= {"schema": TABLE_SCHEMA, "table_id": _digest(content)}
        lines = [f"{json.dumps(key)}: {_block(content[key])}" for key in sorted(content)]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def load_table(path: str | Path) -> LatencyTable:
    """Read a table and check that it is whole, of this schema and unchanged since it was built.

    Raises:
        DataError: it is missing, truncated, edited, or holds an impossible value.
        TableMismatchError: it has another schema.
    """
    where = f"Table {path}"
    content = parse.strict_json(parse.read_text(Path(path), what="latency table"), where=where)
    if not isinstance(content, dict) or "schema" not in content:
        msg = f"{where}: not a latency table; build one with: hwnat profile."
        raise DataError(msg)
    schema, claimed = content.pop("schema"), content.pop("table_id", None)
    if type(schema) is not int or schema not in (1, TABLE_SCHEMA):
        msg = (
            f"{where}: schema {schema!r:.40}; this hwnat reads {TABLE_SCHEMA}. Build it again "
            "with: hwnat table build"
        )
        raise TableMismatchError(msg)
    digest = _digest(content)
    if schema == 1:
        _migrate(content, where=where)
    table = parse.record(LatencyTable, content, where=where)
    _check_keys(table, where=where)
    if claimed != digest:
        msg = (
            f"{where}: content does not match its table_id {claimed!r:.40}; it was edited or "
            "damaged. Build it again with: hwnat table build"
        )
        raise DataError(msg)
    return table


def _check_keys(table: LatencyTable, *, where: str) -> None:
    """Refuse entries of anything that is not an operation."""
    try:
        for key in table.entries:
            OpSpec.from_key(key)
    except DataError as refused:
        msg = f"{where}: entries: {refused}"
        raise DataError(msg) from refused


def _migrate(content: dict[str, Any], *, where: str) -> None:
    """Bring a table of schema 1 to schema 2: intervals follow from spread and rounds."""
    try:
        rounds = content["protocol"]["rounds"]
        for row in content["entries"].values():
            row["low_ns"], row["high_ns"] = interval_ns(row["p50_ns"], row["spread"], rounds)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as damage:
        msg = (
            f"{where}: not a table of schema 1 ({damage!r:.80}). Build it again with: "
            "hwnat table build"
        )
        raise DataError(msg) from damage


def _plain(table: LatencyTable) -> dict[str, Any]:
    """Return the table's content as JSON decodes it, so that hashes survive a round trip."""
    decoded: dict[str, Any] = json.loads(json.dumps(plain(table), allow_nan=False))
    return decoded


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _block(value: object) -> str:
    """Format a value on one line, or a line for each member if there are many."""
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        rows = [f"  {json.dumps(k)}: {json.dumps(value[k], sort_keys=True)}" for k in sorted(value)]
        return "{\n" + ",\n".join(rows) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(row, sort_keys=True)}" for row in value) + "\n]"
    return json.dumps(value, sort_keys=True)


def default_path(table: LatencyTable) -> Path:
    """Return where a table belongs in a repository."""
    return Path("latency_tables") / f"{table.name}.json"
