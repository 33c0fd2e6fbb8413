"""The search as one stage: from weights, data and tables on disk to a front on disk."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hwnat.data.readers import Dataset, load_dataset
from hwnat.errors import DataError
from hwnat.predict.additive import AdditivePredictor
from hwnat.records.lock import folder_lock
from hwnat.records.space import get_space
from hwnat.search.nat import Progress, Search
from hwnat.search.objectives import CostModel, Limit, Objective
from hwnat.search.run import Front, SearchConfig, check_folder, read_front
from hwnat.search.tables import adopt_tables, warn_of_untimed
from hwnat.supernet.network import Supernet, weights_path
from hwnat.table.lookup import LatencyTable


def search(
    config: SearchConfig,
    folder: Path,
    *,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Front:
    """Run a search to its end, or continue the one in `folder`.

    Args:
        config: what to search; `inputs` is filled in here.
        folder: created if it does not exist; see `hwnat.search.run` for what it holds.
        progress: called with words, how much is done and how much there is.
        tell: called with a line that you should know before the search begins.

    Raises:
        UsageError: an unknown name, `folder` holds a search with other settings, or another
            process is using it.
        InfeasibleError: no network of the space keeps the limits.
        DataError: weights of another space, a damaged file, or an adaptation that diverged.
        TableMismatchError: a table of another space.
    """
    config, tables = adopt_tables(config)
    if tell:
        warn_of_untimed(tables, tell)
    run = prepare(config, load_dataset(config.data), tables, folder)
    # Limits that no network keeps are refused before the folder exists.
    run.choose_first()
    with folder_lock(folder):
        check_folder(folder, run.config)
        if (folder / "front.json").is_file():
            return read_front(folder)
        for name, table in tables.items():
            table.save(folder / name)
        return run.finish(run.run(progress), progress)


def prepare(
    config: SearchConfig, data: Dataset, tables: Mapping[str, LatencyTable], folder: Path
) -> Search:
    """Load weights and look into the folder; nothing is written yet.

    Args:
        config: names `tables` by their keys.
        data: the task.
        tables: name -> table of a latency objective or limit.
        folder: of the run.
    """
    space = get_space(config.space)
    path = weights_path(config.weights)
    weights = Supernet.load(path)
    if weights.space.name != space.name:
        msg = f"{path} holds weights of {weights.space.name}, not {space.name}; pass others."
        raise DataError(msg)
    costs = CostModel.build(
        space=space,
        classes=data.classes,
        objectives=[Objective.parse(text) for text in config.objectives],
        limits=[Limit.parse(text) for text in config.limits],
        latency={
            name: AdditivePredictor(table, space, classes=data.classes).latency_ns
            for name, table in tables.items()
        },
    )
    inputs = {name: table.table_id for name, table in tables.items()}
    inputs |= {"weights": hashlib.sha256(path.read_bytes()).hexdigest(), "data": data.digest}
    located = replace(
        config,
        # The folder may be used from another working directory.
        data=str(Path(config.data).resolve()) if Path(config.data).exists() else config.data,
        weights=str(path.resolve()) if Path(config.weights).exists() else config.weights,
        inputs=tuple(sorted(inputs.items())),
    )
    return Search(
        located,
        supernet=weights.transfer(classes=data.classes, seed=config.seed),
        data=data,
        costs=costs,
        folder=folder,
    )
