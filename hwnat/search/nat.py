"""Neural Architecture Transfer: search and adaptation of the shared weights, in turn.

Source: arXiv:2005.05859 and its authors' answers about archive and weights. Each iteration fits a
surrogate of the error on the archive, evolves networks with it and with exact costs, keeps the
survivors, adapts the weights to them and measures them all again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.data.readers import Dataset
from hwnat.errors import InconclusiveError, InfeasibleError
from hwnat.records.arch import Arch
from hwnat.records.space import Genomes, Space
from hwnat.records.write import write_text
from hwnat.search.archive import Archive, sample_like
from hwnat.search.objectives import CostModel
from hwnat.search.pareto import hypervolume, non_dominated
from hwnat.search.problem import Region, evolve, survive
from hwnat.search.run import (
    FRONT_SCHEMA,
    WEIGHTS_NAME,
    Candidate,
    Front,
    Iteration,
    SearchConfig,
    check_folder,
    iteration_text,
    read_iteration,
)
from hwnat.search.surrogate import RbfEnsemble, rank_metrics
from hwnat.supernet.accuracy import Evaluator
from hwnat.supernet.adapt import Adapter
from hwnat.supernet.network import Supernet
from hwnat.supernet.recipe import NAT_DECAY, Recipe
from hwnat.supernet.train import Chooser

Floats = npt.NDArray[np.float64]
#: Called with (description, amount done, total).
Progress = Callable[[str, int, int], None]

#: Error in percent at which a network is worthless; NAT's reference point.
REFERENCE_ERROR: Final = 40.0
_DRAWS_PER_NETWORK: Final = 20
_FEWEST_TO_RANK: Final = 3


def adaptation_recipe(config: SearchConfig) -> Recipe:
    """Return NAT's adaptation settings: no warm-up, no label smoothing, one cosine."""
    return Recipe(
        epochs=config.epochs,
        batch=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=NAT_DECAY,
        warmup=0.0,
        label_smoothing=0.0,
        seed=config.seed,
    )


