"""Files of a search: its configuration, iterations and front."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypedDict

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.grid import resolution_gene
from hwnat.records.parse import read_text, record, strict_json
from hwnat.records.space import get_space
from hwnat.search.archive import Archive
from hwnat.search.objectives import Limit, Objective, require_objectives
from hwnat.search.pareto import knee
from hwnat.supernet.recipe import MAX_RATE, NAT_BATCH, NAT_RATE

# Format history of front.json. Never edit an entry; add one and a migration.
#   1  genomes with validation and test error and the objectives' costs
FRONT_SCHEMA: Final = 1
#: Adapted weights in the folder of a search, beside `front.json`.
WEIGHTS_NAME: Final = "supernet.safetensors"
_COUNTS: Final = (
    "iterations",
    "population",
    "generations",
    "models",
    "epochs",
    "batch",
    "calibration",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """Everything the result depends on; saved with the run and compared on resuming.

    Attributes:
        space: name of the search space.
        data, weights: names, or absolute paths. Their content is known by `inputs`, so a run goes
            on after they were moved.
        objectives, limits: texts; the tables in them are relative to the folder of the run.
        inputs: hashes of weights, data and tables, so that a run never continues with others.
        resolutions: those that are searched; none means all of the space.
        initial: networks of the first archive, smallest and largest among them.
        archive: networks kept after each iteration.
        training: archive members the surrogate is fitted on.
        models: radial basis functions in the surrogate.
        epochs: of adaptation in each iteration, and before the first.
        adapt: False stops adapting after the first archive (for comparison).
        calibration: training images that recalibrate batch norms before each evaluation.
    """

    space: str
    data: str
    weights: str
    objectives: tuple[str, ...]
    limits: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    resolutions: tuple[int, ...] = ()
    seed: int = 0
    iterations: int = 30
    initial: int = 100
    archive: int = 300
    training: int = 100
    population: int = 100
    generations: int = 100
    models: int = 500
    epochs: int = 5
    batch: int = NAT_BATCH
    learning_rate: float = NAT_RATE
    adapt: bool = True
    calibration: int = 2000

    def __post_init__(self) -> None:
        objectives = [Objective.parse(text) for text in self.objectives]
        require_objectives(objectives)
        for text in self.limits:
            Limit.parse(text)
        for resolution in self.resolutions:
            resolution_gene(get_space(self.space), resolution)
        for name in _COUNTS:
            if getattr(self, name) < 1:
                msg = f"A search needs at least 1 for {name}; got {getattr(self, name)}."
                raise UsageError(msg)
        if min(self.initial, self.archive, self.training) < 2 or self.seed < 0:
            msg = "A search needs two networks or more in its archives, and no negative seed."
            raise UsageError(msg)
        # Written so that NaN fails.
        if not 0 < self.learning_rate <= MAX_RATE:
            msg = (
                f"A search cannot adapt at a learning rate of {self.learning_rate:g}; "
                f"choose one above 0 and up to {MAX_RATE:g}, such as {NAT_RATE}."
            )
            raise UsageError(msg)

    @property
    def text(self) -> str:
        """The file's content."""
        return json.dumps(asdict(self), indent=1) + "\n"


class Scale(TypedDict):
    """The settings of `SearchConfig` that decide how long a search takes."""

    iterations: int
    initial: int
    archive: int
    training: int
    models: int
    generations: int
    epochs: int
    batch: int
    learning_rate: float
    calibration: int


