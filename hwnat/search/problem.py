"""Evolution and environmental selection by NSGA-III; only this and `nat` use pymoo."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import InfeasibleError
from hwnat.records.grid import resolution_gene
from hwnat.records.space import Genomes, Space
from hwnat.search.objectives import Limit

if TYPE_CHECKING:
    from pymoo.core.problem import Problem

Floats = npt.NDArray[np.float64]
Score = Callable[[Genomes], Floats]

_DIRECTIONS: Final = 100
_CROSSOVER: Final = 0.9
_MUTATION_PER_GENE: Final = 0.1
_MUTATION_ETA: Final = 1.0
#: A suggested limit is the best value times this.
_ROOM: Final = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The networks that a search may choose: those at some resolutions of a space.

    Attributes:
        space: the search space.
        resolutions: the allowed resolutions of the space.

    Raises:
        UsageError: the space lacks one of the resolutions.
    """

    space: Space
    resolutions: tuple[int, ...]

    def __post_init__(self) -> None:
        self._genes()

    def _genes(self) -> Genomes:
        genes = {resolution_gene(self.space, size) for size in self.resolutions}
        return np.array(sorted(genes), dtype=np.int64)

    def repair(self, genomes: npt.ArrayLike) -> Genomes:
        """Return canonical genomes, each at the nearest allowed resolution."""
        fixed, genes = self.space.repair(genomes), self._genes()
        fixed[:, 0] = genes[np.abs(fixed[:, :1] - genes).argmin(axis=1)]
        return fixed

    def sample(self, count: int, *, rng: np.random.Generator) -> Genomes:
        """Draw (count, genes) canonical genomes; see `Space.sample`."""
        drawn = self.space.sample(count, rng=rng)
        if len(genes := self._genes()) < len(self.space.resolutions):
            drawn[:, 0] = rng.choice(genes, size=count)
        return drawn

    def extremes(self) -> Genomes:
        """Return (2, genes): the smallest and the largest network."""
        return self.repair([self.space.smallest(), self.space.largest()])


def evolve(  # noqa: PLR0913 - the problem, its start and its budget
    *,
    region: Region,
    initial: Genomes,
    evaluate: Score,
    violations: Score | None = None,
    limits: Sequence[Limit] = (),
    population: int = 100,
    generations: int = 100,
    seed: int,
) -> Genomes:
    """Evolve networks that trade off the objectives within the limits.

    Args:
        region: the networks to choose from.
        initial: (n, genes) canonical genomes to begin with, usually the archive; filled up to
            `population` with random ones, and with the smallest network if there are limits.
        evaluate: (n, genes) -> (n, objectives), every column minimised.
        violations: (n, genes) -> (n, limits), value / limit - 1; called only if there are limits.
        limits: the columns of `violations`, for messages.
        population: networks in each generation; at least the number of directions (100) for
            the published spread.
        generations: number of generations, with the first, which only evaluates `initial`.
        seed: the same seed gives the same networks.

    Returns:
        (k, genes) distinct canonical genomes of the last generation within all limits.

    Raises:
        InfeasibleError: no network within the limits was found; the message has each broken
            limit, the best value and a limit that can be met.

    Source: NAT (arXiv:2005.05859): NSGA-III with Riesz-energy directions, uniform crossover,
    polynomial integer mutation. Deviation: objectives are scaled by their range in the first
    generation, because pymoo compares them with absolute tolerances.
    """
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.operators.crossover.ux import UX
    from pymoo.operators.mutation.pm import PM
    from pymoo.optimize import minimize

    start = _start(region, initial, population, seed, smallest=bool(limits))
    problem = _problem(region.space, start, evaluate, violations if limits else None, len(limits))
    algorithm = NSGA3(
        ref_dirs=_directions(problem.n_obj, min(_DIRECTIONS, population)),
        pop_size=population,
        sampling=start,
        crossover=UX(prob=_CROSSOVER),
        mutation=PM(prob=1.0, prob_var=_MUTATION_PER_GENE, eta=_MUTATION_ETA),
        repair=_repair(region),
    )
    # pymoo turns off all warnings of the process while it normalises.
    with warnings.catch_warnings():
        result = minimize(
            problem, algorithm, ("n_gen", generations), seed=seed, copy_algorithm=False
        )
    genomes = np.unique(result.pop.get("X").astype(np.int64), axis=0)
    if not limits or violations is None:
        return genomes
    excess = violations(genomes)
    kept = (excess <= 0).all(axis=1)
    if not kept.any():
        raise InfeasibleError(_infeasible(limits, excess, generations * population))
    return np.asarray(genomes[kept])


