"""`hwnat predict`: the latency of a network from a table."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import (
    json_option,
    key,
    milliseconds,
    options_of,
    print_json,
    print_table,
    shape_option,
    text,
)

if TYPE_CHECKING:
    from hwnat.predict.base import Prediction
    from hwnat.table.lookup import LatencyTable
    from hwnat.targets.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """What `hwnat predict` was asked for."""

    table: Path | None
    genome: str | None
    model: Path | None
    shapes: tuple[str, ...]
    space: str | None
    classes: int | None
    explain: bool
    partial: bool
    as_json: bool

    def check(self) -> Path:
        """Return the table's path.

        Raises:
            UsageError: options are missing or cannot be combined.
        """
        from hwnat.errors import UsageError

        if self.table is None or (self.genome is None) == (self.model is None):
            msg = "Name a latency table with --table, and a network with --genome or with --model."
            raise UsageError(msg)
        if self.model is not None and (self.space or self.classes):
            msg = "--space and --classes describe a --genome. Leave them out with --model."
            raise UsageError(msg)
        if self.genome is not None and self.shapes:
            msg = "--shape is for a --model; leave it out with --genome."
            raise UsageError(msg)
        if self.genome is not None and self.partial:
            msg = "--partial is for a --model. A genome is predicted as a whole; leave it out."
            raise UsageError(msg)
        return self.table


@click.command()
@click.option("--table", type=click.Path(path_type=Path), help="Latency table.")
@click.option("--genome", help="Digits of a genome, for a table of a space.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="ONNX file, or file of the table's target, for a table of operators.",
)
@shape_option
@click.option("--space", help="Refuse a table of another search space.")
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help="Outputs of the genome's classifier. Default: those of the table.",
)
@click.option("--explain", is_flag=True, help="Print the latency of every block or operator.")
@click.option(
    "--partial",
    is_flag=True,
    help="Predict the operators of a model that can be predicted. Exits with 3 if some cannot.",
)
@json_option
@options_of(PredictRequest)
def predict(request: PredictRequest) -> None:
    """Predict the latency of a network.

    A --model is traced into the operators that the table's runtime executes.
    """
    from hwnat.errors import DataError
    from hwnat.predict.stage import predict_model
    from hwnat.table.lookup import load_table
    from hwnat.targets.inputs import parse_shapes

    table = load_table(request.check())
    if request.model is None:
        _predict_genome(table, request)
        return
    prediction, trace = predict_model(
        request.model, table, shapes=parse_shapes(request.shapes), partial=request.partial
    )
    for doubt in table.doubts:
        echo(f"Doubt about table {table.name}: {doubt}.", err=True)
    measured_with = f"{table.setup.runtime} {table.setup.runtime_version}"
    if trace.runtime != measured_with:
        echo(
            f"The model is traced by {trace.runtime}, but the table was measured with "
            f"{measured_with}.",
            err=True,
        )
    _print_model(table, trace, prediction, request)
    if prediction.missing:
        msg = (
            f"{len(prediction.missing)} of {len(trace.ops)} operators are missing from the sum. "
            f"Measure this model with: hwnat profile --device {table.setup.device} "
            f"--model {request.model}{''.join(f' --shape {word}' for word in request.shapes)} "
            "--out TABLE.json"
        )
        raise DataError(msg)


def _predict_genome(table: "LatencyTable", request: PredictRequest) -> None:
    from hwnat.predict.additive import AdditivePredictor
    from hwnat.predict.stage import predict_arch
    from hwnat.records.arch import Arch
    from hwnat.records.space import get_space

    space = get_space(request.space) if request.space else None
    predictor = AdditivePredictor(table, space, classes=request.classes)
    network = Arch.from_text(predictor.space, str(request.genome))
    prediction = predict_arch(network, predictor)
    if request.as_json:
        print_json(
            {
                "genome": network.text,
                "space": table.space,
                **_facts(table, prediction),
                "parts": prediction.parts if request.explain else [],
            }
        )
    elif request.explain:
        total = _sum_ns(prediction)
        rows: list[tuple[str, ...]] = [
            (
                part.key,
                milliseconds(part.latency_ns),
                f"{part.latency_ns / total:.1%}",
                part.provenance,
            )
            for part in prediction.parts
        ]
        rows += [(label, ms, "", "") for label, ms in _sums(table, prediction)]
        columns = (key("operation"), "ms", "share", text("provenance", rank=1))
        print_table("", columns, rows)
    else:
        _print_line(prediction)


def _facts(table: "LatencyTable", prediction: "Prediction") -> dict[str, object]:
    """Return what --json prints of any prediction."""
    return {
        "table": table.name,
        "table_id": prediction.table_id,
        "doubts": table.doubts,
        "latency_ns": prediction.latency_ns,
        "interval_ns": prediction.interval_ns,
        "overhead_ns": prediction.overhead_ns,
    }


def _print_model(
    table: "LatencyTable", trace: "Trace", prediction: "Prediction", request: PredictRequest
) -> None:
    explain = request.explain or request.partial
    if request.as_json:
        facts = _facts(table, prediction)
        provenance = Counter(part.provenance for part in prediction.parts)
        print_json(
            {
                "model": request.model,
                **facts,
                "target": trace.target,
                "runtime": trace.runtime,
                "operators": len(trace.ops),
                "provenance": dict(provenance),
                "parts": prediction.parts if explain else [],
                "removed": trace.removed if explain else [],
                "missing": prediction.missing,
            }
        )
        return
    if not explain:
        _print_line(prediction)
        return
    total = _sum_ns(prediction)
    rows: list[tuple[str, ...]] = [
        (
            part.key,
            " + ".join(part.nodes),
            milliseconds(part.latency_ns),
            f"{part.latency_ns / total:.1%}",
            part.provenance,
            ", ".join(part.flags),
        )
        for part in prediction.parts
    ]
    rows += [
        (op.key or "no key", " + ".join(op.nodes), "?", "?", "missing", op.reason)
        for op in prediction.missing
    ]
    rows += [(label, "", ms, "", "", "") for label, ms in _sums(table, prediction)]
    columns = (key("operation"), text("nodes", rank=2), "ms", "share", text("provenance"))
    print_table("", (*columns, text("flags", rank=1)), rows)
    if trace.removed:
        nodes = "; ".join(f"{removed.node} ({removed.why})" for removed in trace.removed)
        echo(f"Takes no time: {nodes}.", err=True)


def _sum_ns(prediction: "Prediction") -> int:
    return prediction.overhead_ns + sum(part.latency_ns for part in prediction.parts)


def _sums(table: "LatencyTable", prediction: "Prediction") -> list[tuple[str, str]]:
    """Return the last lines of an explanation."""
    partial = " of the predicted part" if prediction.missing else ""
    return [
        ("starting a run", milliseconds(prediction.overhead_ns)),
        (f"sum{partial}", milliseconds(_sum_ns(prediction))),
        (f"after calibration ({table.calibration.form})", milliseconds(prediction.latency_ns)),
    ]


def _print_line(prediction: "Prediction") -> None:
    interval = ""
    if prediction.interval_ns:
        low, high = map(milliseconds, prediction.interval_ns)
        interval = f"  (90 % interval: {low} to {high} ms)"
    echo(f"{milliseconds(prediction.latency_ns)} ms{interval}")
