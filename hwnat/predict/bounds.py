"""Bound the latency of a network when some of its genes are still open."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.predict.slots import Floats, Integers, SlotCosts
from hwnat.records.space import MAX_DEPTH, MIN_DEPTH

#: Stands for an open gene.
FREE = -1


class LatencyBounds:
    """Exact bounds over all completions of a partial genome, under the space's own rules.

    Slots add up, so a stage's best completion does not depend on any other stage. A bound is a
    sum of table look-ups, tried at each corner that an open resolution or width allows.
    """

    def __init__(self, costs: SlotCosts) -> None:
        self.costs = costs
        self._least = _Completions(costs, np.min)
        self._most = _Completions(costs, np.max)

    def least_ns(self, genomes: npt.ArrayLike) -> Floats:
        """Return the (n,) ns of the fastest completions of (n, genes) genomes.

        The result is exact except for rounding of the last digits. An open resolution or width
        may take any value that the slot costs cover.

        Args:
            genomes: integers; -1 marks an open gene.

        Raises:
            UsageError: a gene is out of range, or a row has no canonical completion.
            DataError: the slot costs do not cover a resolution or width.
        """
        return self._least(self._rows(genomes))

    def most_ns(self, genomes: npt.ArrayLike) -> Floats:
        """Return the (n,) ns of the slowest completions; otherwise the same as `least_ns`."""
        return self._most(self._rows(genomes))

    def _rows(self, genomes: npt.ArrayLike) -> Integers:
        rows, space = np.asarray(genomes), self.costs.space
        if rows.ndim != 2 or rows.shape[1] != space.genes or rows.dtype.kind not in "iu":
            msg = (
                f"Partial genomes of {space.name} are an (n, {space.genes}) array of integers, "
                f"{FREE} for an open gene; got {rows.dtype} {rows.shape}."
            )
            raise UsageError(msg)
        low, high = space.bounds
        high[2:] = np.minimum(high[2:], self.costs.choices - 1)
        wrong = (rows != FREE) & ((rows < low) | (rows > high))
        if wrong.any():
            row, gene = map(int, np.argwhere(wrong)[0])
            msg = (
                f"Gene {gene} of partial genome {row} of {space.name} is {rows[row, gene]}; "
                f"it must be {FREE} or lie in {low[gene]}..{high[gene]}."
            )
            raise UsageError(msg)
        third, fourth = rows[:, 2 + MIN_DEPTH :: MAX_DEPTH], rows[:, 3 + MIN_DEPTH :: MAX_DEPTH]
        if (wrong := (third == 0) & (fourth > 0)).any():
            row, stage = map(int, np.argwhere(wrong)[0])
            msg = (
                f"Partial genome {row} of {space.name} has no canonical completion: stage {stage} "
                "skips its third block but not its fourth."
            )
            raise UsageError(msg)
        return rows.astype(np.int64, copy=False)


class _Completions:
    """Best completion of each stage in each corner; `best` takes the minimum or the maximum."""

    def __init__(self, costs: SlotCosts, best: Callable[..., Floats]) -> None:
        self._costs, self._best = costs, best
        self._never = np.inf if best is np.min else -np.inf
        slots = costs.block_ns.reshape(-1, MAX_DEPTH, *costs.block_ns.shape[1:])
        # A gene's axis starts with the open gene at 0; its values follow.
        self._first = self._mandatory(slots[:, :MIN_DEPTH, :, 1:])
        pairs = slots[:, 2, :, :, None] + slots[:, 3, :, None, :]
        pairs[:, :, 0, 1:] = self._never
        pairs = np.concatenate([best(pairs, axis=2, keepdims=True), pairs], axis=2)
        self._last = np.concatenate([best(pairs, axis=3, keepdims=True), pairs], axis=3)

    def _mandatory(self, values: Floats) -> Floats:
        """Prepend the best of all choices and a skip that is never taken."""
        least = self._best(values, axis=-1, keepdims=True)
        never = np.full_like(least, self._never)
        return np.concatenate([least, never, values], axis=-1)

    def __call__(self, rows: Integers) -> Floats:
        best_ns = np.full(len(rows), self._never)
        seen = np.zeros(len(rows), np.bool_)
        stages = np.arange(len(self._first))
        genes = rows[:, 2:].reshape(len(rows), len(stages), MAX_DEPTH) + 1
        for corner, head in enumerate(self._costs.heads):
            here = ((rows[:, :2] == FREE) | (rows[:, :2] == head)).all(axis=1)
            g = genes[here]
            total = self._costs.fixed_ns[corner] + (
                self._first[stages, 0, corner, g[:, :, 0]]
                + self._first[stages, 1, corner, g[:, :, 1]]
                + self._last[stages, corner, g[:, :, 2], g[:, :, 3]]
            ).sum(axis=1)
            best_ns[here] = self._best(np.stack([best_ns[here], total]), axis=0)
            seen |= here
        if not seen.all():
            raise self._costs.outside(rows[int((~seen).argmax())].tolist())
        return best_ns
