"""`hwnat bench`: time model files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import (
    RUNS,
    Column,
    count,
    json_option,
    milliseconds,
    options_of,
    print_json,
    print_table,
    shape_option,
    text,
)
from hwnat.cli.progress import reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwnat.profile.bench import FileBench

#: Kinds of operators in the table, and files that fit beside each other in it.
_KINDS: Final = 8
_FILES: Final = 4
_NONE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """The options of `hwnat bench`."""

    files: tuple[Path, ...]
    device: str | None
    against: Path | None
    shapes: tuple[str, ...]
    rounds: int
    cache: Path
    as_json: bool


@click.command()
@click.argument(
    "files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@click.option(
    "--device",
    help="Name or path of a device file. Default: this machine, with the runtime for each format.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="File to compare with. Default: the first FILE.",
)
@shape_option
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="Visits to each file.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=RUNS / "models",
    show_default=True,
    help="Folder of converted files.",
)
@json_option
@options_of(BenchRequest)
def bench(request: BenchRequest) -> None:
    """Time model files and compare them.

    Prints the latency of each file, its ratio to the first one, loading times, memory, and the
    operators that take the most time. The files run in alternation, so the ratio holds on a busy
    machine too.
    """
    from hwnat.profile.bench import bench as run
    from hwnat.records.device import load_device
    from hwnat.targets.inputs import parse_shapes

    with reporter() as live:
        timed = run(
            request.files,
            device=None if request.device is None else load_device(request.device),
            against=request.against,
            shapes=parse_shapes(request.shapes),
            rounds=request.rounds,
            cache=request.cache,
            progress=live.report,
            tell=live.say,
        )
    if request.as_json:
        print_json(timed)
        return
    _print_latencies(timed)
    for one in timed:
        if one.untraced:
            echo(f"{one.file}: its operators are not known: {one.untraced}", err=True)
        if one.doubts:
            echo(f"{one.file} may be unreliable: {one.doubts[-1]}.", err=True)
    _print_operators([one for one in timed if one.costs][:_FILES])


def _print_latencies(timed: "Sequence[FileBench]") -> None:
    rows = [
        (
            one.file.name,
            *map(milliseconds, (one.p50_ns, one.p90_ns)),
            *_ratio(one, alone=len(timed) == 1),
            *_loading(one),
            _NONE if one.delegated is None else f"{one.delegated}/{one.kernels}",
            one.runtime,
        )
        for one in timed
    ]
    columns = (
        *(text("file"), "p50 ms", "p90 ms", "ratio", "90 % interval"),
        *("load ms", "cold load ms", "peak MB", "delegated", text("runtime", rank=1)),
    )
    # A column that is empty for all files says nothing.
    shown = [index for index in range(len(columns)) if any(row[index] != _NONE for row in rows)]
    print_table("", [columns[i] for i in shown], [[row[i] for i in shown] for row in rows])


def _ratio(one: "FileBench", *, alone: bool) -> tuple[str, str]:
    """Return the ratio and its interval; a lone file has neither."""
    if alone:
        return _NONE, _NONE
    exact = one.ratio_low == one.ratio_high  # the baseline
    return f"{one.ratio:.3f}", _NONE if exact else f"{one.ratio_low:.3f}-{one.ratio_high:.3f}"


def _loading(one: "FileBench") -> tuple[str, str, str]:
    if one.footprint is None:
        return _NONE, _NONE, _NONE
    peak = one.footprint.peak_bytes
    return (
        f"{one.footprint.warm_load_ns / 1e6:.1f}",
        f"{one.footprint.cold_load_ns / 1e6:.1f}",
        _NONE if peak is None else f"{peak / 1e6:.1f}",
    )


def _print_operators(timed: "Sequence[FileBench]") -> None:
    """Print the kinds of operators that take the most time, with a column for each file."""
    if not timed:
        return
    costs = [{cost.kind: cost for cost in one.costs} for one in timed]
    kinds = list(dict.fromkeys(cost.kind for one in timed for cost in one.costs))
    rows = []
    for kind in kinds[:_KINDS]:
        cells = []
        for one, by_kind in zip(timed, costs, strict=True):
            cost = by_kind.get(kind)
            spent = None if cost is None or cost.share is None else cost.share * one.p50_ns
            cells += [
                _NONE if cost is None else str(cost.count),
                _NONE if spent is None else milliseconds(spent),
            ]
        rows.append((kind, *cells))
    names = [one.file.name for one in timed] if len(timed) > 1 else [""]
    columns: list[Column | str] = [text("operators")]
    for name in names:
        columns += [f"{name} count".strip(), f"{name} ms".strip()]
    timeless = all(cost.share is None for one in timed for cost in one.costs)
    if timeless:  # the runtime has no profile
        columns = [column for index, column in enumerate(columns) if index == 0 or index % 2]
        rows = [tuple(c for index, c in enumerate(row) if index == 0 or index % 2) for row in rows]
    echo()
    print_table("", columns, rows)
    if len(kinds) > _KINDS:
        echo(f"{count(len(kinds) - _KINDS, 'more kind')} of operators: see --json.", err=True)
