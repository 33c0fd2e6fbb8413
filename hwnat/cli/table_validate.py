"""`hwnat table validate`: measure unseen networks and score a table on them."""

from pathlib import Path

import click

from hwnat.cli.output import RUNS, json_option, print_evaluation, print_json, progress_bar, say


@click.command()
@click.option("--table", "path", type=click.Path(path_type=Path), required=True)
@click.option("--networks", type=click.IntRange(min=2), default=40, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the networks.")
@click.option("--cache", type=click.Path(path_type=Path), default=RUNS / "models")
@json_option
def validate(path: Path, networks: int, seed: int, cache: Path, as_json: bool) -> None:
    """Time random networks that a table has not seen, on its device, and score it."""
    from hwnat.profile.validate import validate as measure
    from hwnat.table.lookup import load_table

    table = load_table(path)
    with progress_bar() as progress:
        found = measure(
            table, networks=networks, seed=seed, cache=cache, progress=progress, tell=say
        )
    if as_json:
        print_json(found)
    else:
        print_evaluation(found)
