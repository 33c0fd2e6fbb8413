"""`hwnat predict`: the latency of a network from a table."""

from pathlib import Path

import click

from hwnat.cli.output import json_option, milliseconds, print_json, print_table


@click.command()
@click.option(
    "--table", "table_path", type=click.Path(path_type=Path), required=True, help="Latency table."
)
@click.option("--genome", required=True, help="The network's digits.")
@click.option("--space", "space_name", help="Refuse a table of another space.")
@click.option("--explain", is_flag=True, help="Print the cost of every block.")
@json_option
def predict(
    table_path: Path, genome: str, space_name: str | None, explain: bool, as_json: bool
) -> None:
    """Predict a network's latency."""
    from hwnat.predict.additive import AdditivePredictor
    from hwnat.records.arch import Arch
    from hwnat.records.space import get_space
    from hwnat.table.lookup import load_table

    table = load_table(table_path)
    predictor = AdditivePredictor(table, get_space(space_name) if space_name else None)
    network = Arch.from_text(predictor.space, genome)
    found = predictor.predict(network.ops(classes=predictor.classes, batch=table.setup.batch))
    if as_json:
        print_json(
            {
                "genome": network.text,
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
    if explain:
        total = found.overhead_ns + sum(part.latency_ns for part in found.parts)
        rows: list[tuple[str, ...]] = [
            (p.key, milliseconds(p.latency_ns), f"{p.latency_ns / total:.1%}", p.provenance)
            for p in found.parts
        ]
        calibrated = f"after calibration ({table.calibration.form})"
        rows.append(("starting a run", milliseconds(found.overhead_ns), "", ""))
        rows.append(("sum", milliseconds(total), "", ""))
        rows.append((calibrated, milliseconds(found.latency_ns), "", ""))
        print_table("", ("operation", "ms", "share", "provenance"), rows)
        return
    between = ""
    if found.interval_ns:
        low, high = map(milliseconds, found.interval_ns)
        between = f"  (nine networks in ten: {low} to {high} ms)"
    click.echo(f"{milliseconds(found.latency_ns)} ms{between}")
