"""`hwnat search`: the networks that trade objectives off best, within limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import RUNS, json_option, options_of, print_json, print_table, text
from hwnat.cli.progress import reporter

if TYPE_CHECKING:
    from hwnat.search.run import Front, SearchConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What `hwnat search` was asked for."""

    space: str
    data: str
    weights: str | None
    objectives: tuple[str, ...]
    limits: tuple[str, ...]
    resolutions: tuple[int, ...]
    folder: Path
    iterations: int
    initial: int
    archive: int
    epochs: int
    batch: int
    learning_rate: float
    calibration: int
    threads: int
    seed: int
    as_json: bool

    @property
    def config(self) -> "SearchConfig":
        """The search's own settings."""
        from hwnat.search.run import SearchConfig

        return SearchConfig(
            space=self.space,
            data=self.data,
            weights=self.weights or self.space,
            objectives=self.objectives,
            limits=self.limits,
            resolutions=self.resolutions,
            seed=self.seed,
            iterations=self.iterations,
            initial=self.initial,
            archive=self.archive,
            training=min(100, self.archive),
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            calibration=self.calibration,
        )


@click.command()
@click.option("--space", default="mbv3-nano", show_default=True, help="Search space.")
@click.option(
    "--data",
    required=True,
    help="Folder of images by class, IDX folder, .npz file, or 'digits'.",
)
@click.option(
    "--weights", help="Weights file, or a space whose weights are shipped. Default: the space."
)
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    required=True,
    help="What to optimise: accuracy, latency@TABLE, params, macs or size. Repeatable.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    help="Limit that every network must meet, such as 'latency@TABLE<=2ms'. Repeatable.",
)
@click.option(
    "--resolution",
    "resolutions",
    type=int,
    multiple=True,
    help="Input resolution to search. Repeatable. Default: all of the space.",
)
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    default=RUNS / "search",
    show_default=True,
    help="Folder of the run.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Rounds of search and adaptation.",
)
@click.option(
    "--initial",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Networks measured before the first round.",
)
@click.option(
    "--archive",
    type=click.IntRange(min=2),
    default=300,
    show_default=True,
    help="Networks kept and measured in every round.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Epochs of adaptation in every round.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=96,
    show_default=True,
    help="Images in a step of adaptation.",
)
@click.option(
    "--learning-rate",
    default=0.01,
    show_default=True,
    help="Learning rate at the start of the cosine schedule.",
)
@click.option(
    "--calibration",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Images to recalibrate batch norms on.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="PyTorch threads."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@json_option
@options_of(SearchRequest)
def search(request: SearchRequest) -> None:
    """Search for networks with Neural Architecture Transfer.

    Evolves networks, adapts the shared weights to the best of them, and prints those that trade
    the objectives off best.

    An interrupted search resumes: run the same command again.
    """
    from hwnat.search.tables import adopt_tables

    # The options are checked before PyTorch is loaded.
    config = request.config
    adopt_tables(config)
    import torch

    from hwnat.search.stage import search as run

    torch.set_num_threads(request.threads)
    with reporter() as live:
        front = run(config, request.folder, progress=live.report, tell=live.say)
    if request.as_json:
        print_json(front)
        return
    print_front(front)
    echo(f"Export one with: hwnat export --run {request.folder} --pick knee", err=True)


def print_front(front: "Front") -> None:
    """Print the front's networks, the most accurate first."""
    from hwnat.search.objectives import Objective

    costs = [
        (index, Objective.parse(name.replace("file_bytes", "size")))
        for index, name in enumerate(front.objectives)
        if name != "error"
    ]
    rows = [
        (
            str(position),
            candidate.genome,
            f"{100 - candidate.error_percent:.2f} %",
            f"{100 - candidate.test_error_percent:.2f} %",
            *(objective.show(candidate.costs[index]) for index, objective in costs),
        )
        for position, candidate in enumerate(front.candidates)
    ]
    names = [objective.kind for _, objective in costs]
    columns = ("pick", text("genome"), "validation top-1", "test top-1", *names)
    print_table("", columns, rows)
