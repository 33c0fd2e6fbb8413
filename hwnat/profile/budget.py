"""Few timings: which operations to time first, when to stop, and what more would bring."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.records.op import OpSpec

Floats = npt.NDArray[np.float64]

#: Share of the budget in the first batch; each further one is a fifth of the budget.
_FIRST: Final = 0.4
_FURTHER: Final = 0.2
#: Held-out errors of a handful of entries say nothing.
_LEAST: Final = 12


def telling_order(ops: Sequence[OpSpec]) -> tuple[OpSpec, ...]:
    """Order operations so that every beginning of the list is spread over all of them.

    Operations that differ in nothing but the size of their map are one family. Each family
    gives its largest, then its smallest, then its farthest remaining size; among families of
    the same turn the next is the one farthest from all before it.

    Source: farthest-point sampling, a greedy 2-approximation of the k-centre problem (Gonzalez,
    Clustering to minimize the maximum intercluster distance, 1985).
    """
    turns: list[list[OpSpec]] = []
    families: dict[OpSpec, list[OpSpec]] = {}
    for op in ops:
        families.setdefault(_family(op), []).append(op)
    for members in families.values():
        members.sort(key=lambda op: -op.in_shape[1] * op.in_shape[2])
        sizes = np.log([[op.in_shape[1] * op.in_shape[2]] for op in members])
        for turn, index in enumerate(_farthest_first(sizes)):
            if turn == len(turns):
                turns.append([])
            turns[turn].append(members[index])
    ordered: list[OpSpec] = []
    for some in turns:
        ordered += [some[index] for index in _farthest_first(_coordinates(some))]
    return tuple(ordered)


def batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut what a budget allows into the batches between which timing may stop."""
    first = max(_LEAST, round(_FIRST * len(keys)))
    step = max(1, round(_FURTHER * len(keys)))
    yield keys[:first]
    for start in range(first, len(keys), step):
        yield keys[start : start + step]


def expected_error(curve: Sequence[tuple[int, float]], timings: int) -> float | None:
    """Extrapolate a curve of (timings, held-out error) by a power law that does not rise.

    None with fewer than two points, or with an error of zero among them.
    """
    if len(curve) < 2 or min(error for _, error in curve) <= 0:
        return None
    n, errors = np.log(np.array(curve, np.float64)).T
    slope = min(0.0, float(np.polyfit(n, errors, 1)[0]))
    return float(np.exp(errors[-1] + slope * (np.log(timings) - n[-1])))


def _family(op: OpSpec) -> OpSpec:
    if op.out_hw is not None:
        return op
    batch, *_, channels = op.in_shape
    return replace(op, in_shape=(batch, 1, 1, channels))


def _coordinates(ops: Sequence[OpSpec]) -> Floats:
    """Return (n, features) of zero mean and unit spread: what makes one family unlike another."""
    rows = [
        (
            *np.log([op.in_shape[1] * op.in_shape[2], op.in_shape[3], op.out_shape[3]]),
            np.log(max(op.mid_channels, 1)),
            op.kernel,
            op.stride,
            op.se_channels > 0,
            op.residual,
            *(op.kind == kind for kind in sorted({each.kind for each in ops})),
            *(op.act == act for act in sorted({each.act for each in ops})),
        )
        for op in ops
    ]
    values = np.array(rows, np.float64)
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _farthest_first(points: Floats) -> list[int]:
    """Order (n, d) points: the first, then always the one farthest from all before it."""
    order, nearest = [0], np.full(len(points), np.inf)
    for _ in range(len(points) - 1):
        away = ((points - points[order[-1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, away)
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
    return order
