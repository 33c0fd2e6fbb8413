"""Which of too many operators to time: those farthest from one another in what models look at."""

from collections.abc import Sequence

import numpy as np

from hwnat.predict.features import row
from hwnat.records.op import OpSpec


def farthest(
    ops: Sequence[OpSpec], count: int, *, beside: Sequence[OpSpec] = ()
) -> tuple[OpSpec, ...]:
    """Return `count` operators, each the farthest from those before it and from `beside`.

    Features are scaled to unit spread; kinds are apart from one another by more than any two
    operators of a kind, so every kind gets its share. All of them are returned if they fit.

    Source: farthest-point sampling (Gonzalez, 1985).
    """
    if count >= len(ops):
        return tuple(ops)
    if count < 1:
        return ()
    every = [*beside, *ops]
    x = np.stack([row(op) for op in every])
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    kinds = sorted({op.kind for op in every})
    apart = 2 * float(np.abs(x).max()) * x.shape[1] ** 0.5
    where = np.array([apart * kinds.index(op.kind) for op in every])
    x = np.concatenate([x, where[:, None]], axis=1)
    known, rest = x[: len(beside)], x[len(beside) :]
    distance = np.full(len(rest), np.inf)
    for each in known:
        distance = np.minimum(distance, ((rest - each) ** 2).sum(axis=1))
    chosen: list[int] = []
    for _ in range(count):
        best = int(np.argmax(distance)) if np.isfinite(distance).all() else 0
        chosen.append(best)
        distance = np.minimum(distance, ((rest - rest[best]) ** 2).sum(axis=1))
        distance[best] = -1
    return tuple(ops[index] for index in sorted(chosen))
