"""`hwnat table`: look into a latency table, or build it again from measurements."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.output import RUNS, json_option, milliseconds, print_json, print_table

if TYPE_CHECKING:
    from hwnat.table.lookup import LatencyTable


@click.group()
def table() -> None:
    """Show a latency table, or build it from measurements."""


@table.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def show(path: Path, as_json: bool) -> None:
    """Print what a table was measured on, how good it is, and its entries."""
    from hwnat.table.lookup import load_table

    loaded = load_table(path)
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


def _summary(table: "LatencyTable") -> list[tuple[str, object]]:
    """Return what a person wants to know about a table."""
    setup, fit = table.setup, table.calibration
    errors = [abs(each.error) for each in table.validation]
    quality = f"{sum(errors) / len(errors):.1%} mean error of {len(errors)}" if errors else "none"
    return [
        ("table", f"{table.name} ({table.table_id})"),
        ("device", f"{setup.host.cpu or 'unknown CPU'}, {setup.host.os or 'unknown system'}"),
        ("runtime", f"{setup.runtime} {setup.runtime_version}, {setup.threads} thread(s)"),
        ("cores", ", ".join(map(str, setup.affinity)) or "not pinned"),
        ("covers", f"{table.space} at {', '.join(map(str, table.resolutions))}"),
        ("networks", f"batch {setup.batch}, {setup.precision}, {table.classes} classes"),
        ("protocol", table.protocol),
        ("reference", f"{setup.reference}: {milliseconds(table.reference_ns or 0)} ms"),
        ("overhead", f"{milliseconds(table.overhead_ns)} ms to start a run"),
        (
            "calibration",
            f"{fit.form}: {fit.scale:.4f} * sum + {fit.per_op_ns:.0f} ns * operations "
            f"+ {fit.constant_ns:.0f} ns, on {len(fit.networks)} networks",
        ),
        ("validation", quality),
        ("created", f"{table.created} by hwnat {table.hwnat}"),
    ]


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
    from hwnat.records.store import Store
    from hwnat.table.build import build_table
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
        built = build_table(db, runs[-1])
    path = out or default_path(built)
    built.save(path)
    if as_json:
        print_json({"table": path, "table_id": built.table_id, "entries": len(built.entries)})
    else:
        click.echo(path)
