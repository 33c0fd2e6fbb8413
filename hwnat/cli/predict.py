"""`hwnat predict`: the latency of a network from a table."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.output import json_option, milliseconds, print_json, print_table

if TYPE_CHECKING:
    from hwnat.predict.base import Prediction
    from hwnat.table.lookup import LatencyTable
    from hwnat.targets.trace import Trace


@click.command()
@click.option("--table", "table_path", type=click.Path(path_type=Path), help="Latency table.")
@click.option("--genome", help="The network's digits, with a table of a space.")
@click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    help="Any network as ONNX, or as a file of the table's target, with a table of operators.",
)
@click.option("--space", "space_name", help="Refuse a table of another space.")
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help="Outputs of the --genome's classifier  [default: those of the table].",
)
@click.option("--explain", is_flag=True, help="Print the cost of every block or operator.")
@click.option(
    "--partial", is_flag=True, help="Print what can be predicted; exit code 3 if not all."
)
@json_option
def predict(
    table_path: Path | None,
    genome: str | None,
    model_path: Path | None,
    space_name: str | None,
    classes: int | None,
    explain: bool,
    partial: bool,
    as_json: bool,
) -> None:
    """Predict a network's latency.

    A --model is traced into the operators that the table's runtime really executes.
    """
    from hwnat.errors import DataError, UsageError
    from hwnat.table.lookup import load_table

    if table_path is None or (genome is None) == (model_path is None):
        msg = "Give a --table, and the network as --genome or as --model, one of the two."
        raise UsageError(msg)
    if (space_name or classes) and model_path is not None:
        msg = "--space and --classes are for a --genome; a --model has its own."
        raise UsageError(msg)
    table = load_table(table_path)
    if model_path is not None:
        found, trace = _of_model(model_path, table, partial=partial)
        _print_model(model_path, table, trace, found, explain=explain or partial, as_json=as_json)
        if found.missing:
            msg = f"{len(found.missing)} of {len(trace.ops)} operators are not in the sum above."
            raise DataError(msg + " Measure them with: hwnat profile --model")
        return
    if partial:
        msg = "--partial is for a --model; a genome's blocks are all in a table or it is refused."
        raise UsageError(msg)
    text, found = _of_genome(str(genome), table, space_name, classes)
    _print_genome(text, table, found, explain=explain, as_json=as_json)


def _of_genome(
    genome: str, table: "LatencyTable", space_name: str | None, classes: int | None
) -> "tuple[str, Prediction]":
    from hwnat.predict.additive import AdditivePredictor
    from hwnat.records.arch import Arch
    from hwnat.records.space import get_space

    space = get_space(space_name) if space_name else None
    predictor = AdditivePredictor(table, space, classes=classes)
    network = Arch.from_text(predictor.space, genome)
    ops = network.ops(classes=predictor.classes, batch=table.setup.batch)
    return network.text, predictor.predict(ops)


def _of_model(path: Path, table: "LatencyTable", *, partial: bool) -> "tuple[Prediction, Trace]":
    from hwnat.predict.learned import fit_models
    from hwnat.predict.operators import OperatorPredictor
    from hwnat.targets.base import get_target

    predictor = OperatorPredictor(table, fit=fit_models)
    trace = get_target(table.setup.target).trace(path)
    measured_with = f"{table.setup.runtime} {table.setup.runtime_version}"
    if trace.runtime != measured_with:
        click.echo(f"Traced by {trace.runtime}; the table is of {measured_with}.", err=True)
    return predictor.predict(trace, partial=partial), trace


def _print_model(
    path: Path,
    table: "LatencyTable",
    trace: "Trace",
    found: "Prediction",
    *,
    explain: bool,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "model": path,
                "table": table.name,
                "table_id": found.table_id,
                "target": trace.target,
                "runtime": trace.runtime,
                "latency_ns": found.latency_ns,
                "interval_ns": found.interval_ns,
                "overhead_ns": found.overhead_ns,
                "operators": len(trace.ops),
                "provenance": dict(Counter(part.provenance for part in found.parts)),
                "parts": found.parts if explain else [],
                "removed": trace.removed if explain else [],
                "missing": found.missing,
            }
        )
        return
    if not explain:
        _print_line(found)
        return
    total = found.sum_ns
    rows: list[tuple[str, ...]] = [
        (
            part.key,
            " + ".join(part.nodes),
            milliseconds(part.latency_ns),
            f"{part.latency_ns / total:.1%}",
            part.provenance,
            ", ".join(part.flags),
        )
        for part in found.parts
    ]
    rows += [
        (each.key or "no key", " + ".join(each.nodes), "?", "?", "missing", each.reason)
        for each in found.missing
    ]
    rows += [(label, "", ms, "", "", "") for label, ms in _sums(table, found)]
    print_table("", ("operation", "nodes", "ms", "share", "provenance", "flags"), rows)
    if trace.removed:
        words = [f"{each.node} ({each.why})" for each in trace.removed]
        click.echo(f"Takes no time: {'; '.join(words)}.", err=True)


def _sums(table: "LatencyTable", found: "Prediction") -> list[tuple[str, str]]:
    """Return the last lines of an explanation."""
    partial = " of what can be predicted" if found.missing else ""
    return [
        ("starting a run", milliseconds(found.overhead_ns)),
        (f"sum{partial}", milliseconds(found.sum_ns)),
        (f"after calibration ({table.calibration.form})", milliseconds(found.latency_ns)),
    ]


def _print_genome(
    text: str, table: "LatencyTable", found: "Prediction", *, explain: bool, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "genome": text,
                "space": table.space,
                "table": table.name,
                "table_id": found.table_id,
                "latency_ns": found.latency_ns,
                "interval_ns": found.interval_ns,
                "overhead_ns": found.overhead_ns,
                "parts": found.parts if explain else [],
            }
        )
        return
    if not explain:
        _print_line(found)
        return
    total = found.sum_ns
    rows: list[tuple[str, ...]] = [
        (p.key, milliseconds(p.latency_ns), f"{p.latency_ns / total:.1%}", p.provenance)
        for p in found.parts
    ]
    rows += [(label, ms, "", "") for label, ms in _sums(table, found)]
    print_table("", ("operation", "ms", "share", "provenance"), rows)


def _print_line(found: "Prediction") -> None:
    between = ""
    if found.interval_ns:
        low, high = map(milliseconds, found.interval_ns)
        between = f"  (nine networks in ten: {low} to {high} ms)"
    click.echo(f"{milliseconds(found.latency_ns)} ms{between}")
