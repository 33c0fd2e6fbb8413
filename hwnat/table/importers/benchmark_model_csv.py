"""The CSV that TFLite's benchmark_model writes with `--profiling_output_csv_file`.

It names a node's type, output tensor and mean time, never its shapes, so what each node computes
has to be said beside it: `--option keys=FILE`, a JSON object of node name to operation key.
The `Timings` of a profile are the sum of its nodes' times, so no network is measured by them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hwnat.errors import DataError, UsageError
from hwnat.records import parse
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import (
    Facts,
    Imported,
    Importer,
    Request,
    Source,
    Unit,
)
from hwnat.table.importers.intake import Intake
from hwnat.table.importers.values import number

#: Heads the profile of the runs; that of the initialisation, which comes first, is another.
_RUNS: Final = re.compile(r"(?:INFO: )?(?:Operator-wise )?Profiling Info for Regular .*:\s*")
_ORDER: Final = re.compile(r"=+ Run Order =+\s*")
_TIMINGS: Final = re.compile(r"Timings \(microseconds\): count=(\d{1,9}) ")
#: A number, or what a program prints for one that is none; never a word such as `F32)`.
_CELL: Final = r", ([+-]?(?:[\d.][\d.eE+-]*|nan|inf))%?"
_EXECUTED: Final = re.compile(r"Number of nodes executed: (\d+)\s*")
#: Node types whose operation can be told, against keys that are one row off.
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "CONV_2D": ("conv",),
    "DEPTHWISE_CONV_2D": ("dwconv",),
    "TRANSPOSE_CONV": ("deconv",),
    "FULLY_CONNECTED": ("linear", "matmul", "mix"),
    "AVERAGE_POOL_2D": ("pool", "gpool"),
    "MAX_POOL_2D": ("pool", "gpool"),
    "MEAN": ("gpool",),
    "ADD": ("add",),
    "MUL": ("mul",),
    "CONCATENATION": ("concat",),
    "SOFTMAX": ("softmax",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """One row of a Run Order table."""

    kind: str
    name: str
    avg_ms: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """The runs of one file; `inner` are rows of further tables: delegates and subgraphs."""

    nodes: tuple[_Node, ...]
    inner: tuple[_Node, ...]
    runs: int


class BenchmarkModelCsv:
    """Both generations: with a `start` column, and without."""

    format: str = "benchmark-model-csv"
    unit: Unit = "ms"
    options: Mapping[str, str] = {
        "keys": "JSON file of node name to operation key: the profile holds no shapes",
    }

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read profiles of one model or several; equal operations give the median.

        Raises:
            DataError: a file is truncated or no such profile, or no key is known.
            UsageError: a unit is given, although the files state theirs.
        """
        if request.unit not in (None, "ms"):
            msg = f"Files of format {self.format} state their unit, ms; leave --unit out."
            raise UsageError(msg)
        intake = Intake(request, name=self.format, unit="ms", sources=sources)
        keys = _keys(request.options.get("keys"))
        profiles = [(source, _profile(source)) for source in sources]
        known = {node.name for _, profile in profiles for node in profile.nodes}
        if stray := [name for name in keys if name not in known]:
            msg = f"{request.options['keys']}: no profile has a node '{stray[0]}'; "
            raise DataError(msg + f"there is '{min(known)}'.")
        if not keys and not request.lenient:
            name = profiles[0][1].nodes[0].name
            msg = (
                f"{sources[0].name}: a profile of benchmark_model holds no shapes. Say what each "
                "node computes: --option keys=FILE, a JSON object of node name to operation key, "
                f'such as {{"{name}": "conv|in=1x224x224x3|out=16|k=3|s=2|act=relu|float32"}}.'
            )
            raise DataError(msg)
        for source, profile in profiles:
            _take(source, profile, keys, intake)
        return intake.done(
            granularity="operator",
            facts=Facts(target="tflite", runtime="benchmark_model"),
        )


def _take(source: Source, profile: _Profile, keys: Mapping[str, OpSpec], intake: Intake) -> None:
    """Hand one file's nodes to the intake."""
    for node in profile.nodes:
        where = source.at(node.line)
        op = keys.get(node.name)
        if op is None:
            intake.leave_out(node.name, f"{node.kind}: no operation key is given for it")
        elif number(node.avg_ms, where=f"{where}: {node.name}") == 0:
            intake.leave_out(node.name, f"{node.kind}: shorter than the profiler's clock can tell")
        else:
            _check_kind(node, op, where=where)
            intake.add_repeat(op, node.avg_ms, foreign=node.name, where=where, n=profile.runs)
    for node in profile.inner:
        intake.leave_out(node.name, f"{node.kind}: part of a delegate's or subgraph's row")


