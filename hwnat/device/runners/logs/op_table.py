"""The operator tables of TensorFlow Lite's and LiteRT's profilers, as text and as CSV.

A profile is a number of blocks, each of one graph: rows in run order, the costliest again, a
summary by type, and `N nodes observed`, which ends it. Three layouts: cells behind tabs, cells
padded with spaces (LiteRT's C API), cells behind `, ` (CSV). Only the header says which columns
there are: older generations have `start`, later ones do not.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from hwnat.device.runners.logs.output import NUMBER, Output, need_columns
from hwnat.device.runners.logs.record import OpTable, OpTime, Timing

_BANNER: Final = re.compile(r"=+ (.+?) =+")
_INIT: Final = re.compile(r"Profiling Info for Benchmark Initialization:")
_RUN: Final = re.compile(r"Operator-wise Profiling Info for Regular Benchmark Runs:")
_PRIMARY: Final = re.compile(r"Primary graph \(name: .*\).*")
_SUBGRAPH: Final = re.compile(r"Subgraph \(index: \d+, name: (.*?)\).*")
_DELEGATE: Final = re.compile(r"Delegate internal:\s*")
_OBSERVED: Final = re.compile(r"([0-9]{1,9}) nodes observed")
_EXECUTED: Final = re.compile(r"Number of nodes executed: ([0-9]{1,9})")
_TIMINGS: Final = re.compile(r"Timings \(microseconds\): (count=.*)")
_LEFT_OUT: Final = ("Summary by node type", "Delegate Statistics")
_STATS: Final = {"count", "first", "curr", "min", "max", "avg", "std", "p5", "median", "p95"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One printed row, with the texts it was read from, which rows of other tables repeat."""

    node_type: str
    name: str
    avg_ms: Decimal
    percent: Decimal
    cdf_percent: Decimal
    times_called: int


@dataclass(slots=True, kw_only=True)
class _Block:
    """One graph's tables while they are read."""

    table: OpTable
    table_name: str | None
    rows: list[Row]
    timing: Timing | None = None


@dataclass(slots=True, kw_only=True)
class Profile:
    """All blocks of one output.

    Attributes:
        layout: "text" (tabs), "padded" (spaces), "csv" or "csv-start".
        headed: what the output announced by a heading, `init` or `run`; `seen` is what came of it,
            `graphs` which tables.
        profiled: sum of the operators of a run.
    """

    layout: str = ""
    headed: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    graphs: set[tuple[OpTable, OpTable, str | None]] = field(default_factory=set)
    ops: list[OpTime] = field(default_factory=list)
    profiled: Timing | None = None
    left_out: list[str] = field(default_factory=list)


def read_stat(out: Output, text: str) -> tuple[Timing, dict[str, str]]:
    """Read `count=… first=… …` in microseconds: the timing, and the fields as they are printed."""
    parts = text.replace("(all same)", "").split()
    fields = dict(part.split("=", 1) for part in parts if part.count("=") == 1)
    if len(fields) != len(parts) or not set(fields) <= _STATS:
        out.wrong(f"{text!r:.80} is no list of figures that a run has")
    if "count" not in fields or "curr" not in fields:
        out.cut("the figures after 'count='")
    count = out.count(fields["count"], "count")
    names = ("first", "curr", "min", "avg", "max", "p5", "median", "p95")
    ns = {name: out.ns(fields[name], "us", name) for name in names if name in fields}
    if "avg" not in fields:  # A single run, or all runs took equally long.
        if not {"first", "min", "max", "std"}.isdisjoint(fields) or len(set(ns.values())) > 1:
            out.wrong(f"{text!r:.80} has no average")
        same = ns["curr"]
        timing = Timing(
            count=count, min_ns=same, avg_ns=same, median_ns=same, p95_ns=same, max_ns=same
        )
        return timing, fields
    missing = {"first", "min", "max", "std"} - set(fields)
    if missing:
        out.wrong(f"'{min(missing)}' is missing from {text!r:.80}")
    for name, value in ns.items():
        if not ns["min"] <= value * 1.00001 <= ns["max"] * 1.00002:
            out.wrong(f"{name} is {fields[name]}, outside of min to max")
    timing = Timing(
        count=count,
        min_ns=ns["min"],
        avg_ns=ns["avg"],
        median_ns=ns.get("median"),
        p95_ns=ns.get("p95"),
        max_ns=ns["max"],
        std_ns=out.ns_or_none(fields["std"], "us", "std") or 0,
    )
    return timing, fields