#: For a small task on two cores: minutes instead of NAT's days. Smaller batches and a higher rate
#: make up for a thousand training images.
DEMO_SCALE: Final[Scale] = {
    "iterations": 6,
    "initial": 40,
    "archive": 40,
    "training": 40,
    "models": 200,
    "generations": 50,
    "epochs": 5,
    "batch": 32,
    "learning_rate": 0.02,
    "calibration": 500,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """State after one iteration; number 0 is the first archive.

    Attributes:
        metrics: hypervolume, surrogate's rmse, spearman and kendall on the networks it had
            predicted before they were measured, number of evaluations.
    """

    index: int
    archive: Archive
    metrics: dict[str, float]

    def __post_init__(self) -> None:
        values = self.metrics.values() if isinstance(self.metrics, dict) else [None]
        numbers = all(isinstance(value, int | float) and abs(value) < math.inf for value in values)
        if type(self.index) is not int or self.index < 0 or not numbers:
            msg = f"iteration {self.index!r} is damaged; delete it and search again."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network of the front.

    Attributes:
        error_percent: top-1 error on the validation part, which the search has optimised.
        test_error_percent: top-1 error on the test part, which is used once, after the search.
        costs: the objectives' values, in their order and units.
    """

    genome: str
    error_percent: float
    test_error_percent: float
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The non-dominated networks within the limits, fewest errors first."""

    schema: int
    space: str
    data: str
    classes: int
    objectives: tuple[str, ...]
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        if self.schema != FRONT_SCHEMA or not self.candidates:
            msg = (
                f"not a front: schema {self.schema} with {len(self.candidates)} networks. "
                "Search again in another folder."
            )
            raise DataError(msg)
        if not self.objectives or self.classes < 1:
            msg = f"not a front: {len(self.objectives)} objectives, {self.classes} classes."
            raise DataError(msg)
        for position, candidate in enumerate(self.candidates):
            errors = candidate.error_percent, candidate.test_error_percent
            # Written so that NaN fails.
            sound = all(0 <= error <= 100 for error in errors) and all(
                0 <= cost < math.inf for cost in candidate.costs
            )
            if not sound or len(candidate.costs) != len(self.objectives):
                msg = (
                    f"network {position} of the front needs {len(self.objectives)} finite costs "
                    "and errors of 0 to 100 percent. Search again in another folder."
                )
                raise DataError(msg)

    @property
    def text(self) -> str:
        """The file's content."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def pick(self, choice: str) -> tuple[int, Arch]:
        """Choose a network.

        Args:
            choice: `knee` (highest trade-off), `fastest` (lowest first cost other than the
                error), `most-accurate`, or a position counted from 0.

        Raises:
            UsageError: none of these.
        """
        costs = [candidate.costs for candidate in self.candidates]
        other = [i for i, name in enumerate(self.objectives) if name != "error"]
        if choice == "most-accurate":
            index = 0
        elif choice == "knee":
            index = knee(costs)
        elif choice == "fastest" and other:
            index = min(range(len(costs)), key=lambda row: costs[row][other[0]])
        elif choice.isdecimal() and int(choice) < len(costs):
            index = int(choice)
        else:
            msg = (
                f"Cannot pick '{choice}': say knee, fastest, most-accurate "
                f"or a number from 0 to {len(costs) - 1}."
            )
            raise UsageError(msg)
        return index, Arch.from_text(get_space(self.space), self.candidates[index].genome)


def read_front(folder: Path) -> Front:
    """Read `front.json` of a finished search.

    Raises:
        UsageError: there is no finished search in `folder`.
        DataError: the file is damaged or of another schema.
    """
    path = folder / "front.json"
    if not path.is_file():
        msg = f"{folder} holds no finished search; run: hwnat search --run {folder} …"
        raise UsageError(msg)
    raw = strict_json(read_text(path, what="front"), where=str(path))
    return record(Front, raw, where=str(path))


def weights_path(folder: Path) -> Path:
    """Return the adapted weights of a finished search.

    Raises:
        DataError: the folder does not hold them.
    """
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        msg = f"{path} is missing; copy it there, or run the same hwnat search again."
        raise DataError(msg)
    return path


def kept_table(folder: Path, objective: str) -> Path | None:
    """Return the run's copy of the table of an objective, such as `latency@tables/x.json`.

    None if the objective names no table, or one outside the folder: a received folder decides
    nothing about other files.
    """
    name = objective.partition("@")[2]
    path = folder / name
    inside = bool(name) and path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.is_file() else None


def read_config(folder: Path) -> SearchConfig:
    """Read `config.json` of a search.

    Raises:
        DataError: missing or damaged.
    """
    path = folder / "config.json"
    raw = strict_json(read_text(path, what="search configuration"), where=str(path))
    return record(SearchConfig, raw, where=str(path))


def check_folder(folder: Path, config: SearchConfig) -> None:
    """Compare the configuration with the one in `folder`, if there is one.

    Raises:
        UsageError: the folder belongs to a search with other settings; names them.
    """
    if not (folder / "config.json").exists():
        return
    held = asdict(read_config(folder))
    differing = [
        name
        for name, value in asdict(config).items()
        # Paths may change; `inputs` holds the hashes of what they name.
        if held[name] != value and name not in ("data", "weights")
    ]
    if differing:
        msg = (
            f"{folder} holds a search with other settings ({', '.join(differing)}). "
            "Use the same settings to continue it, or another folder to start a new search."
        )
        raise UsageError(msg)


def read_iteration(path: Path) -> Iteration:
    """Read one `iterations/NNN.json` of a search.

    Raises:
        DataError: missing, truncated or of another kind.
    """
    raw = strict_json(read_text(path, what="search iteration"), where=str(path))
    if not isinstance(raw, dict) or set(raw) != {"index", "archive", "metrics"}:
        msg = f"{path} is not an iteration of a search; delete it and search again."
        raise DataError(msg)
    archive = Archive.from_json(raw["archive"], where=str(path))
    try:
        return Iteration(index=raw["index"], archive=archive, metrics=raw["metrics"])
    except DataError as refused:
        msg = f"{path}: {refused}"
        raise DataError(msg) from refused


def iteration_text(iteration: Iteration) -> str:
    """Return what `read_iteration` reads."""
    raw = {
        "index": iteration.index,
        "archive": iteration.archive.to_json(),
        "metrics": iteration.metrics,
    }
    return json.dumps(raw, indent=1) + "\n"