class Search:
    """One run of NAT in a folder; `run` resumes after the last iteration there.

    Args:
        supernet: initial weights with the task's classifier; adapted in place.
        costs: exact objectives and limits of genomes.
        folder: has `config.json`, `iterations/NNN.json` and the weights of the last iteration.

    Raises:
        UsageError: the folder belongs to a search with another configuration.
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        supernet: Supernet,
        data: Dataset,
        costs: CostModel,
        folder: Path,
    ) -> None:
        self.config, self.costs, self.folder = config, costs, folder
        self.supernet, self.data = supernet, data
        self.space: Space = supernet.space
        self.region = Region(
            space=self.space, resolutions=config.resolutions or self.space.resolutions
        )
        self._chosen: Genomes | None = None
        rounds = config.iterations + 1 if config.adapt else 1
        recipe = adaptation_recipe(config)
        self._adapter = Adapter(supernet, data, recipe, rounds=rounds)
        self.evaluator = Evaluator(supernet, data, calibration=config.calibration, seed=config.seed)
        check_folder(folder, config)

    def run(self, progress: Progress | None = None) -> Iteration:
        """Search to the end and return the last iteration."""
        report = progress or (lambda _words, _done, _all: None)
        state = self._resume() or self._first(report)
        while state.index < self.config.iterations:
            state = self._next(state, report)
        return state

    def finish(self, last: Iteration, progress: Progress | None = None) -> Front:
        """Test the front once and write `front.json` beside the adapted `supernet.safetensors`.

        Raises:
            InconclusiveError: no measured network is within the limits.
        """
        archive = last.archive
        costs = self.costs(archive.genomes, archive.errors)
        allowed = self._allowed(archive)
        if not allowed.any():
            msg = (
                f"None of {len(costs)} measured networks keeps all limits once measured; "
                "loosen the limit on the error, or search for more iterations in another folder."
            )
            raise InconclusiveError(msg)
        rows = np.flatnonzero(allowed)[non_dominated(costs[allowed])]
        rows = rows[np.lexsort((*costs[rows].T, archive.errors[rows]))]
        candidates = []
        for done, row in enumerate(rows):
            if progress:
                progress("test", done + 1, len(rows))
            arch = self._arch(archive.genomes[row])
            candidates.append(
                Candidate(
                    genome=arch.text,
                    error_percent=float(archive.errors[row]),
                    test_error_percent=self.evaluator.error(arch, self.data.test),
                    costs=tuple(map(float, costs[row])),
                )
            )
        front = Front(
            schema=FRONT_SCHEMA,
            space=self.space.name,
            data=self.config.data,
            classes=self.data.classes,
            objectives=tuple(objective.name for objective in self.costs.objectives),
            candidates=tuple(candidates),
        )
        self.supernet.save(self.folder / WEIGHTS_NAME)
        write_text(self.folder / "front.json", front.text)
        return front

    def choose_first(self) -> None:
        """Choose the networks of the first archive, unless the folder already has a search.

        Raises:
            InfeasibleError: no network of the space is within the limits; nothing was written.
        """
        if not (self.folder / "config.json").exists():
            self._chosen = self._first_networks()

    def _first(self, report: Progress) -> Iteration:
        chosen = self._first_networks() if self._chosen is None else self._chosen
        return self._measure(0, chosen, np.full(len(chosen), np.nan), report)

    def _first_networks(self) -> Genomes:
        config = self.config
        drawn = self.region.sample(config.initial * _DRAWS_PER_NETWORK, rng=self._rng(0, 0))
        genomes = _distinct(np.concatenate([self.region.extremes(), drawn]))
        if self.costs.limits:
            # No errors yet: if no network is small enough, this fails now and not in an hour.
            evolved = self._evolve(genomes[: config.initial], _no_error, 0)
            genomes = _distinct(np.concatenate([genomes, evolved]))
            breach = self.costs.violations(genomes, _no_error(genomes)).clip(min=0).sum(axis=1)
            genomes = genomes[np.argsort(breach, kind="stable")]
        return genomes[: config.initial]

    def _next(self, state: Iteration, report: Progress) -> Iteration:
        config, index, old = self.config, state.index + 1, state.archive
        report("search", state.index, config.iterations)
        report("search: evolve", 0, 0)
        fitted = self._survivors(old.genomes, old.errors, config.training, index)
        surrogate = RbfEnsemble.fit(
            old.genomes[fitted], old.errors[fitted], rng=self._rng(index, 0), models=config.models
        )
        evolved = self._evolve(old.genomes, surrogate.predict, index)
        known = {genome.tobytes() for genome in old.genomes}
        fresh = evolved[[genome.tobytes() not in known for genome in evolved]]
        genomes = np.concatenate([old.genomes, fresh])
        predicted = surrogate.predict(fresh) if len(fresh) else np.empty(0)
        errors = np.concatenate([old.errors, predicted])
        kept = self._survivors(genomes, errors, config.archive, index)
        guesses = np.where(kept >= len(old.genomes), errors[kept], np.nan)
        return self._measure(index, genomes[kept], guesses, report)

    def _evolve(
        self, initial: Genomes, predict: Callable[[Genomes], Floats], index: int
    ) -> Genomes:
        config = self.config
        latest: dict[bytes, Floats] = {}

        def once(genomes: Genomes) -> Floats:
            """Predict each generation once; costs and violations need the same errors."""
            key = genomes.tobytes()
            if key not in latest:
                latest.clear()
                latest[key] = predict(genomes)
            return latest[key]

        def within(columns: list[int]) -> Genomes:
            return evolve(
                region=self.region,
                initial=initial,
                evaluate=lambda genomes: self.costs(genomes, once(genomes)),
                violations=lambda genomes: self.costs.violations(genomes, once(genomes))[
                    :, columns
                ],
                limits=[self.costs.limits[column] for column in columns],
                population=config.population,
                generations=config.generations,
                seed=self._seed(index, 1),
            )

        limits = list(enumerate(self.costs.limits))
        exact = [column for column, limit in limits if limit.objective.kind != "error"]
        try:
            return within([column for column, _ in limits])
        except InfeasibleError:
            if len(exact) == len(limits):
                raise
            # Weights still adapt, so a search does not end because an error is too large now.
            return within(exact)

    def _survivors(
        self, genomes: Genomes, errors: Floats, count: int, index: int
    ) -> npt.NDArray[np.intp]:
        """Choose by environmental selection; networks beyond a limit only fill empty places."""
        breach = self.costs.violations(genomes, errors).clip(min=0).sum(axis=1)
        allowed = np.flatnonzero(breach <= 0)
        if len(allowed) < count:
            return np.argsort(breach, kind="stable")[:count]
        costs = self.costs(genomes[allowed], errors[allowed])
        return allowed[survive(costs, count, seed=self._seed(index, 2))]

    def _measure(
        self, index: int, genomes: Genomes, guesses: Floats, report: Progress
    ) -> Iteration:
        """Adapt to `genomes`, measure them all and save the iteration."""
        weights = self.folder / f"weights-{index:03d}.safetensors"
        if self.config.adapt or index == 0:
            report("search", index, self.config.iterations)
            report("search: adapt", 0, 0)
            self._adapter.adapt(index, self._chooser(genomes))
        if index == 0:
            # The limits can be met and training works, so the folder now belongs to these settings.
            write_text(self.folder / "config.json", self.config.text)
        errors = np.empty(len(genomes))
        report("search: evaluate", 0, len(genomes))
        for position, genome in enumerate(genomes):
            errors[position] = self.evaluator.error(self._arch(genome))
            report("search: evaluate", position + 1, len(genomes))
        archive = Archive(space=self.space.name, genomes=genomes, errors=errors)
        iteration = Iteration(index=index, archive=archive, metrics=self._metrics(archive, guesses))
        # Save the weights first, so that every iteration on disk can be continued.
        self._adapter.save(weights, index=index)
        write_text(self._path(index), iteration_text(iteration))
        (self.folder / f"weights-{index - 1:03d}.safetensors").unlink(missing_ok=True)
        return iteration

    def _metrics(self, archive: Archive, guesses: Floats) -> dict[str, float]:
        costs = self.costs(archive.genomes, archive.errors)
        allowed = self._allowed(archive)
        reference = self.costs.reference(REFERENCE_ERROR, self.region.extremes()[-1])
        guessed = np.isfinite(guesses)
        metrics = {
            "hypervolume": hypervolume(costs[allowed] / reference, np.ones(costs.shape[1])),
            "best_error_percent": float(archive.errors.min()),
            "feasible": int(allowed.sum()),
            "evaluations": len(archive.genomes),
            "predicted": int(guessed.sum()),
        }
        if guessed.sum() > _FEWEST_TO_RANK:
            metrics |= rank_metrics(guesses[guessed], archive.errors[guessed])
        return metrics

    def _allowed(self, archive: Archive) -> npt.NDArray[np.bool_]:
        excess = self.costs.violations(archive.genomes, archive.errors)
        return np.asarray((excess <= 0).all(axis=1))

    def _chooser(self, genomes: Genomes) -> Chooser:
        def choose(rng: np.random.Generator) -> list[Arch]:
            return [self._arch(sample_like(self.space, genomes, 1, rng=rng)[0])]

        return choose

    def _arch(self, genome: Genomes) -> Arch:
        return Arch(space=self.space, genome=tuple(map(int, genome)))

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, index, stream])

    def _seed(self, index: int, stream: int) -> int:
        return int(self._rng(index, stream).integers(2**31))

    def _path(self, index: int) -> Path:
        return self.folder / "iterations" / f"{index:03d}.json"

    def _resume(self) -> Iteration | None:
        """Load the last iteration that has weights."""
        for path in sorted(self.folder.glob("iterations/*.json"), reverse=True):
            iteration = read_iteration(path)
            weights = self.folder / f"weights-{iteration.index:03d}.safetensors"
            if weights.exists():
                self._adapter.load(weights)
                return iteration
        return None


def _no_error(genomes: Genomes) -> Floats:
    """Replace the surrogate before the first measurement."""
    return np.zeros(len(genomes))


def _distinct(genomes: Genomes) -> Genomes:
    """Drop repeated rows, keeping the first of each."""
    _, first = np.unique(genomes, axis=0, return_index=True)
    return genomes[np.sort(first)]
