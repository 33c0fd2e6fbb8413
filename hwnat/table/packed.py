"""Cells that a network's genes point at: one gather for two genes, one for what always runs.

Two genes are read as one number. Numbers that no canonical genome has own cells too, as does a
resolution that was not measured; what they hold says that the network is refused. Variances take
one gather for the four genes of a stage, because blocks of a stage may be the same operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError
from hwnat.records.space import MAX_BLOCK, MAX_DEPTH, MIN_DEPTH, Space
from hwnat.table.dense import CHOICES, MISSING, DenseTable, Floats, Integers

Codes = npt.NDArray[np.int16]
Number = TypeVar("Number", np.int64, np.float64)

#: A cell holds nanoseconds and, in its low bits, operations: one gather adds up both.
_BITS: Final = 8
_OPS: Final = (1 << _BITS) - 1
#: No sum of cells makes up for it: one look at the sign finds what is refused.
_REFUSED: Final = -(1 << 56)
#: Genomes handled at a time: their indices stay in the cache.
_CHUNK: Final = 8192
#: Cells of two slots, and of a stage, in one corner.
_PAIR: Final = CHOICES**2
_STAGE: Final = CHOICES**MAX_DEPTH
#: What a byte holds; no space has as many resolutions or widths.
_LARGEST: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedTable:
    """What queries gather from; a head is `gene 0 * widths + gene 1`.

    Attributes:
        space: whose genomes these are.
        resolutions: how many values gene 0 has.
        widths: one more than the largest gene 1.
        heads: (heads,) cells of what every network runs.
        head_var: (heads,) squared half-widths of those entries, ns².
        corners: (heads,) place of each corner among those that are measured.
        pairs: (slots / 2, corners * _PAIR) cells of two neighbouring slots.
        stage_var: (stages, corners * _STAGE) squared half-widths of four, ns².
    """

    space: Space
    resolutions: int
    widths: int
    heads: Integers
    head_var: Floats
    corners: npt.NDArray[np.intp]
    pairs: Integers
    stage_var: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for each in (self.heads, self.head_var, self.corners, self.pairs, self.stage_var):
            each.setflags(write=False)

    def sums(self, rows: Integers, *, var: Floats | None = None) -> tuple[Integers, Integers]:
        """Add up (n, genes) genomes; returns (n,) nanoseconds and (n,) operations.

        Args:
            rows: any integers. Negative nanoseconds answer what is no canonical genome of the
                space, or needs an entry that is missing.
            var: (n,), filled with the squared half-widths of the sums, ns².
        """
        cells = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), _CHUNK):
            here = slice(start, start + _CHUNK)
            self._chunk(rows[here], cells[here], None if var is None else var[here])
        return cells >> _BITS, cells & _OPS

    def sum(self, genome: Sequence[int]) -> tuple[int, int]:
        """Do what `sums` does for one genome, without what a call of numpy costs."""
        resolution, width, *genes = genome
        inside = 0 <= resolution < self.resolutions and 0 <= width < self.widths
        if not inside or min(genes) < 0 or max(genes) > MAX_BLOCK:
            return -1, 0
        head, item = resolution * self.widths + width, self.pairs.item
        cells, start = self.heads.item(head), self.corners.item(head) * _PAIR
        step = self.pairs.shape[1]
        for first, second in zip(genes[::2], genes[1::2], strict=True):
            cells += item(start + CHOICES * first + second)
            start += step
        return cells >> _BITS, cells & _OPS

    def _chunk(self, rows: Integers, cells: Integers, var: Floats | None) -> None:
        genes = self._genes(rows)
        if genes is None:
            low, high = self.space.bounds
            inside: npt.NDArray[np.bool_] = np.all((rows >= low) & (rows <= high), axis=1)
            self._chunk(np.where(inside[:, None], rows, low), cells, var)
            cells[~inside] = -1
            return
        heads = genes[0].astype(np.intp) * self.widths + genes[1]
        self.heads.take(heads, out=cells, mode="clip")
        corners = self.corners.take(heads)
        codes = genes[2::2] * CHOICES + genes[3::2]
        starts = corners * _PAIR
        for code, pair in zip(codes, self.pairs, strict=True):
            cells += pair.take(starts + code)
        if var is None:
            return
        self.head_var.take(heads, out=var, mode="clip")
        starts = corners * _STAGE
        for code, stage in zip(codes[::2] * _PAIR + codes[1::2], self.stage_var, strict=True):
            var += stage.take(starts + code)

    def _genes(self, rows: Integers) -> Codes | None:
        """Return (genes, n), or None where a gene has no cell."""
        # Viewed as unsigned, what is negative is huge: one pass finds what a byte cannot hold.
        if rows.view(np.uint64).max() > _LARGEST:
            return None
        # As bytes first: to transpose eight times as much takes three times as long.
        genes = rows.astype(np.uint8).T.astype(np.int16, order="C")
        inside = genes[0].max() < self.resolutions and genes[1].max() < self.widths
        return genes if inside and genes[2:].max() <= MAX_BLOCK else None


def pack(dense: DenseTable, space: Space) -> PackedTable:
    """Sum up every stage in every corner whose fixed operations are there."""
    if max(int(bound.max()) for bound in space.bounds) > _LARGEST:
        msg = f"Space {space.name} has genes above {_LARGEST}, more than a compiled table takes."
        raise DataError(msg)
    genes = np.array([gene for gene, _ in space.skeletons])
    resolutions, widths = len(space.resolutions), int(genes.max()) + 1
    measured = np.flatnonzero(dense.fixed_ns != MISSING)
    heads = measured // len(genes) * widths + genes[measured % len(genes)]
    cells, head_var = np.full(resolutions * widths, _REFUSED), np.zeros(resolutions * widths)
    cells[heads] = (dense.fixed_ns[measured] << _BITS) + dense.fixed_ops
    head_var[heads] = dense.fixed_var[measured]
    corners = np.zeros(resolutions * widths, np.intp)
    corners[heads] = np.arange(len(measured))
    # Without any measured corner every head refuses, but what is gathered beside it must exist.
    kept = measured if len(measured) else np.array([0])
    slots = space.genes - 2
    return PackedTable(
        space=space,
        resolutions=resolutions,
        widths=widths,
        heads=cells,
        head_var=head_var,
        corners=corners,
        pairs=_pair_cells(dense.block_ns[:, kept]).reshape(slots // 2, -1),
        stage_var=_stage_var(dense.half_ns[:, kept], dense.op[:, kept]).reshape(
            slots // MAX_DEPTH, -1
        ),
    )


def _pair_cells(block_ns: Integers) -> Integers:
    """Sum (slots, corners, choices) up to (slots / 2, corners, two genes)."""
    cells = np.where(block_ns == MISSING, _REFUSED, (block_ns << _BITS) + 1)
    cells[:, :, 0] = 0
    required = np.arange(len(cells)) % MAX_DEPTH < MIN_DEPTH
    cells[required, :, 0] = _REFUSED
    pairs = cells[::2, :, :, None] + cells[1::2, :, None]
    # A stage's fourth block needs the third; the first two are there or refused above.
    pairs[:, :, 0, 1:] = _REFUSED
    return pairs


def _stage_var(half_ns: Floats, op: Integers) -> npt.NDArray[np.float32]:
    """Sum squared half-widths likewise; those of one operation used twice add up first."""
    found = np.zeros((len(op) // MAX_DEPTH, op.shape[1], *[CHOICES] * MAX_DEPTH))
    halves = [_along(half_ns[slot::MAX_DEPTH], slot) for slot in range(MAX_DEPTH)]
    ops = [_along(op[slot::MAX_DEPTH], slot) for slot in range(MAX_DEPTH)]
    for half in halves:
        found += half**2
    for a, b in combinations(range(MAX_DEPTH), 2):
        found += np.where(ops[a] == ops[b], 2 * halves[a] * halves[b], 0)
    return found.astype(np.float32)


def _along(values: npt.NDArray[Number], slot: int) -> npt.NDArray[Number]:
    """Turn (stages, corners, choices) so that the choices lie along a slot's own axis."""
    lone = [1] * MAX_DEPTH
    lone[slot] = CHOICES
    return values.reshape(*values.shape[:2], *lone)