def _check_kind(node: _Node, op: OpSpec, *, where: str) -> None:
    if op.kind not in _KINDS.get(node.kind, (op.kind,)):
        msg = f"{where}: node '{node.name}' is {node.kind}, but its key is {op.key}; "
        raise DataError(msg + "the keys file is of another model or one row off.")


def _keys(path: str | None) -> dict[str, OpSpec]:
    """Read the file of operation keys."""
    if path is None:
        return {}
    raw = parse.strict_json(parse.read_text(Path(path), what="operation keys"), where=path)
    if not isinstance(raw, dict) or not all(isinstance(each, str) for each in raw.values()):
        msg = f"{path}: expected a JSON object of node name to operation key."
        raise DataError(msg)
    return {name: OpSpec.from_key(key) for name, key in raw.items()}


def _profile(source: Source) -> _Profile:
    """Find the runs' tables; the profile of the initialisation is skipped."""
    lines = source.text.splitlines()
    begin = next((i for i, line in enumerate(lines) if _RUNS.fullmatch(line)), None)
    if begin is None:
        msg = f"{source.name}: no profile of regular runs; is it what benchmark_model wrote?"
        raise DataError(msg)
    tables = [i for i, line in enumerate(lines) if i > begin and _ORDER.fullmatch(line)]
    totals = [i for i, line in enumerate(lines) if i > begin and _TIMINGS.match(line)]
    if not tables or len(totals) != len(tables):
        msg = f"{source.name}: {len(tables)} tables of nodes with {len(totals)} summaries; "
        raise DataError(msg + "it is truncated. Get the whole file.")
    rows = [tuple(_nodes(source, lines, begin=each)) for each in tables]
    if not rows[0]:
        msg = f"{source.at(tables[0] + 1)}: no nodes ran; profile the model again."
        raise DataError(msg)
    return _Profile(
        nodes=rows[0],
        inner=tuple(node for table in rows[1:] for node in table),
        runs=_count(_TIMINGS.match(lines[totals[0]])),
    )


def _count(found: re.Match[str] | None) -> int:
    """Return how often the model ran, at least once."""
    return max(1, int(found[1])) if found else 1


def _nodes(source: Source, lines: Sequence[str], *, begin: int) -> Iterator[_Node]:
    """Yield the rows of the table whose title is at `begin`.

    Columns go by the header's names. Types and, in the older generation, names may hold the
    separator, so the numbers between them are what splits a row.

    Raises:
        DataError: another header, a row that does not fit it, or fewer rows than were executed.
    """
    header = lines[begin + 1].strip().split(", ") if begin + 1 < len(lines) else []
    between = header[1:-1]
    if (header[:1], header[-1:]) != (["node type"], ["name"]) or "avg_ms" not in between:
        msg = f"{source.at(begin + 2)}: expected 'node type, …, avg_ms, …, name'; another format?"
        raise DataError(msg)
    row = re.compile(rf"\s*(\S.*?){_CELL * len(between)}, (.*\S)\s*")
    count = 0
    for number_, line in enumerate(lines[begin + 2 :], begin + 3):
        if not line.strip():
            break
        found = row.fullmatch(line)
        if found is None:
            msg = f"{source.at(number_)}: expected {len(header)} values, found {line[:80]!r}."
            raise DataError(msg)
        cells = dict(zip(between, found.groups()[1:-1], strict=True))
        yield _Node(
            kind=found[1],
            name=found[found.re.groups].replace("\t", ","),
            avg_ms=cells["avg_ms"],
            line=number_,
        )
        count += 1
    _check_count(source, lines[begin:], count)


def _check_count(source: Source, lines: Sequence[str], count: int) -> None:
    """Compare the rows with what the tool says it executed."""
    executed = next((found for line in lines if (found := _EXECUTED.fullmatch(line))), None)
    if executed is None or int(executed[1]) != count:
        stated = executed[1] if executed else "an unknown number of"
        msg = f"{source.name}: {count} nodes listed, {stated} executed; it is truncated or edited."
        raise DataError(msg)


_CHECK: type[Importer] = BenchmarkModelCsv
