"""`hwnat table`: show latency tables, and build, import, check and compare them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import (
    RUNS,
    count,
    json_option,
    key,
    milliseconds,
    print_facts,
    print_json,
    print_table,
    shown,
    text,
)
from hwnat.cli.table_diff import diff
from hwnat.cli.table_import import import_files
from hwnat.cli.table_lint import lint
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
@click.option("--by-stage", is_flag=True, help="Print where the time goes instead of the entries.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw where the time goes as an SVG file."
)
@json_option
def show(path: Path, by_stage: bool, plot: Path | None, as_json: bool) -> None:
    """Print what a table was measured on, how accurate it is, and its entries.

    --by-stage prints the smallest, the median and the largest network of the table's space; for a
    table of operators, it adds the entries up by kind.
    """
    from hwnat.table.lookup import load_table

    loaded = load_table(path)
    if by_stage or plot:
        _show_stages(loaded, plot, as_json=as_json)
        return
    if as_json:
        print_json({"table_id": loaded.table_id, "table": loaded})
        return
    print_facts(_summary(loaded), width=14)
    echo()
    rows = [
        (name, *map(milliseconds, (e.p10_ns, e.p50_ns, e.p90_ns)), f"{e.spread:.1%}", e.provenance)
        for name, e in loaded.entries.items()
    ]
    numbers = ("p10 ms", "p50 ms", "p90 ms", "spread")
    print_table("", (key("operation"), *numbers, text("provenance", rank=1)), rows)


def _show_stages(table: "LatencyTable", plot: Path | None, *, as_json: bool) -> None:
    """Print and draw where a table's time goes."""
    from hwnat.errors import UsageError
    from hwnat.records.write import write_text
    from hwnat.table.stages import by_stage, svg

    if plot and plot.suffix != ".svg":
        msg = f"Cannot draw {plot}: only SVG can be written. Name a file that ends in .svg."
        raise UsageError(msg)
    networks = by_stage(table)
    if plot:
        write_text(plot, svg(table.name, networks))
    if as_json:
        print_json({"table_id": table.table_id, "by_stage": networks, "plot": plot})
        return
    for network in networks:
        fitted = network.latency_ns if table.calibration.form != "none" else None
        calibrated = f", calibrated {milliseconds(fitted)} ms" if fitted else ""
        rows = [
            (name, milliseconds(ns), f"{ns / network.total_ns:.1%}", _bar(ns / network.total_ns))
            for name, ns in network.parts.items()
        ]
        title = f"{network.name}: sum {milliseconds(network.total_ns)} ms{calibrated}"
        print_table(title, (text("part"), "ms", "share", text("", rank=1)), rows)


def _bar(share: float, width: int = 20) -> str:
    """Draw a share as a bar."""
    return "#" * round(share * width)


def _summary(table: "LatencyTable") -> list[tuple[str, object]]:
    """Return the facts about a table."""
    setup, fit = table.setup, table.calibration
    errors = [abs(check.error) for check in table.validation]
    quality = (
        f"{sum(errors) / len(errors):.1%} mean error on {count(len(errors), 'network')}"
        if errors
        else "none"
    )
    return [
        ("table", f"{table.name} ({table.table_id})"),
        ("device", _device(table)),
        ("runtime", _runtime(table)),
        ("cores", f"{shown(setup.affinity) if setup.affinity else 'any'}, clocks {setup.clocks}"),
        ("covers", _covers(table)),
        ("networks", f"batch {setup.batch}, {setup.precision}, {table.classes or 'any'} classes"),
        ("protocol", _protocol(table)),
        ("reference", _reference(table)),
        ("overhead", f"{milliseconds(table.overhead_ns)} ms to start a run"),
        ("calibration", f"{fit.form}, on {count(len(fit.networks), 'network')}"),
        (
            "",
            f"{fit.scale:.4f} * sum + {fit.per_op_ns:.0f} ns * operations "
            f"+ {fit.constant_ns:.0f} ns",
        ),
        ("validation", quality),
        *(("doubt", doubt) for doubt in table.doubts),
        ("created", f"{table.created} by hwnat {table.hwnat}"),
    ]


def _device(table: "LatencyTable") -> str:
    host = table.setup.host
    known = (host.board, host.soc, host.cpu or "unknown CPU", host.os or "unknown system")
    return ", ".join(filter(None, (*known, host.build)))


def _runtime(table: "LatencyTable") -> str:
    setup = table.setup
    words = [
        f"{setup.runtime or 'unknown runtime'} {setup.runtime_version}".rstrip(),
        count(setup.threads, "thread") if setup.threads else "unknown number of threads",
    ]
    if setup.delegate is not None:
        words.append(f"delegated to {setup.delegate}")
    if setup.runner is not None:
        words.append(f"timed by {setup.runner}, alternating {setup.alternation}")
    return ", ".join(words)


def _covers(table: "LatencyTable") -> str:
    if table.space is None:
        return f"{count(len(table.entries), 'operator')} of any network"
    return f"{table.space} at {shown(table.resolutions)} pixels"


def _protocol(table: "LatencyTable") -> str:
    protocol = table.protocol
    if protocol is None:
        return "none: not measured by hwnat"
    return (
        f"{count(protocol.rounds, 'round')}, {count(protocol.runs, 'run')} a visit after "
        f"{protocol.warmup} to warm up, visits of at least {protocol.visit_ms:g} ms"
    )


def _reference(table: "LatencyTable") -> str:
    if table.reference_ns is None:
        return "none"
    return f"{table.setup.reference}: {milliseconds(table.reference_ns)} ms"


@table.command()
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=RUNS / "measurements.sqlite",
    show_default=True,
    help="Database of raw measurements.",
)
@click.option("--device", help="Name of the device. Default: the device of the latest profile.")
@click.option("--space", help="Search space. Default: the space of the latest profile.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Table file to write. Default: latency_tables/DEVICE/NAME.json.",
)
@click.option("--force", is_flag=True, help="Replace a table of another kind. Default: refuse.")
@json_option
def build(
    store: Path,
    device: str | None,
    space: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Build a table again from stored measurements, without measuring.

    Takes the latest profile in the store.
    """
    from hwnat.errors import UsageError
    from hwnat.profile.measure import finish, load_sources
    from hwnat.records.store import Store
    from hwnat.table.lookup import default_path
    from hwnat.table.place import save_table

    if not store.exists():
        msg = f"No store {store}. Measure a device with: hwnat profile --device NAME --space SPACE"
        raise UsageError(msg)
    with Store(store) as db:
        runs = [
            run
            for run in db.runs()
            if device in (None, run.setup.device) and space in (None, run.space)
        ]
        if not runs:
            msg = (
                f"Store {store} holds no such profile. "
                "Measure a device with: hwnat profile --device NAME --space SPACE"
            )
            raise UsageError(msg)
        built = finish(db, runs[-1], sources=load_sources(runs[-1].sources))
    path = out or default_path(built)
    save_table(built, path, force=force)
    if as_json:
        print_json({"table": path, "table_id": built.table_id, "entries": len(built.entries)})
    else:
        echo(path)
