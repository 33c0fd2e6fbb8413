"""The operator tables of TensorFlow Lite's and LiteRT's profilers, as text and as CSV.

A profile has one block per graph: the rows in execution order, the costliest rows again, a summary
by type, and `N nodes observed` at the end. Cells are separated by tabs, by spaces (LiteRT's C API)
or by `, ` (CSV). Only the header shows which columns exist: older versions have `start`, later
ones do not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from hwnat.errors import DataError
from hwnat.table.importers.base import Source
from hwnat.table.importers.node_profile import Node, Profile
from hwnat.table.importers.values import number

_PREFIX: Final = re.compile(r"(?:INFO|WARNING|ERROR|VERBOSE): (?:\[[\w./+-]{1,200}:\d+\] )?")
_BANNER: Final = re.compile(r"=+ ([A-Z][A-Za-z ]{1,40}) =+")
_ORDER: Final = "Run Order"
_INIT: Final = re.compile(r"Profiling Info for .*Initialization:")
_RUNS: Final = re.compile(r"(?:Operator-wise )?Profiling Info for Regular .*:")
_PRIMARY: Final = re.compile(r"Primary graph \(name: .*\).*")
_INNER: Final = re.compile(r"Subgraph \(index: .*\).*|Delegate internal:")
_COUNT: Final = re.compile(
    r"Number of nodes executed: (\d{1,9})|(\d{1,9}) nodes (observed)", re.ASCII
)
_TIMINGS: Final = re.compile(r"Timings \(microseconds\): count=(\d{1,9}) .*", re.ASCII)
_MEMORY: Final = "Memory (bytes): "
#: A number, NaN or an infinity as programs print it; never a word such as `F32)`.
_NUMBER: Final = re.compile(r"[+-]?(?:[\d.][\d.eE+-]*|nan|inf)%?", re.ASCII)
_TIME: Final = "avg ms"
_MOST_COLUMNS: Final = 16
_MOST_CHARACTERS: Final = 2_000
_MOST_NODES: Final = 50_000
_INNER_ROW: Final = "part of a delegate's or subgraph's row"
_TOTALS: Final = (
    (re.compile(r"Inference timings in us: .*, Inference \(avg\): (\S+)"), 1e-3),
    (re.compile(r"Average inference timings in us: .*, (?:no stats|Inference): (\S+)"), 1e-3),
    (re.compile(r"Inference \(avg\): +(\S+) ms \(\d+ runs\)"), 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """The rows of one graph; `runs` is 1 if the block does not count them."""

    nodes: tuple[Node, ...]
    runs: int


class _Lines:
    """The lines of a file without log prefixes, read one by one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lines: Iterator[tuple[int, str]] = enumerate(
            (_PREFIX.sub("", line, count=1).rstrip() for line in source.text.split("\n")), 1
        )
        self.number = 0

    def next(self) -> str | None:
        """Return the next line; None after the last one."""
        self.number, line = next(self._lines, (self.number, None))
        if line is not None and len(line) > _MOST_CHARACTERS:
            self.refuse(f"a line of {len(line):,} characters; the limit is {_MOST_CHARACTERS:,}")
        return line

    def inside(self) -> str:
        """Return the next line of a table.

        Raises:
            DataError: the file ends.
        """
        line = self.next()
        if line is None:
            self.refuse("the file ends inside of an operator table; it is truncated")
        return line

    @property
    def where(self) -> str:
        """Return the place of the last line that was read."""
        return self._source.at(self.number)

    def refuse(self, why: str) -> NoReturn:
        """Raise a `DataError`: the file is damaged at the last line that was read."""
        msg = f"{self.where}: {why}. Get the whole file of the profiler."
        raise DataError(msg)


def csv_profile(source: Source) -> Profile:
    """Read a file that `--profiling_output_csv_file` wrote.

    Raises:
        DataError: the file is truncated or not such a profile.
    """
    return _profile(source, csv=True)


def text_profile(source: Source) -> Profile:
    """Read the output of `--enable_op_profiling=true` or LiteRT's `LiteRtGetProfileSummary`.

    Raises:
        DataError: the file is truncated or not such a profile.
    """
    return _profile(source, csv=False)