def read_profile(out: Output, lines: Sequence[str]) -> Profile:
    """Read all operator tables among `lines`, from which `INFO: ` prefixes were taken.

    Raises:
        DataError: a block does not reach its end, or contradicts itself.
    """
    profile = Profile()
    stage: OpTable = "run"
    table, name = stage, None
    reader = iter(lines)
    for line in reader:
        if _INIT.fullmatch(line) or _RUN.fullmatch(line):
            stage = "init" if _INIT.fullmatch(line) else "run"
            table, name = stage, None
            profile.headed.add(stage)
        elif _PRIMARY.fullmatch(line):
            table, name = stage, None
        elif found := _SUBGRAPH.fullmatch(line):
            table, name = "subgraph", found.group(1)
        elif _DELEGATE.fullmatch(line):
            table, name = "delegate", None
        elif line.startswith("=") or _OBSERVED.fullmatch(line):
            if (banner := _BANNER.fullmatch(line)) is None or banner.group(1) != "Run Order":
                out.wrong(f"{line!r:.80} outside of an operator table")
            _take(out, profile, _read_block(out, profile, reader, (table, name)), stage)
    for stage_name in sorted(profile.headed - profile.seen):
        out.cut(f"the operator table that it announces ({stage_name})")
    return profile


def _take(out: Output, profile: Profile, block: _Block, stage: OpTable) -> None:
    """Add a finished block to the profile."""
    table: OpTable = "init" if stage == "init" else block.table
    graph = (stage, block.table, block.table_name)
    if graph in profile.graphs:
        out.wrong(f"a second operator table of {graph}, or the line before it is damaged")
    profile.graphs.add(graph)
    profile.seen.add(stage)
    for row in block.rows:
        profile.ops.append(
            OpTime(
                table=table,
                table_name=block.table_name,
                node_type=row.node_type,
                name=row.name,
                avg_ns=out.ns_or_none(format(row.avg_ms, "f"), "ms", row.name),
                percent=float(row.percent),
                times_called=row.times_called,
            )
        )
    if table == "run" and block.timing is not None:
        profile.profiled = block.timing


def _read_block(
    out: Output, profile: Profile, reader: Iterator[str], graph: tuple[OpTable, str | None]
) -> _Block:
    """Read on from the banner `Run Order` to `N nodes observed`."""
    rows = _read_rows(out, profile, reader)
    block = _Block(table=graph[0], table_name=graph[1], rows=rows)
    if graph[0] != "subgraph":
        _check_shares(out, rows)
    while True:
        line = _next(out, reader, "'nodes observed' after an operator table")
        if banner := _BANNER.fullmatch(line):
            _read_other_table(out, profile, reader, (banner.group(1), rows))
        elif found := _EXECUTED.fullmatch(line) or _OBSERVED.fullmatch(line):
            if int(found.group(1)) != len(rows):
                out.wrong(f"'{line}', but its table has {len(rows)}")
            if _OBSERVED.fullmatch(line):
                return block
        elif found := _TIMINGS.fullmatch(line):
            block.timing = _read_timing(out, profile, found.group(1), graph[0])
        elif line and not line.startswith("Memory (bytes): "):
            out.wrong(f"{line!r:.80} inside of an operator table")


def _read_timing(out: Output, profile: Profile, text: str, table: OpTable) -> Timing | None:
    """Return the operators' sum per run; that of a subgraph or delegate may well be 0."""
    if profile.layout == "padded":  # LiteRT's C API counts operators there, not runs.
        profile.left_out.append("Timings of all operators")
        return None
    return read_stat(out, text)[0] if table == "run" else None


def _next(out: Output, reader: Iterator[str], missing: str) -> str:
    return line if (line := next(reader, None)) is not None else out.cut(missing)


def _read_other_table(
    out: Output, profile: Profile, reader: Iterator[str], known: tuple[str, Sequence[Row]]
) -> None:
    """Read a table that only repeats or sums up: `known` are its title and the rows."""
    title, rows = known
    if title.startswith("Top by"):
        _check_repeated(out, rows, _read_rows(out, profile, reader))
    elif title in _LEFT_OUT:
        profile.left_out.append(title)
        while _next(out, reader, f"the end of the table '{title}'"):
            pass
    else:
        out.wrong(f"'{title}' inside of an operator table")


