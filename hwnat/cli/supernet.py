"""`hwnat supernet`: train shared weights, and describe a weights file."""

from dataclasses import dataclass
from pathlib import Path

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, options_of, print_facts, print_json
from hwnat.cli.progress import reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What `hwnat supernet train` was asked for."""

    space: str
    data: str
    out: Path
    epochs: int
    batch: int
    learning_rate: float
    jitter: float
    start: str | None
    flip: bool
    threads: int
    seed: int


@click.group()
def supernet() -> None:
    """Train a supernet or describe its weights."""


@supernet.command()
@click.option("--space", default="mbv3-nano", show_default=True, help="Search space.")
@click.option(
    "--data",
    required=True,
    help="Folder of images by class, IDX folder, .npz file, or 'digits'.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Weights file to write."
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=11,
    show_default=True,
    help="Passes over the training images.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=128, show_default=True, help="Images in a step."
)
@click.option(
    "--learning-rate",
    default=0.1,
    show_default=True,
    help="Highest learning rate of the cosine schedule.",
)
@click.option(
    "--jitter",
    default=0.1,
    show_default=True,
    help="Random change of scale and position, as a share of the image.",
)
@click.option("--from", "start", help="Weights to start from. Default: random weights.")
@click.option(
    "--flip/--no-flip", help="Mirror images at random. Do not use it for characters. Default: off."
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="PyTorch threads."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@options_of(TrainRequest)
def train(request: TrainRequest) -> None:
    """Train shared weights by the sandwich rule.

    An interrupted training resumes: run the same command again.
    """
    from hwnat.records.space import get_space
    from hwnat.supernet.recipe import Recipe

    # The options are checked before PyTorch is loaded.
    space = get_space(request.space)
    recipe = Recipe(
        epochs=request.epochs,
        batch=request.batch,
        learning_rate=request.learning_rate,
        jitter=request.jitter,
        flip=request.flip,
        seed=request.seed,
    )
    import torch

    from hwnat.data.readers import load_dataset
    from hwnat.supernet.network import Supernet, weights_path
    from hwnat.supernet.train import train as train_weights

    torch.set_num_threads(request.threads)
    dataset = load_dataset(request.data)
    weights = Supernet.load(weights_path(request.start)) if request.start else None
    if weights is None:
        weights = Supernet.fresh(space, classes=dataset.classes, seed=request.seed)
    elif weights.classes != dataset.classes:
        weights = weights.transfer(classes=dataset.classes, seed=request.seed)
    with reporter() as live:
        train_weights(
            weights,
            dataset,
            recipe,
            out=request.out,
            progress=lambda done, total, _loss: live.report("train", done, total),
        )
    echo(str(request.out))


@supernet.command()
@click.argument("weights", default="mbv3-nano")
@click.option("--data", help="Also test the smallest and the largest network on this data set.")
@json_option
def info(weights: str, data: str | None, as_json: bool) -> None:
    """Describe a weights file.

    WEIGHTS is a file, or the name of a space whose weights are shipped.
    """
    from hwnat.supernet.network import weights_info, weights_path

    path = weights_path(weights)
    facts: dict[str, object] = {"file": str(path), "bytes": path.stat().st_size}
    facts |= weights_info(path)
    test = _extremes(path, data) if data else None
    if as_json:
        print_json(facts if test is None else {**facts, "test": test})
        return
    print_facts(facts.items())
    for name, top1 in (test or {}).items():
        echo(f"test top-1 of the {name} network: {top1:.2f} %")


def _extremes(path: Path, data: str) -> dict[str, float]:
    """Test accuracy of the largest and the smallest network, batch norms recalibrated."""
    from hwnat.data.readers import load_dataset
    from hwnat.records.arch import Arch
    from hwnat.supernet.accuracy import Evaluator
    from hwnat.supernet.network import Supernet

    network, dataset = Supernet.load(path), load_dataset(data)
    evaluator = Evaluator(network, dataset)
    space = network.space
    genomes = {"largest": space.largest(), "smallest": space.smallest()}
    return {
        name: 100 - evaluator.error(Arch(space=space, genome=genome), dataset.test)
        for name, genome in genomes.items()
    }
