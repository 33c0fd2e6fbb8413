"""The search as one stage: from weights, data and tables on disk to a front on disk."""

import hashlib
from dataclasses import replace
from pathlib import Path

from hwnat.data.readers import Dataset, load_dataset
from hwnat.errors import DataError
from hwnat.predict.additive import AdditivePredictor
from hwnat.records.space import get_space
from hwnat.search.nat import Progress, Search
from hwnat.search.objectives import CostModel, Limit, Objective
from hwnat.search.run import Front, SearchConfig, read_front
from hwnat.supernet.network import Supernet, weights_path
from hwnat.table.lookup import load_table


def search(config: SearchConfig, folder: Path, *, progress: Progress | None = None) -> Front:
    """Run a search to its end, or go on with the one in `folder`.

    Args:
        config: what to search; `inputs` is filled in here.
        folder: made if absent; see `hwnat.search.run` for what it holds.
        progress: called with words, how much is done and how much there is.

    Raises:
        UsageError: unknown names, or `folder` holds a search with other settings.
        InfeasibleError: no network of the space keeps the limits.
        DataError: weights of another space, a damaged file.
        TableMismatchError: a table of another space.
    """
    data = load_dataset(config.data)
    run = prepare(config, data, folder)
    if (folder / "front.json").is_file():
        return read_front(folder)
    return run.finish(run.run(progress), progress)


def prepare(config: SearchConfig, data: Dataset, folder: Path) -> Search:
    """Load weights and tables and look into the folder; nothing is written yet."""
    space = get_space(config.space)
    objectives = [Objective.parse(text) for text in config.objectives]
    limits = [Limit.parse(text) for text in config.limits]
    path = weights_path(config.weights)
    weights = Supernet.load(path)
    if weights.space.name != space.name:
        msg = f"{path} holds weights of {weights.space.name}, not {space.name}; pass others."
        raise DataError(msg)
    wanted = [*objectives, *(limit.objective for limit in limits)]
    tables = {each.table: load_table(each.table) for each in wanted if each.table}
    latency = {
        name: AdditivePredictor(table, space, classes=data.classes).latency_ns
        for name, table in tables.items()
    }
    costs = CostModel.build(
        space=space, classes=data.classes, objectives=objectives, limits=limits, latency=latency
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    inputs = {name: table.table_id for name, table in tables.items()}
    inputs |= {"weights": digest, "data": data.digest}
    return Search(
        replace(config, inputs=tuple(sorted(inputs.items()))),
        supernet=weights.transfer(classes=data.classes, seed=config.seed),
        data=data,
        costs=costs,
        folder=folder,
    )
