"""Find the best additive score under a latency limit, exactly.

Source of the problem: HardCoRe-NAS (arXiv:2102.11646), whose accuracy is a sum over blocks and
whose latency is a hard limit. In one corner, this is a multiple-choice knapsack. It is solved by
merging Pareto fronts of (latency, score) group by group, so latencies are never rounded to a grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import InfeasibleError, UsageError
from hwnat.predict.fronts import LATENCY_ROUNDING, Points, Relaxed, merge
from hwnat.predict.slots import Floats, Integers, SlotCosts
from hwnat.records.space import MAX_DEPTH, MIN_BLOCK, MIN_DEPTH

#: Relative difference that one network's scores, summed in another order, stay below.
_SCORE_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A chosen network with its latency and score."""

    genome: tuple[int, ...]
    score: float
    latency_ns: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreFront:
    """All Pareto-optimal networks, fastest first, without duplicates.

    Attributes:
        genomes: (n, genes) genomes.
        latency_ns: (n,) latencies, rising.
        score: (n,) scores, rising.
    """

    genomes: Integers
    latency_ns: Floats
    score: Floats


def best_under(
    costs: SlotCosts,
    scores: npt.ArrayLike,
    *,
    limit_ns: float,
    corner_scores: npt.ArrayLike | None = None,
) -> Choice:
    """Maximise the sum of scores over networks that take at most `limit_ns`.

    The result is exact; the fastest network wins a tie. Each front drops the points that cannot
    reach the best known network's score (by the knapsack's linear relaxation), so few remain.
    Without this, fronts could grow exponentially in the number of slots.

    Args:
        costs: slot costs from `AdditivePredictor.slot_costs`.
        scores: (slots, choices), or (slots, corners, choices); choice 0 is the score of a skipped
            block. Mandatory blocks never take it.
        limit_ns: latency that must not be exceeded, except for rounding of the last digits.
        corner_scores: (corners,) scores added to every network of a corner.

    Raises:
        InfeasibleError: no network is that fast; the message names the fastest.
        UsageError: scores have the wrong shape, are not finite or leave millions of points, or
            the limit is not positive.
    """
    if not 0 < limit_ns < np.inf:
        msg = f"Latency limit {limit_ns} ns is not above zero."
        raise UsageError(msg)
    corners = _corners(costs, scores, corner_scores)
    least_ns = [corner.relaxed.latency_ns[0] for corner in corners]
    within = limit_ns * (1 + LATENCY_ROUNDING)
    if min(least_ns) > within:
        raise _infeasible(costs, corners[int(np.argmin(least_ns))], limit_ns)
    slack = _SCORE_ROUNDING * (1 + max(corner.size for corner in corners))
    known = max(corner.relaxed.reached(limit_ns) for corner in corners) - slack
    choices: list[tuple[float, float, Integers]] = []
    for corner in corners:
        if corner.relaxed.bound(np.array([within]))[0] >= known:
            points = corner.merge(within=within, known=known)
            best = points.score[-1:], -points.latency_ns[-1:], points.genomes[-1:]
            choices += zip(*best, strict=True)
    genome = max(choices, key=lambda choice: choice[:2])[2]
    return _choice(costs, genome, scores, corner_scores)


def score_front(
    costs: SlotCosts, scores: npt.ArrayLike, *, corner_scores: npt.ArrayLike | None = None
) -> ScoreFront:
    """Return every trade-off of latency and score; arguments and errors as in `best_under`.

    Only dominance removes points here, so time and memory grow with the front: a stage takes
    O(n * choices² * log n) for a front of n points so far.
    """
    front = Points.joined([corner.merge() for corner in _corners(costs, scores, corner_scores)])
    return ScoreFront(genomes=front.genomes, latency_ns=front.latency_ns, score=front.score)


