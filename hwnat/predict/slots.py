"""Split a calibrated sum exactly into the latency that each block adds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UncoveredOpError, UsageError
from hwnat.records.grid import grid, resolution_gene
from hwnat.records.space import MAX_BLOCK, MIN_BLOCK, Space
from hwnat.table.compiled import CompiledTable

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLabel:
    """The meaning of one cell of `SlotCosts.block_ns`; `gene` 0 is a skipped block."""

    slot: int
    resolution: int
    width_gene: int
    gene: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotCosts:
    """`latency = fixed_ns[corner] + sum over slots of block_ns[slot, corner, gene]`.

    A corner is a pair of resolution and width that the table covers. The costs are calibrated:
    each cell includes the scale and the cost per operation, and `fixed_ns` the constant.

    Attributes:
        space: the space of the genomes that these costs are for.
        resolutions: (corners,) image size of each corner, in pixels.
        width_genes: (corners,) gene 1 of each corner.
        fixed_ns: (corners,) latency that every network of the corner includes.
        block_ns: (slots, corners, choices); gene 0 costs 0. With fewer choices than the space,
            the space is reduced to its first genes.
    """

    space: Space
    resolutions: tuple[int, ...]
    width_genes: tuple[int, ...]
    fixed_ns: Floats
    block_ns: Floats

    def __post_init__(self) -> None:
        corners = len(self.resolutions)
        expected = (self.space.genes - 2, corners, self.choices)
        distinct = len(set(zip(self.resolutions, self.width_genes, strict=False)))
        problems = [
            (not corners, "no corner"),
            (len(self.width_genes) != corners or distinct != corners, "corners that clash"),
            (self.fixed_ns.shape != (corners,), f"fixed costs {self.fixed_ns.shape}"),
            (self.block_ns.shape != expected, f"blocks {self.block_ns.shape}, not {expected}"),
            (not MIN_BLOCK < self.choices <= MAX_BLOCK + 1, f"{self.choices} choices"),
        ]
        for wrong, what in problems:
            if wrong:
                msg = f"Slot costs of {self.space.name}: {what}."
                raise DataError(msg)
        finite = np.isfinite(self.fixed_ns).all() and np.isfinite(self.block_ns).all()
        if not finite or min(self.fixed_ns.min(), self.block_ns.min()) < 0:
            msg = f"Slot costs of {self.space.name}: latencies are finite and not negative."
            raise DataError(msg)
        if self.block_ns[..., 0].any():
            msg = f"Slot costs of {self.space.name}: a skipped block costs something."
            raise DataError(msg)
        for array in (self.fixed_ns, self.block_ns):
            array.setflags(write=False)

    @property
    def choices(self) -> int:
        """The number of values that a block's gene can have."""
        return int(self.block_ns.shape[-1])

    @property
    def heads(self) -> Integers:
        """The (corners, 2) genes 0 and 1 of each corner."""
        genes = [resolution_gene(self.space, resolution) for resolution in self.resolutions]
        return np.stack([np.array(genes), np.array(self.width_genes)], axis=1)

    def label(self, slot: int, corner: int, gene: int) -> SlotLabel:
        """Return the meaning of `block_ns[slot, corner, gene]`."""
        return SlotLabel(
            slot=slot,
            resolution=self.resolutions[corner],
            width_gene=self.width_genes[corner],
            gene=gene,
        )

    def labels(self) -> Iterator[tuple[SlotLabel, float]]:
        """Yield the label and cost of every cell, in the order of `block_ns`."""
        for (slot, corner, gene), cost in np.ndenumerate(self.block_ns):
            yield self.label(slot, corner, gene), float(cost)

    def corner(self, genomes: npt.ArrayLike) -> Integers:
        """Return the (n,) corners of (n, genes) genomes.

        Raises:
            DataError: the costs do not cover a resolution or width.
        """
        rows = np.asarray(genomes)
        same = (rows[:, None, :2] == self.heads).all(axis=2)
        if not same.any(axis=1).all():
            raise self.outside(rows[int((~same.any(axis=1)).argmax())])
        return np.asarray(same.argmax(axis=1))

    def outside(self, genome: Sequence[int]) -> DataError:
        """Return the error for a genome whose resolution and width are not covered."""
        sizes = ", ".join(map(str, sorted(set(self.resolutions))))
        msg = (
            f"Genes 0 and 1 are {genome[0]} and {genome[1]}; these slot costs of "
            f"{self.space.name} cover resolution {sizes} and width gene "
            f"{', '.join(map(str, sorted(set(self.width_genes))))} only."
        )
        return DataError(msg)

    def latency_ns(self, genomes: npt.ArrayLike) -> Floats:
        """Add up the costs of (n, genes) canonical genomes and return (n,) nanoseconds.

        Equal to the predictor's `latency_ns` except for rounding of the last digits.
        """
        rows = np.asarray(genomes)
        corners = self.corner(rows)
        slots = np.arange(len(self.block_ns))
        return np.asarray(
            self.fixed_ns[corners] + self.block_ns[slots, corners[:, None], rows[:, 2:]].sum(axis=1)
        )


def slot_costs(compiled: CompiledTable, resolutions: Sequence[int] | None = None) -> SlotCosts:
    """Decompose a compiled table at `resolutions`, by default all that it covers.

    Raises:
        UncoveredOpError: an entry is missing at one of them. It gets no substitute, because every
            use of the costs (a bound, a limit, an expectation) would be wrong.
        UsageError: there is no resolution, or the space does not have one of them.
    """
    table, space, dense = compiled.table, compiled.space, compiled.dense
    asked = table.resolutions if resolutions is None else resolutions
    if not asked:
        msg = f"Slot costs of table {table.name} need at least one resolution of {space.name}."
        raise UsageError(msg)
    genes = sorted({resolution_gene(space, resolution) for resolution in asked})
    widths = [gene for gene, _ in space.skeletons]
    corners = [gene * len(widths) + column for gene in genes for column in range(len(widths))]
    for corner in corners:
        if not dense.covered[corner]:
            raise _hole(compiled, corner)
    fit = table.calibration
    ops = dense.op[:, corners] >= 0
    return SlotCosts(
        space=space,
        resolutions=tuple(space.resolutions[gene] for gene in genes for _ in widths),
        width_genes=tuple(gene for _ in genes for gene in widths),
        fixed_ns=fit.apply(dense.fixed_ns[corners], dense.fixed_ops),
        block_ns=fit.scale * dense.block_ns[:, corners] + fit.per_op_ns * ops,
    )


def _hole(compiled: CompiledTable, corner: int) -> UncoveredOpError:
    """Return the error for the first missing entry of a corner."""
    table, space = compiled.table, compiled.space
    size = space.resolutions[corner // len(space.skeletons)]
    width, _ = space.skeletons[corner % len(space.skeletons)]
    ops = grid(space, size, width, classes=table.of_space()[1], batch=table.setup.batch)
    key = next(op.key for op in ops if op.key not in table.entries)
    return compiled.uncovered(key, image=size)
