"""`hwnat search`: the networks that trade objectives off best, within limits."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.output import RUNS, json_option, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from hwnat.search.run import Front


@click.command()
@click.option("--space", default="mbv3-nano", show_default=True, help="Search space.")
@click.option("--data", required=True, help="Image folder, IDX folder, .npz file or 'digits'.")
@click.option("--weights", help="Weights file, or the space they are shipped for (default).")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    required=True,
    help="accuracy, latency@TABLE, params, macs or size; repeat.",
)
@click.option("--limit", "limits", multiple=True, help="Such as latency@TABLE<=2ms; repeat.")
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of the run; default: runs/search.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Rounds of search and adapt.",
)
@click.option(
    "--initial",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Networks to begin with.",
)
@click.option(
    "--archive",
    type=click.IntRange(min=2),
    default=300,
    show_default=True,
    help="Networks kept and measured.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Of adaptation in each round.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=96,
    show_default=True,
    help="Images in a step of adaptation.",
)
@click.option("--learning-rate", default=0.01, show_default=True, help="Start of the cosine.")
@click.option(
    "--calibration",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Images for batch norms.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)
@json_option
def search(
    space: str,
    data: str,
    weights: str | None,
    objectives: tuple[str, ...],
    limits: tuple[str, ...],
    folder: Path | None,
    iterations: int,
    initial: int,
    archive: int,
    epochs: int,
    batch: int,
    learning_rate: float,
    calibration: int,
    threads: int,
    seed: int,
    as_json: bool,
) -> None:
    """Search and adapt by NAT; the same command goes on where it was interrupted."""
    import torch

    from hwnat.search.run import SearchConfig
    from hwnat.search.stage import search as run

    torch.set_num_threads(threads)
    config = SearchConfig(
        space=space,
        data=data,
        weights=weights or space,
        objectives=objectives,
        limits=limits,
        seed=seed,
        iterations=iterations,
        initial=initial,
        archive=archive,
        training=min(100, archive),
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        calibration=calibration,
    )
    where = folder or RUNS / "search"
    with progress_bar() as progress:
        front = run(config, where, progress=progress)
    if as_json:
        print_json(front)
        return
    print_front(front)
    click.echo(f"Export one with: hwnat export --run {where} --pick knee", err=True)


def print_front(front: "Front") -> None:
    """Print the front's networks, most accurate first."""
    from hwnat.search.objectives import Objective

    others = [
        (index, Objective.parse(name.replace("file_bytes", "size")))
        for index, name in enumerate(front.objectives)
        if name != "error"
    ]
    rows = [
        (
            str(position),
            each.genome,
            f"{100 - each.error_percent:.2f} %",
            f"{100 - each.test_error_percent:.2f} %",
            *(objective.show(each.costs[index]) for index, objective in others),
        )
        for position, each in enumerate(front.candidates)
    ]
    names = [objective.kind for _, objective in others]
    print_table("", ("pick", "genome", "validation top-1", "test top-1", *names), rows)