class _Corner:
    """The knapsack of one corner: groups of slots that choose independently."""

    def __init__(self, head: Points, groups: Sequence[Points]) -> None:
        self.groups = [head, *groups]
        self.relaxed = Relaxed(self.groups)
        self.size = sum(float(np.abs(group.score).max()) for group in self.groups)

    def merge(self, *, within: float = np.inf, known: float = -np.inf) -> Points:
        """Return the front of whole networks within a latency and with at least a score."""
        front = self.groups[0]
        for index in range(1, len(self.groups)):
            rest = Relaxed(self.groups[index + 1 :])
            front = merge(front, self.groups[index], rest, within=within, known=known)
        return front


def _corners(
    costs: SlotCosts, scores: npt.ArrayLike, corner_scores: npt.ArrayLike | None
) -> list[_Corner]:
    slots, extra = _checked(costs, scores, corner_scores)
    return [
        _Corner(
            Points(
                latency_ns=costs.fixed_ns[[corner]],
                score=extra[[corner]],
                genes=costs.heads[[corner]].astype(np.int16),
            ),
            _groups(costs.block_ns[:, corner], slots[:, corner]),
        )
        for corner in range(len(costs.fixed_ns))
    ]


def _checked(
    costs: SlotCosts, scores: npt.ArrayLike, corner_scores: npt.ArrayLike | None
) -> tuple[Floats, Floats]:
    """Return scores as (slots, corners, choices) and (corners,)."""
    slots = np.asarray(scores, np.float64)
    corners = len(costs.fixed_ns)
    extra = np.zeros(corners) if corner_scores is None else np.asarray(corner_scores, np.float64)
    shape = costs.block_ns.shape
    if slots.shape == (shape[0], shape[2]):
        slots = np.broadcast_to(slots[:, None], shape)
    if slots.shape != shape or extra.shape != (corners,):
        msg = (
            f"Scores of {costs.space.name} are {shape} or {shape[::2]}, and ({corners},) of "
            f"corners; got {slots.shape} and {extra.shape}."
        )
        raise UsageError(msg)
    if not (np.isfinite(slots).all() and np.isfinite(extra).all()):
        msg = f"Scores of {costs.space.name} must be finite."
        raise UsageError(msg)
    return slots, extra


def _groups(latency_ns: Floats, scores: Floats) -> list[Points]:
    """Split (slots, choices) into one front per mandatory block and per pair of later blocks."""
    choices = np.arange(latency_ns.shape[1], dtype=np.int16)
    lone = choices[MIN_BLOCK:, None]
    pairs = np.array([(a, b) for a in choices for b in choices if a or not b], np.int16)
    groups = []
    for stage in range(0, len(latency_ns), MAX_DEPTH):
        members = [(stage + slot, lone) for slot in range(MIN_DEPTH)]
        for slot, genes in [*members, (stage + MIN_DEPTH, pairs)]:
            at = np.arange(slot, slot + genes.shape[1])
            points = Points(
                latency_ns=latency_ns[at, genes].sum(axis=1),
                score=scores[at, genes].sum(axis=1),
                genes=genes,
            )
            groups.append(Points.joined([points]))
    return groups


def _choice(
    costs: SlotCosts,
    genome: Integers,
    scores: npt.ArrayLike,
    corner_scores: npt.ArrayLike | None,
) -> Choice:
    slots, extra = _checked(costs, scores, corner_scores)
    corner = int(costs.corner(genome[None])[0])
    chosen = slots[np.arange(len(slots)), corner, genome[2:]]
    return Choice(
        genome=tuple(map(int, genome)),
        score=float(extra[corner] + chosen.sum()),
        latency_ns=float(costs.latency_ns(genome[None])[0]),
    )


def _infeasible(costs: SlotCosts, corner: _Corner, limit_ns: float) -> InfeasibleError:
    fastest = np.concatenate([group.genes[0] for group in corner.groups])
    least_ns = float(costs.latency_ns(fastest[None])[0])
    msg = (
        f"No network of {costs.space.name} takes {limit_ns:.0f} ns or less; the fastest, "
        f"{costs.space.encode(fastest.tolist())}, takes {least_ns:.0f} ns. Allow at least that."
    )
    return InfeasibleError(msg)