def survive(costs: npt.ArrayLike, count: int, *, seed: int) -> npt.NDArray[np.intp]:
    """Choose `count` rows by NSGA-III's environmental selection.

    Args:
        costs: (n, objectives), every column minimised.
        count: rows to keep; all are kept if there are fewer.
        seed: breaks ties between rows of one niche.

    Returns:
        Ascending indices of the chosen rows.

    Source: NAT: non-dominated sorting, hyperplane normalisation, niching to 100 directions.
    """
    from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem

    points = np.asarray(costs, dtype=np.float64)
    if len(points) <= count:
        return np.arange(len(points))
    low, scale = _range(points)
    crowd: Population = Population.new("F", (points - low) / scale)
    crowd.set("row", np.arange(len(points)))
    survival = ReferenceDirectionSurvival(_directions(points.shape[1], _DIRECTIONS))
    with warnings.catch_warnings():
        survivors = survival.do(
            Problem(n_obj=points.shape[1]),
            crowd,
            n_survive=count,
            random_state=np.random.default_rng(seed),
        )
    return np.sort(survivors.get("row").astype(np.intp))


@cache
def _directions(objectives: int, count: int) -> Floats:
    """Return (count, objectives) Riesz-energy directions, the same in every process.

    For two objectives they are evenly spaced, so they are computed directly (pymoo's optimiser
    takes five seconds and agrees within .0015).
    """
    from pymoo.util.ref_dirs import get_reference_directions

    if objectives == 1:
        return np.ones((1, 1))
    if objectives == 2:
        share = np.linspace(0, 1, count)
        return np.column_stack([share, 1 - share])
    return np.asarray(get_reference_directions("energy", objectives, count, seed=1))


def _start(
    region: Region, initial: Genomes, population: int, seed: int, *, smallest: bool
) -> Genomes:
    """Return at least `population` distinct genomes, unless the space has fewer."""
    rng = np.random.default_rng([seed, 1])
    extra = region.sample(population, rng=rng)
    if smallest:
        extra = np.vstack([region.extremes()[:1], extra])
    genomes = np.vstack([region.repair(initial), extra])
    wanted = max(population, len(initial)) + smallest
    _, first = np.unique(genomes, axis=0, return_index=True)
    return np.asarray(genomes[np.sort(first)][:wanted])


def _range(points: Floats) -> tuple[Floats, Floats]:
    low = points.min(axis=0)
    spread = points.max(axis=0) - low
    return low, np.where(spread > 0, spread, 1.0)


def _problem(
    space: Space, start: Genomes, evaluate: Score, violations: Score | None, limits: int
) -> "Problem":
    """Wrap the scores as a pymoo problem; objectives are scaled by their range in `start`."""
    from pymoo.core.problem import Problem

    first = evaluate(start)
    origin, scale = _range(first)

    class Scaled(Problem):  # type: ignore[misc]
        def _evaluate(
            self, x: npt.NDArray[Any], out: dict[str, Floats], *_: object, **__: object
        ) -> None:
            genomes = x.astype(np.int64)
            out["F"] = (evaluate(genomes) - origin) / scale
            if violations is not None:
                out["G"] = violations(genomes)

    low, high = space.bounds
    return Scaled(
        n_var=space.genes, n_obj=first.shape[1], n_ieq_constr=limits, xl=low, xu=high, vtype=int
    )


def _repair(region: Region) -> Any:  # noqa: ANN401 - pymoo has no types
    """Round and canonicalise offspring before pymoo removes duplicates."""
    from pymoo.core.repair import Repair

    class Canonical(Repair):  # type: ignore[misc]
        def _do(
            self,
            problem: "Problem",  # noqa: ARG002 - pymoo passes it by name
            X: npt.NDArray[Any],
            **__: object,
        ) -> Genomes:
            return region.repair(np.rint(X.astype(np.float64)))

    return Canonical()


def _infeasible(limits: Sequence[Limit], excess: Floats, evaluations: int) -> str:
    """Describe the network that comes closest and the limits that it meets."""
    nearest = excess[np.argmin(excess.clip(min=0).sum(axis=1))]
    parts = []
    for limit, over in zip(limits, nearest, strict=True):
        if over > 0:
            best = limit.at_most * (1 + over)
            parts.append(
                f"{limit.text}: the best is {limit.objective.show(best)}; "
                f"try {limit.text_for(best * _ROOM)}."
            )
    return f"No network within the limits among {evaluations} tried. " + " ".join(parts)
