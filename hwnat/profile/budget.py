"""Budgets: which operations to time first, when to stop, and what more timings would gain."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.predict.workload import family, log_size
from hwnat.profile.select import farthest_first
from hwnat.records.op import OpSpec

Floats = npt.NDArray[np.float64]

#: Share of the budget in the first batch; each later batch is a fifth of the budget.
_FIRST: Final = 0.4
_FURTHER: Final = 0.2
#: A kind with fewer families is too small to fit; some sizes of each family are timed first.
_RARE: Final = 5
_RARE_SIZES: Final = 3
#: With fewer entries, the held-out error means nothing.
_LEAST: Final = 12


def informative_order(ops: Sequence[OpSpec]) -> tuple[OpSpec, ...]:
    """Order operations so that every prefix of the list is spread over all of them.

    Operations that differ only in the size of their map are one family. Kinds with few families
    come first, because no other operation helps to predict them. Then each family in turn adds one
    size, different from that of the previous family, then the size farthest from that, and so on.
    Within a turn, the next family is the one farthest from all before it.

    Source: farthest-point sampling, a greedy 2-approximation of the k-centre problem (Gonzalez,
    Clustering to minimize the maximum intercluster distance, 1985).
    """
    turns: list[list[OpSpec]] = [[]]
    families: dict[str, list[OpSpec]] = {}
    for op in ops:
        families.setdefault(family(op), []).append(op)
    kinds = Counter(members[0].kind for members in families.values())
    for number, members in enumerate(families.values()):
        members.sort(key=log_size, reverse=True)
        rare = kinds[members[0].kind] < _RARE
        sizes = np.array([[log_size(op)] for op in members])
        begin = 0 if rare else number % len(members)
        for place, index in enumerate(farthest_first(sizes, begin=begin)):
            turn = 0 if rare and place < _RARE_SIZES else place + 1
            turns.extend([] for _ in range(turn + 1 - len(turns)))
            turns[turn].append(members[index])
    ordered: list[OpSpec] = []
    for some in turns:
        if some:
            ordered += [some[index] for index in farthest_first(_coordinates(some))]
    return tuple(ordered)


def batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split the keys within a budget into batches; timing may stop after each."""
    first = max(_LEAST, round(_FIRST * len(keys)))
    step = max(1, round(_FURTHER * len(keys)))
    yield keys[:first]
    for start in range(first, len(keys), step):
        yield keys[start : start + step]


def expected_error(curve: Sequence[tuple[int, float]], timings: int) -> float | None:
    """Extrapolate a curve of (timings, held-out error) by a power law that does not rise.

    Return None for fewer than two points or if an error is zero.
    """
    if len(curve) < 2 or min(error for _, error in curve) <= 0:
        return None
    n, errors = np.log(np.array(curve, np.float64)).T
    slope = min(0.0, float(np.polyfit(n, errors, 1)[0]))
    return float(np.exp(errors[-1] + slope * (np.log(timings) - n[-1])))


def _coordinates(ops: Sequence[OpSpec]) -> Floats:
    """Return (n, features), with zero mean and unit spread, that distinguish families."""
    rows = [
        (
            *np.log([op.in_shape[1] * op.in_shape[2], op.in_shape[3], op.out_shape[3]]),
            np.log(max(op.mid_channels, 1)),
            op.kernel,
            op.stride,
            op.se_channels > 0,
            op.residual,
            *(op.kind == kind for kind in sorted({other.kind for other in ops})),
            *(op.act == act for act in sorted({other.act for other in ops})),
        )
        for op in ops
    ]
    values = np.array(rows, np.float64)
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