def _read_rows(out: Output, profile: Profile, reader: Iterator[str]) -> list[Row]:
    """Read a header and the rows after it, up to a blank line."""
    header_line = next(reader, "")
    header, layout = _header(header_line)
    if profile.layout not in ("", layout):
        out.wrong("its operator tables have different layouts")
    profile.layout = layout
    need_columns(out, header, ("node type", "avg ms", "%", "cdf%", "times called", "name"))
    if header[0] != "node type" or header[-1] != "name" or len(set(header)) != len(header):
        out.wrong(f"{header_line!r:.80} is no header of an operator table")
    rows: list[Row] = []
    while line := _next(out, reader, "the blank line after an operator table"):
        rows.append(_row(out, header, _cells(out, line, layout, len(header))))
    return rows


def _header(line: str) -> tuple[list[str], str]:
    """Return the names of the columns, spelt as in text tables, and the layout."""
    if "[" in line:
        names = [name.lower() for name in re.findall(r"\[([^\]]+)\]", line)]
        return names, "text" if "\t" in line else "padded"
    names = [name.strip().replace("avg_ms", "avg ms") for name in line.split(", ")]
    return names, "csv-start" if "start" in names else "csv"


def _cells(out: Output, line: str, layout: str, width: int) -> list[str]:
    if layout == "text":
        first, *cells = line.split("\t")
        cells = [cell.strip() for cell in cells] if not first else []
    elif layout == "padded":
        cells = re.split(r"\s{2,}", line.strip())
    else:
        # Names and types may hold commas of their own; numbers do not.
        numbers = rf"((?:{NUMBER}%?, ){{{width - 2}}})"
        found = re.fullmatch(rf"(.+?), {numbers}(.*)", line)
        cells = [] if found is None else [found[1], *found[2].split(", ")[:-1], found[3]]
        # The later CSV writes tabs for commas in names.
        cells = [cell.replace("\t", ",") for cell in cells]
    if len(cells) != width:
        out.wrong(f"{line.strip()!r:.80} does not have the {width} cells of its table")
    return cells


def _row(out: Output, header: Sequence[str], cells: Sequence[str]) -> Row:
    by_name = dict(zip(header, cells, strict=True))
    for name in header[1:-1]:
        if ("%" in name) != by_name[name].endswith("%"):
            out.wrong(f"{name} is {by_name[name]!r:.40}, not in the unit of its column")
    numbers = {name: out.decimal(by_name[name].removesuffix("%"), name) for name in header[1:-1]}
    return Row(
        node_type=by_name["node type"],
        name=by_name["name"],
        avg_ms=numbers["avg ms"],
        percent=numbers["%"],
        cdf_percent=numbers["cdf%"],
        times_called=out.count(by_name["times called"], "times called"),
    )


def _check_shares(out: Output, rows: Sequence[Row]) -> None:
    """Refuse times that are not in the proportions of the percentages printed beside them."""
    if not rows:
        out.wrong("an operator table has no rows")
    weight = float(sum(row.avg_ms * row.times_called for row in rows))
    if not weight:
        out.wrong("all operators of a table took 0 ms")
    per_ms = float(sum(row.percent for row in rows)) / weight
    total = 0.0
    for row in rows:
        share = float(row.percent)
        # Three decimals are printed of milliseconds and of percent.
        slack = per_ms * row.times_called * 0.00055 + 0.0006 + 0.0005 * share
        if abs(share - per_ms * float(row.avg_ms) * row.times_called) > slack:
            out.wrong(f"{row.name} takes {row.avg_ms} ms, yet {row.percent} % of all")
        total += share
        if abs(total - float(row.cdf_percent)) > 0.0006 * (len(rows) + 1):
            out.wrong(f"the percentages up to {row.name} do not add up to {row.cdf_percent}")


def _check_repeated(out: Output, rows: Sequence[Row], top: Sequence[Row]) -> None:
    """Refuse a table of the costliest operators that has others than the whole table."""
    known = {(row.node_type, row.name, row.avg_ms, row.percent, row.times_called) for row in rows}
    for row in top:
        if (row.node_type, row.name, row.avg_ms, row.percent, row.times_called) not in known:
            out.wrong(f"{row.name} has other figures in the table of the costliest operators")
