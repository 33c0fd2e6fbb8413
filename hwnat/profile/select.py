"""Choose which of too many operators to time: those farthest apart in their features."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnat.predict.features import model_kind, row
from hwnat.predict.learned import MIN_SAMPLES
from hwnat.records.op import OpSpec

Floats = npt.NDArray[np.float64]


def farthest(
    ops: Sequence[OpSpec], count: int, *, beside: Sequence[OpSpec] = ()
) -> tuple[OpSpec, ...]:
    """Return `count` operators, each farthest from those before it and from `beside`.

    Features are scaled to unit spread. First each kind in turn gets as many as its model needs;
    the rest are chosen by the largest distance. If all operators fit, all are returned.

    Source: farthest-point sampling (Gonzalez, 1985).
    """
    if count >= len(ops):
        return tuple(ops)
    every = [*beside, *ops]
    x = np.stack([row(op) for op in every])
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    kinds = np.array([model_kind(op) for op in every])
    same = kinds[:, None] == kinds[None, :]
    # An operator does not help to predict one of another kind.
    apart = np.where(same, ((x[:, None] - x[None]) ** 2).sum(axis=2), np.inf)[len(beside) :]
    nearest = apart[:, : len(beside)].min(axis=1, initial=np.inf)
    held = {kind: int((kinds[: len(beside)] == kind).sum()) for kind in dict.fromkeys(kinds)}
    own, chosen = kinds[len(beside) :], list[int]()
    while len(chosen) < max(0, count):
        free = nearest >= 0
        fewest = min(held[kind] for kind in own[free])
        if fewest < MIN_SAMPLES:
            free &= np.array([held[kind] == fewest for kind in own])
        best = int(np.argmax(np.where(free, nearest, -1)))
        chosen.append(best)
        held[own[best]] += 1
        nearest = np.minimum(nearest, apart[:, len(beside) + best])
        nearest[best] = -1
    return tuple(ops[index] for index in sorted(chosen))


def farthest_first(points: Floats, *, begin: int = 0) -> list[int]:
    """Order (n, d) points: first `begin`, then each time the farthest from all before it."""
    order, nearest = [begin], np.full(len(points), np.inf)
    for _ in range(len(points) - 1):
        nearest = np.minimum(nearest, ((points - points[order[-1]]) ** 2).sum(axis=1))
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
    return order
