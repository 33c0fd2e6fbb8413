"""`hwnat table`: look into latency tables, build, import, check and compare them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.output import RUNS, json_option, milliseconds, print_json, print_table
from hwnat.cli.table_diff import diff
from hwnat.cli.table_import import import_files, lint
from hwnat.cli.table_validate import validate

if TYPE_CHECKING:
    from hwnat.table.lookup import LatencyTable


@click.group()
def table() -> None:
    """Show, build, import, check, compare and validate latency tables."""


table.add_command(import_files)
table.add_command(lint)
table.add_command(diff)
table.add_command(validate)


@table.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--by-stage", is_flag=True, help="Print where the time goes instead of entries.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw that into an SVG file.")
@json_option
def show(path: Path, by_stage: bool, plot: Path | None, as_json: bool) -> None:
    """Print what a table was measured on, how good it is, and its entries.

    By stage: of the smallest, the median and the largest network of the table's space; for a
    table of operators, by kind.
    """
    from hwnat.table.lookup import load_table

    loaded = load_table(path)
    if by_stage or plot:
        _show_stages(loaded, plot, as_json=as_json)
        return
    if as_json:
        print_json({"table_id": loaded.table_id, "table": loaded})
        return
    for name, value in _summary(loaded):
        click.echo(f"{name:<14}{value}")
    rows = [
        (key, *map(milliseconds, (e.p10_ns, e.p50_ns, e.p90_ns)), f"{e.spread:.1%}", e.provenance)
        for key, e in loaded.entries.items()
    ]
    columns = ("operation", "p10 ms", "p50 ms", "p90 ms", "spread", "provenance")
    print_table("", columns, rows)


def _show_stages(table: "LatencyTable", plot: Path | None, *, as_json: bool) -> None:
    """Print, and draw, where a table's time goes."""
    from hwnat.errors import UsageError
    from hwnat.records.write import write_text
    from hwnat.table.stages import by_stage, svg

    if plot and plot.suffix != ".svg":
        msg = f"Cannot draw {plot}: only SVG is written; name a file that ends in .svg."
        raise UsageError(msg)
    found = by_stage(table)
    if plot:
        write_text(plot, svg(table.name, found))
    if as_json:
        print_json({"table_id": table.table_id, "by_stage": found, "plot": plot})
        return
    for each in found:
        fitted = each.latency_ns if table.calibration.form != "none" else None
        calibrated = f", calibrated {milliseconds(fitted)} ms" if fitted else ""
        rows = [
            (name, milliseconds(ns), f"{ns / each.total_ns:.1%}", _bar(ns / each.total_ns))
            for name, ns in each.parts.items()
        ]
        title = f"{each.name}: sum {milliseconds(each.total_ns)} ms{calibrated}"
        print_table(title, ("", "ms", "share", ""), rows)


def _bar(share: float, width: int = 40) -> str:
    """Draw a share; the column is aligned to the right, so it is filled up."""
    return ("#" * round(share * width)).ljust(width)


def _summary(table: "LatencyTable") -> list[tuple[str, object]]:
    """Return what a person wants to know about a table."""
    setup, fit = table.setup, table.calibration
    errors = [abs(each.error) for each in table.validation]
    quality = f"{sum(errors) / len(errors):.1%} mean error of {len(errors)}" if errors else "none"
    return [
        ("table", f"{table.name} ({table.table_id})"),
        ("device", _device(table)),
        ("runtime", _runtime(table)),
        ("cores", f"{', '.join(map(str, setup.affinity)) or 'not pinned'}, clocks {setup.clocks}"),
        ("covers", _covers(table)),
        ("networks", f"batch {setup.batch}, {setup.precision}, {table.classes or 'any'} classes"),
        ("protocol", table.protocol or "none: hwnat did not measure this"),
        ("reference", _reference(table)),
        ("overhead", f"{milliseconds(table.overhead_ns)} ms to start a run"),
        (
            "calibration",
            f"{fit.form}: {fit.scale:.4f} * sum + {fit.per_op_ns:.0f} ns * operations "
            f"+ {fit.constant_ns:.0f} ns, on {len(fit.networks)} networks",
        ),
        ("validation", quality),
        ("created", f"{table.created} by hwnat {table.hwnat}"),
    ]


def _device(table: "LatencyTable") -> str:
    host = table.setup.host
    known = (host.board, host.soc, host.cpu or "unknown CPU", host.os or "unknown system")
    return ", ".join(filter(None, (*known, host.build)))


def _runtime(table: "LatencyTable") -> str:
    setup = table.setup
    name = f"{setup.runtime or 'unknown runtime'} {setup.runtime_version}".rstrip()
    said = [name, f"{setup.threads or 'unknown number of'} thread(s)"]
    if setup.delegate is not None:
        said.append(f"all of it on {setup.delegate}")
    if setup.runner is not None:
        said.append(f"timed by {setup.runner}, {setup.alternation} in turn with the reference")
    return ", ".join(said)


def _covers(table: "LatencyTable") -> str:
    if table.space is None:
        return f"operators of any network, {len(table.entries)} of them"
    return f"{table.space} at {', '.join(map(str, table.resolutions))}"


def _reference(table: "LatencyTable") -> str:
    if table.reference_ns is None:
        return "none"
    return f"{table.setup.reference}: {milliseconds(table.reference_ns)} ms"


@table.command()
@click.option("--store", type=click.Path(path_type=Path), default=RUNS / "measurements.sqlite")
@click.option("--device", help="Name of the device; default: that of the latest profile.")
@click.option("--space", help="Name of the space; default: that of the latest profile.")
@click.option("--out", type=click.Path(path_type=Path), help="Table file to write.")
@json_option
def build(
    store: Path, device: str | None, space: str | None, out: Path | None, as_json: bool
) -> None:
    """Build the table of the latest profile in a store; measures nothing."""
    from hwnat.errors import UsageError
    from hwnat.profile.measure import finish, load_sources
    from hwnat.records.store import Store
    from hwnat.table.lookup import default_path

    if not store.exists():
        msg = f"No store {store}; measure with: hwnat profile."
        raise UsageError(msg)
    with Store(store) as db:
        runs = [
            run
            for run in db.runs()
            if device in (None, run.setup.device) and space in (None, run.space)
        ]
        if not runs:
            msg = f"Store {store} holds no such profile; measure with: hwnat profile."
            raise UsageError(msg)
        built = finish(db, runs[-1], sources=load_sources(runs[-1].sources))
    path = out or default_path(built)
    built.save(path)
    if as_json:
        print_json({"table": path, "table_id": built.table_id, "entries": len(built.entries)})
    else:
        click.echo(path)