def _profile(source: Source, *, csv: bool) -> Profile:
    """Read the tables of the regular runs; skip those of the initialisation."""
    lines = _Lines(source)
    init = inner = False
    blocks: list[_Block] = []
    nodes: list[Node] = []
    totals: list[str] = []
    while (line := lines.next()) is not None:
        if _INIT.fullmatch(line) or _RUNS.fullmatch(line):
            init, inner = not _RUNS.fullmatch(line), False
        elif _PRIMARY.fullmatch(line) or _INNER.fullmatch(line):
            inner = bool(_INNER.fullmatch(line))
        elif (banner := _BANNER.fullmatch(line)) and banner[1] == _ORDER:
            block = _block(lines, csv=csv, reason=_INNER_ROW if inner else "")
            if init:
                continue
            if not inner and any(not node.reason for node in nodes):
                lines.refuse("a second profile starts in this file; give each its own file")
            blocks.append(block)
            nodes += block.nodes
        else:
            totals += _total_ms(line, where=lines.where)
    if not any(not node.reason for node in nodes):
        other = "text" if csv else "csv"
        msg = (
            f"{source.name}: no operator table of regular runs. Did you profile with "
            f"--enable_op_profiling=true? For {other.upper()} use --format benchmark-model-{other}."
        )
        raise DataError(msg)
    if len(totals) > 1:
        lines.refuse("the file holds the outputs of several processes")
    return Profile(
        nodes=tuple(nodes),
        runs=blocks[0].runs,
        total=(totals[0], "0") if totals else None,
    )


def _total_ms(line: str, *, where: str) -> list[str]:
    """Return the mean time of the whole network if the line states it."""
    for pattern, factor in _TOTALS:
        if match := pattern.fullmatch(line.strip()):
            return [f"{number(match[1], where=where) * factor:.6f}"]
    return []


def _block(lines: _Lines, *, csv: bool, reason: str) -> _Block:
    """Read from the banner `Run Order` to `N nodes observed`."""
    nodes = tuple(_nodes(lines, csv=csv, reason=reason))
    if not nodes:
        lines.refuse("no node ran")
    runs = 1
    while True:
        line = lines.inside()
        if _BANNER.fullmatch(line):
            while lines.inside():
                pass
        elif count := _COUNT.fullmatch(line):
            if int(count[1] or count[2]) != len(nodes):
                lines.refuse(f"'{line}', but the table has {len(nodes)} rows")
            if count[3]:
                return _Block(nodes=nodes, runs=runs)
        elif timings := _TIMINGS.fullmatch(line):
            runs = max(1, int(timings[1]))
        elif line and not line.startswith(_MEMORY):
            lines.refuse(f"expected the end of the operator table, found {line[:60]!r}")


def _nodes(lines: _Lines, *, csv: bool, reason: str) -> Iterator[Node]:
    """Yield the rows below a header, up to a blank line."""
    line = lines.inside()
    if csv == line.lstrip().startswith("["):
        other = "text" if csv else "csv"
        lines.refuse(f"this table is {other.upper()}; use --format benchmark-model-{other}")
    header = _header(line)
    if (
        (header[:1], header[-1:]) != (["node type"], ["name"])
        or _TIME not in header
        or len(header) > _MOST_COLUMNS
    ):
        form = "node type, …, avg_ms, …, name" if csv else "[node type] … [avg ms] … [Name]"
        lines.refuse(f"expected the header '{form}', found {line[:60]!r}")
    place, count = header.index(_TIME), 0
    while line := lines.inside():
        cells = _cells(line, csv=csv, width=len(header))
        if cells is None or not all(map(_NUMBER.fullmatch, cells[1:-1])):
            lines.refuse(f"expected {len(header)} values, found {line.strip()[:80]!r}")
        count += 1
        if count > _MOST_NODES:
            lines.refuse(f"an operator table of over {_MOST_NODES:,} rows, the limit")
        for name in (cells[0], cells[-1]):
            if not name.isprintable():
                lines.refuse(f"the name {name[:60]!r} has control characters")
        yield Node(
            kind=cells[0], name=cells[-1], time=cells[place], where=lines.where, reason=reason
        )


def _header(line: str) -> list[str]:
    """Return the column names, spelt as in text tables."""
    if "[" in line:
        return [name.lower() for name in re.findall(r"\[([^\]]+)\]", line)]
    return [name.strip().replace("avg_ms", _TIME) for name in line.split(", ")]


def _cells(line: str, *, csv: bool, width: int) -> list[str] | None:
    """Split a row; None if it does not have `width` cells."""
    if csv:
        return _csv_cells(line, width)
    parts = line.split("\t")[1:] if line.startswith("\t") else re.split(r"\s{2,}", line.strip())
    cells = [part.strip() for part in parts]
    return cells if len(cells) == width and cells[0] and cells[-1] else None


def _csv_cells(line: str, width: int) -> list[str] | None:
    """Split a row whose type (in older versions also its name) may contain the separator."""
    parts = line.strip().split(", ")
    for first in range(1, len(parts) - width + 2):
        numbers = parts[first : first + width - 2]
        if all(map(_NUMBER.fullmatch, numbers)):
            # Later versions write commas in names as tabs.
            name = ", ".join(parts[first + width - 2 :]).replace("\t", ",")
            return [", ".join(parts[:first]), *numbers, name] if name else None
    return None
