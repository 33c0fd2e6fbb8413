"""A block table's entries as arrays over slot, corner and gene.

A corner is a pair of resolution and width: `resolution gene * widths + index of the width`. In a
corner, a block's cost depends on its slot and gene only, so a network is a sum over slots.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.records.grid import grid
from hwnat.records.space import MAX_BLOCK, Space
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Stands for a latency that the table lacks; no sum of real ones makes up for it.
MISSING: Final = -1
CHOICES: Final = MAX_BLOCK + 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseTable:
    """Entries in nanoseconds before calibration; MISSING where the table lacks one.

    Attributes:
        fixed_ops: operations that every network runs.
        fixed_ns: (corners,) overhead plus the entries of those operations.
        fixed_var: (corners,) sum of their squared half-widths, ns².
        block_ns: (slots, corners, choices) entries; gene 0 costs 0.
        half_ns: (slots, corners, choices) half-widths of the entries' own 90 % intervals.
        op: (slots, corners, choices) numbers; equal numbers are one operation, so one entry.
    """

    fixed_ops: int
    fixed_ns: Integers
    fixed_var: Floats
    block_ns: Integers
    half_ns: Floats
    op: Integers

    def __post_init__(self) -> None:
        for each in (self.fixed_ns, self.fixed_var, self.block_ns, self.half_ns, self.op):
            each.setflags(write=False)

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(corners,): nothing at all is missing there."""
        blocks = (self.block_ns != MISSING).all(axis=(0, 2))
        return np.asarray((self.fixed_ns != MISSING) & blocks)


def half_width_ns(entry: Entry) -> int:
    """Return the longer side of an entry's own 90 % interval: the other would promise too much."""
    return max(entry.p50_ns - entry.low_ns, entry.high_ns - entry.p50_ns)


def squared_half_widths(entries: Iterable[tuple[str, Entry]]) -> float:
    """Return the squared half-width of the sum of a network's (key, entry) pairs, in ns².

    Different operations err independently; one that is used twice errs twice the same way.
    """
    halves: dict[str, int] = {}
    for key, entry in entries:
        halves[key] = halves.get(key, 0) + half_width_ns(entry)
    return float(sum(half**2 for half in halves.values()))


def lay_out(table: LatencyTable, space: Space) -> DenseTable:
    """Put every entry that networks of `space` can ask for into its place."""
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
        found = [table.entries.get(each.key) for each in here.fixed]
        fixed = [each for each in found if each is not None]
        if len(fixed) == fixed_ops:
            fixed_ns[corner] = table.overhead_ns + sum(each.p50_ns for each in fixed)
            fixed_var[corner] = sum(half_width_ns(each) ** 2 for each in fixed)
        for slot, choices in enumerate(here.blocks):
            for gene, block in enumerate(choices, start=1):
                key = block.key
                op[slot, corner, gene] = numbers.setdefault(key, len(numbers))
                if (entry := table.entries.get(key)) is not None:
                    block_ns[slot, corner, gene] = entry.p50_ns
                    half_ns[slot, corner, gene] = half_width_ns(entry)
    return DenseTable(
        fixed_ops=fixed_ops,
        fixed_ns=fixed_ns,
        fixed_var=fixed_var,
        block_ns=block_ns,
        half_ns=half_ns,
        op=op,
    )
