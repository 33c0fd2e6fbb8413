"""`hwnat table validate`: measure unseen networks and score a table on them."""

from pathlib import Path

import click

from hwnat.cli.output import RUNS, json_option, print_evaluation, print_json
from hwnat.cli.progress import reporter


@click.command()
@click.option(
    "--table", "path", type=click.Path(path_type=Path), required=True, help="Latency table."
)
@click.option(
    "--networks",
    type=click.IntRange(min=2),
    default=40,
    show_default=True,
    help="Networks to measure.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=RUNS / "models",
    show_default=True,
    help="Folder of exported models.",
)
@json_option
def validate(path: Path, networks: int, seed: int, cache: Path, as_json: bool) -> None:
    """Measure random networks on the table's device and compare them with its predictions.

    None of the networks was used to build or to calibrate the table.
    """
    from hwnat.profile.validate import validate as measure
    from hwnat.table.lookup import load_table

    table = load_table(path)
    with reporter() as live:
        evaluation = measure(
            table,
            networks=networks,
            seed=seed,
            cache=cache,
            progress=live.report,
            tell=live.say,
        )
    if as_json:
        print_json(evaluation)
    else:
        print_evaluation(evaluation)
