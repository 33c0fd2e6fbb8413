"""The latency table: a file a person can diff and a program cannot misread."""

import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

from hwnat.errors import DataError, TableMismatchError, UncoveredOpError
from hwnat.records import parse
from hwnat.records.device import TimingProtocol
from hwnat.records.measurement import Conditions, Setup
from hwnat.records.store import write_text
from hwnat.table.calibrate import Calibration, NetworkCheck

# Format history. Never edit an entry; add one and a migration.
#   1  nanoseconds per block, calibration and validation on whole networks
TABLE_SCHEMA: Final = 1

#: Above an hour; sums of so many nanoseconds still fit into 64 bits with room for a count.
MAX_NS: Final = 1 << 42

Provenance = Literal["measured", "interpolated", "transferred", "imported", "estimated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Latency of one operation.

    Attributes:
        p50_ns: median over the visits of (operation / reference model), times the reference's
            long-run median, less the table's overhead.
        p10_ns: tenth percentile of single runs on the same scale; `p90_ns` likewise.
        n: runs that went into it.
        spread: interquartile range of the visits' ratios over their median.
    """

    p10_ns: int
    p50_ns: int
    p90_ns: int
    n: int
    spread: float
    provenance: Provenance = "measured"

    def __post_init__(self) -> None:
        if not 0 < self.p10_ns <= self.p50_ns <= self.p90_ns < MAX_NS or self.n < 1:
            msg = f"latencies {self.p10_ns}, {self.p50_ns}, {self.p90_ns} ns of {self.n} runs"
            raise DataError(msg + " are not those of a measurement")
        if not (math.isfinite(self.spread) and self.spread >= 0):
            msg = f"spread {self.spread} is not possible"
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Latencies of a space's operations on one device with one runtime.

    Attributes:
        setup: device, runtime and protocol: what the numbers mean.
        resolutions: those of `space` that are covered.
        reference_ns: long-run median of the reference model.
        overhead_ns: what starting a run takes; a network pays it once, so no entry holds it.
        entries: operation key to latency.
        calibration: how sums of entries become latencies of networks.
        validation: networks that neither entries nor calibration have seen.
        conditions: at the first and after the last measurement.
        hwnat: version that built it.
        created: UTC, ISO 8601.
    """

    setup: Setup
    protocol: TimingProtocol
    space: str
    classes: int
    resolutions: tuple[int, ...]
    granularity: Literal["block", "operator"]
    reference_ns: int
    overhead_ns: int
    entries: Mapping[str, Entry]
    calibration: Calibration
    validation: tuple[NetworkCheck, ...]
    conditions: tuple[Conditions | None, Conditions | None]
    hwnat: str
    created: str

    def __post_init__(self) -> None:
        if not (self.entries and self.reference_ns > 0 and 0 <= self.overhead_ns < MAX_NS):
            msg = "a table needs entries, a reference latency and an overhead"
            raise DataError(msg)

    @property
    def table_id(self) -> str:
        """Sixteen hexadecimal digits of the content's hash."""
        return _digest(_plain(self))

    @property
    def name(self) -> str:
        """What messages call this table."""
        setup = self.setup
        return f"{setup.device}/{setup.target}-{setup.precision}-{self.space}"

    def lookup(self, key: str) -> Entry:
        """Return the latency of an operation.

        Raises:
            UncoveredOpError: it was not measured; the message says how to measure it.
        """
        try:
            return self.entries[key]
        except KeyError:
            raise self.uncovered(key) from None

    def uncovered(self, key: str, *, resolution: int | None = None) -> UncoveredOpError:
        """Return the error for an operation that is missing, by itself or with a resolution."""
        kind = key.partition("|")[0]
        same = [each for each in self.entries if each.startswith(f"{kind}|")]
        near = get_close_matches(key, same or self.entries, n=3, cutoff=0.0)
        sizes = {*self.resolutions, *([] if resolution is None else [resolution])}
        argv = ["hwnat", "profile", "--device", self.setup.device, "--space", self.space]
        argv += ["--classes", str(self.classes)]
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
    if (schema := content.pop("schema")) != TABLE_SCHEMA:
        msg = f"{where}: schema {schema!r}; this hwnat reads {TABLE_SCHEMA}. Build it again with: "
        raise TableMismatchError(msg + "hwnat table build.")
    claimed = content.pop("table_id", None)
    table = parse.record(LatencyTable, content, where=where)
    if claimed != table.table_id:
        msg = f"{where}: content does not match its table_id {claimed!r}; it was edited or damaged."
        raise DataError(msg + " Build it again with: hwnat table build.")
    return table


def _plain(table: LatencyTable) -> dict[str, Any]:
    """Return the table's content as JSON decodes it, so that hashes survive a round trip."""
    decoded: dict[str, Any] = json.loads(json.dumps(asdict(table), allow_nan=False))
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
