"""`hwnat supernet`: train shared weights, and say what a weights file holds."""

from pathlib import Path

import click

from hwnat.cli.output import json_option, print_json, print_table, progress_bar


@click.group()
def supernet() -> None:
    """Train a supernet or describe one."""


@supernet.command()
@click.option("--space", default="mbv3-nano", show_default=True, help="Search space.")
@click.option("--data", required=True, help="Image folder, IDX folder, .npz file or 'digits'.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Weights to write.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=11,
    show_default=True,
    help="Passes over the training part.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=128, show_default=True, help="Images in a step."
)
@click.option("--learning-rate", default=0.1, show_default=True, help="Peak of the cosine.")
@click.option("--jitter", default=0.1, show_default=True, help="Of scale and position.")
@click.option("--from", "start", help="Weights to go on from, of their own space.")
@click.option("--flip/--no-flip", help="Mirror images at random; wrong for characters.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)
def train(
    space: str,
    data: str,
    out: Path,
    epochs: int,
    batch: int,
    learning_rate: float,
    jitter: float,
    start: str | None,
    flip: bool,
    threads: int,
    seed: int,
) -> None:
    """Train by the sandwich rule; the same command goes on where it was interrupted."""
    import torch

    from hwnat.data.readers import load_dataset
    from hwnat.records.space import get_space
    from hwnat.supernet.network import Supernet, weights_path
    from hwnat.supernet.train import Recipe
    from hwnat.supernet.train import train as train_weights

    torch.set_num_threads(threads)
    dataset = load_dataset(data)
    weights = Supernet.load(weights_path(start)) if start else None
    if weights is None:
        weights = Supernet.fresh(get_space(space), classes=dataset.classes, seed=seed)
    elif weights.classes != dataset.classes:
        weights = weights.transfer(classes=dataset.classes, seed=seed)
    recipe = Recipe(
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        jitter=jitter,
        flip=flip,
        seed=seed,
    )
    with progress_bar() as report:
        train_weights(
            weights,
            dataset,
            recipe,
            out=out,
            progress=lambda done, total, _loss: report("training", done, total) if report else None,
        )
    click.echo(str(out))


@supernet.command()
@click.argument("weights", default="mbv3-nano")
@click.option("--data", help="Also measure the extreme networks on this data set's test part.")
@json_option
def info(weights: str, data: str | None, as_json: bool) -> None:
    """Describe WEIGHTS: a file, or the name of a space whose weights are shipped."""
    from hwnat.supernet.network import weights_info, weights_path

    path = weights_path(weights)
    facts: dict[str, object] = {"file": str(path), "bytes": path.stat().st_size}
    facts |= weights_info(path)
    if data:
        facts["test"] = _extremes(path, data)
    if as_json:
        print_json(facts)
        return
    print_table("Weights", ("what", "value"), [(k, v) for k, v in facts.items() if k != "test"])
    for name, top1 in facts.get("test", {}).items():  # type: ignore[attr-defined]
        click.echo(f"test top-1 of the {name} network: {top1:.2f} %")


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
