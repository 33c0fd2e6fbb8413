"""Pareto fronts of partial networks in (latency, score), and bounds on their completions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.predict.slots import Floats, Integers

#: Relative difference that two sums of the same numbers in another order stay below.
LATENCY_ROUNDING: Final = 1e-12
#: Pairs merged at a time.
_PAIRS: Final = 1 << 21
#: Most points in one front; they take half a gigabyte.
_MOST_POINTS: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Partial networks: (n,) latencies in ns, (n,) scores and (n, some) genes."""

    latency_ns: Floats
    score: Floats
    genes: npt.NDArray[np.int16]

    @classmethod
    def joined(cls, parts: Sequence["Points"]) -> "Points":
        """Return the points that no other point beats in both, fastest first."""
        whole = cls(
            latency_ns=np.concatenate([part.latency_ns for part in parts]),
            score=np.concatenate([part.score for part in parts]),
            genes=np.concatenate([part.genes for part in parts]),
        )
        return whole[undominated(whole.latency_ns, whole.score)]

    @property
    def genomes(self) -> Integers:
        """The (n, some) genes as 64-bit integers."""
        return self.genes.astype(np.int64)

    def __getitem__(self, kept: Integers) -> "Points":
        return Points(
            latency_ns=self.latency_ns[kept], score=self.score[kept], genes=self.genes[kept]
        )


class Relaxed:
    """Best score for a latency if neighbours on a group's concave hull may be mixed.

    Its breakpoints mix nothing, so networks with their latencies and scores exist.
    """

    def __init__(self, groups: Sequence[Points]) -> None:
        steps = np.concatenate([np.empty((0, 2)), *(_hull_steps(group) for group in groups)])
        steps = steps[np.argsort(-steps[:, 1] / steps[:, 0], kind="stable")]
        first = [sum(g.latency_ns[0] for g in groups), sum(g.score[0] for g in groups)]
        self.latency_ns, self.score = np.cumsum(np.vstack([first, steps]), axis=0).T

    def bound(self, limit_ns: Floats) -> Floats:
        """Return upper bounds (n,) on scores within (n,) limits in ns; -inf if no network fits."""
        score = np.interp(limit_ns, self.latency_ns, self.score)
        # Rounding must not lose a network that fits exactly.
        least = self.latency_ns[0] * (1 - LATENCY_ROUNDING)
        return np.where(limit_ns < least, -np.inf, score)

    def reached(self, limit_ns: float) -> float:
        """Return the score of an existing network within the limit; -inf if there is none."""
        at = int(np.searchsorted(self.latency_ns, limit_ns, side="right"))
        return float(self.score[at - 1]) if at else -np.inf


def _hull_steps(group: Points) -> Floats:
    """Return the (steps, 2) latency and score between neighbours on the concave hull."""
    hull: list[tuple[float, float]] = []
    for x, y in zip(group.latency_ns.tolist(), group.score.tolist(), strict=True):
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (y1 - y0) * (x - x1) > (y - y1) * (x1 - x0):
                break
            hull.pop()
        hull.append((x, y))
    return np.diff(np.array(hull), axis=0)


def merge(left: Points, right: Points, rest: Relaxed, *, within: float, known: float) -> Points:
    """Return the front of the sums that can still end within a latency and above a score."""
    rows = max(1, _PAIRS // len(right.score))
    parts = []
    for start in range(0, max(1, len(left.score)), rows):
        stop = start + rows
        latency_ns = (left.latency_ns[start:stop, None] + right.latency_ns).ravel()
        score = (left.score[start:stop, None] + right.score).ravel()
        kept = np.arange(len(score))
        if within < np.inf:
            reach = rest.bound(within - latency_ns)
            kept = np.flatnonzero((reach > -np.inf) & (score + reach >= known))
        kept = kept[undominated(latency_ns[kept], score[kept])]
        first, second = np.divmod(kept, len(right.score))
        genes = np.hstack([left.genes[start + first], right.genes[second]])
        parts.append(Points(latency_ns=latency_ns[kept], score=score[kept], genes=genes))
    front = parts[0] if len(parts) == 1 else Points.joined(parts)
    if len(front.score) > _MOST_POINTS:
        msg = (
            f"Over {_MOST_POINTS} partial networks are Pareto-optimal in latency and score: these "
            "scores all but follow latency, so nearly every network is a trade-off of its own."
        )
        raise UsageError(msg)
    return front


def undominated(latency_ns: Floats, score: Floats) -> Integers:
    """Return the indices of the Pareto-optimal points, fastest first."""
    order = np.lexsort((-score, latency_ns))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], score[order]]))
    return np.asarray(order[best[1:] > best[:-1]])
