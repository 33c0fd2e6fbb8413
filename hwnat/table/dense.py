"""A block table's entries as arrays over slot, corner and gene.

A corner is a pair of resolution and width: `resolution gene * widths + index of the width`. In a
corner, a block's cost depends only on its slot and gene, so a network is a sum over slots.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.records.grid import grid
from hwnat.records.space import MAX_BLOCK, MAX_DEPTH, Space
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Marks a latency that the table lacks; a sum that needs it is missing too.
MISSING: Final = -1
CHOICES: Final = MAX_BLOCK + 1
#: Genomes summed at a time, so that the gathered values stay in the cache.
_CHUNK: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseTable:
    """Entries in nanoseconds before calibration; MISSING where the table lacks one.

    Attributes:
        space: the space whose genomes select the entries.
        fixed_ops: operations that every network runs.
        fixed_ns: (corners,) overhead plus the entries of those operations.
        fixed_var: (corners,) sum of their squared half-widths, in ns².
        block_ns: (slots, corners, choices) entries; gene 0 costs 0.
        half_ns: (slots, corners, choices) half-widths of the entries' own 90 % intervals.
        op: (slots, corners, choices) numbers; equal numbers mean the same operation and entry.
    """

    space: Space
    fixed_ops: int
    fixed_ns: Integers
    fixed_var: Floats
    block_ns: Integers
    half_ns: Floats
    op: Integers

    def __post_init__(self) -> None:
        for array in (self.fixed_ns, self.fixed_var, self.block_ns, self.half_ns, self.op):
            array.setflags(write=False)

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(corners,) True where no entry is missing."""
        blocks = (self.block_ns != MISSING).all(axis=(0, 2))
        return np.asarray((self.fixed_ns != MISSING) & blocks)

    def sums(
        self, genomes: Integers, *, variance: Floats | None = None
    ) -> tuple[Integers, Integers]:
        """Add up (n, genes) genomes; return (n,) nanoseconds and (n,) numbers of operations.

        Args:
            genomes: any integers. The sum is MISSING where a row is not a canonical genome of the
                space, or needs a missing entry.
            variance: (n,) output array for the squared half-widths of the sums, in ns².
        """
        sums, ops = np.empty(len(genomes), np.int64), np.empty(len(genomes), np.int64)
        for start in range(0, len(genomes), _CHUNK):
            here = slice(start, start + _CHUNK)
            sums[here], ops[here] = self._chunk(
                genomes[here], None if variance is None else variance[here]
            )
        return sums, ops

    def _chunk(self, genomes: Integers, variance: Floats | None) -> tuple[Integers, Integers]:
        widths = [gene for gene, _ in self.space.skeletons]
        canonical = (self.space.repair(genomes) == genomes).all(axis=1)
        canonical &= np.isin(genomes[:, 1], widths)
        rows = np.where(canonical[:, None], genomes, self.space.bounds[0])
        corners = rows[:, 0] * len(widths) + np.searchsorted(widths, rows[:, 1])
        genes = rows[:, 2:]
        cells = np.arange(genes.shape[1]), corners[:, None], genes
        fixed_ns, block_ns = self.fixed_ns[corners], self.block_ns[cells]
        covered = canonical & (fixed_ns != MISSING) & (block_ns != MISSING).all(axis=1)
        if variance is not None:
            variance[:] = self.fixed_var[corners] + self._block_variance(cells)
        sums = np.where(covered, fixed_ns + block_ns.sum(axis=1), MISSING)
        return sums, self.fixed_ops + np.count_nonzero(genes, axis=1)

    def _block_variance(self, cells: tuple[Integers, Integers, Integers]) -> Floats:
        """Return the (n,) squared half-widths of block sums; equal blocks of a stage err alike."""
        half_ns, op = self.half_ns[cells], self.op[cells]
        total = np.square(half_ns).sum(axis=1)
        halves = [half_ns[:, depth::MAX_DEPTH] for depth in range(MAX_DEPTH)]
        ops = [op[:, depth::MAX_DEPTH] for depth in range(MAX_DEPTH)]
        for a, b in combinations(range(MAX_DEPTH), 2):
            total += 2 * (halves[a] * halves[b] * (ops[a] == ops[b])).sum(axis=1)
        return np.asarray(total)


def half_width_ns(entry: Entry) -> int:
    """Return the longer side of an entry's own 90 % interval; the shorter would be too narrow."""
    return max(entry.p50_ns - entry.low_ns, entry.high_ns - entry.p50_ns)


def squared_half_widths(entries: Iterable[tuple[str, Entry]]) -> float:
    """Return the squared half-width of the sum of a network's (key, entry) pairs, in ns².

    Different operations err independently; one used twice makes the same error twice.
    """
    halves: dict[str, int] = {}
    for key, entry in entries:
        halves[key] = halves.get(key, 0) + half_width_ns(entry)
    return float(sum(half**2 for half in halves.values()))


def lay_out(table: LatencyTable, space: Space) -> DenseTable:
    """Arrange every entry that the networks of `space` can need in a dense table."""
    _, classes = table.of_space()
    shape = (space.genes - 2, len(space.resolutions) * len(space.skeletons), CHOICES)
    numbers: dict[str, int] = {}
    fixed_ns, fixed_var = np.full(shape[1], MISSING), np.zeros(shape[1])
    block_ns, half_ns, op = np.full(shape, MISSING), np.zeros(shape), np.full(shape, -1)
    block_ns[:, :, 0] = 0
    corners = ((size, width) for size in space.resolutions for width, _ in space.skeletons)
    fixed_ops = 0
    for corner, (size, width) in enumerate(corners):
        here = grid(space, size, width, classes=classes, batch=table.setup.batch)
        fixed_ops = len(here.fixed)
        fixed = [op.key for op in here.fixed]
        if all(key in table.entries for key in fixed):
            fixed_ns[corner] = table.sum_ns(fixed)
            fixed_var[corner] = squared_half_widths((key, table.entries[key]) for key in fixed)
        for slot, choices in enumerate(here.blocks):
            for gene, block in enumerate(choices, start=1):
                key = block.key
                op[slot, corner, gene] = numbers.setdefault(key, len(numbers))
                if (entry := table.entries.get(key)) is not None:
                    block_ns[slot, corner, gene] = entry.p50_ns
                    half_ns[slot, corner, gene] = half_width_ns(entry)
    return DenseTable(
        space=space,
        fixed_ops=fixed_ops,
        fixed_ns=fixed_ns,
        fixed_var=fixed_var,
        block_ns=block_ns,
        half_ns=half_ns,
        op=op,
    )
