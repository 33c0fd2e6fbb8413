"""Compile a block table for a space, to predict a whole population at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hwnat.errors import TableMismatchError, UncoveredOpError, UsageError
from hwnat.records.arch import Arch, as_genomes
from hwnat.records.space import Space
from hwnat.table.dense import MISSING, DenseTable, Floats, Integers, lay_out
from hwnat.table.lookup import LatencyTable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkEstimates:
    """Predicted latencies of n networks with 90 % intervals.

    Attributes:
        latency_ns: (n,) predictions.
        low_ns: (n,), as is `high_ns`; None if the calibration has too few networks.
    """

    latency_ns: Floats
    low_ns: Floats | None
    high_ns: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledTable:
    """A table as arrays for the genomes of `space`; `compile_table` makes it.

    Its intervals combine two sources. The calibration's residual (relative, a conformal rank of
    leave-one-out errors) covers every error of this table's whole networks, including the errors
    of their entries. The entries' own intervals show how much *more* uncertain a network is than
    those. Different operations err independently, so their half-widths add in quadrature; an
    operation used twice makes the same error twice. The excess over the calibration networks is
    added to the residual, again in quadrature:

        half² = residual² + max(0, entries² - mean of entries² over the calibration networks)

    Networks made of similar entries therefore keep the measured residual, and transferred or
    interpolated entries, which are less certain, widen it.

    Attributes:
        dense: entries by slot, corner and gene.
        residual: half-width of the calibration alone; None if it has too few networks.
        usual: mean over the calibration networks of their entries' squared relative half-width;
            a network that cannot be looked up counts as 0, which widens intervals.
    """

    table: LatencyTable
    space: Space
    dense: DenseTable
    residual: float | None
    usual: float = 0.0

    def __repr__(self) -> str:
        return f"CompiledTable({self.table.name}, {len(self.table.entries)} entries)"

    def latency_ns(self, genomes: object) -> Floats:
        """Predict n networks and return (n,) nanoseconds.

        Entries are integers, so the order of summation does not change the result.

        Args:
            genomes: (n, genes) canonical genomes, or networks as `as_genomes` takes them.

        Raises:
            UncoveredOpError: a network needs an entry that the table lacks.
            UsageError: not an array of canonical genomes of the space.
        """
        return self.table.calibration.apply(*self._sums(as_genomes(self.space, genomes)))

    def estimate(self, genomes: object) -> NetworkEstimates:
        """Predict n networks with 90 % intervals.

        Raises:
            UncoveredOpError: a network needs an entry that the table lacks.
            UsageError: not an array of canonical genomes of the space.
        """
        rows = as_genomes(self.space, genomes)
        entries_var = np.empty(len(rows))
        latency_ns = self.table.calibration.apply(*self._sums(rows, variance=entries_var))
        low_ns, high_ns = self.interval_ns(latency_ns, entries_var) or (None, None)
        return NetworkEstimates(latency_ns=latency_ns, low_ns=low_ns, high_ns=high_ns)

    def interval_ns(
        self, latency_ns: npt.ArrayLike, entries_var: npt.ArrayLike
    ) -> tuple[Floats, Floats] | None:
        """Return 90 % bounds of latencies; None without enough calibration networks.

        Args:
            latency_ns: predictions.
            entries_var: squared half-widths of their sums of entries before calibration, in ns².
        """
        if self.residual is None:
            return None
        predicted = np.asarray(latency_ns, np.float64)
        own = np.asarray(entries_var) * (self.table.calibration.scale / predicted) ** 2
        half = np.sqrt(self.residual**2 + np.maximum(own - self.usual, 0))
        # The half-width applies to predicted / measured - 1, so the bounds divide by it.
        return predicted / (1 + half), predicted / np.maximum(1 - half, 1e-9)

    def uncovered(self, key: str, *, image: int) -> UncoveredOpError:
        """Return the error for an uncovered operation of a network with this image size."""
        known = image in self.table.resolutions or image not in self.space.resolutions
        return self.table.uncovered(key, resolution=None if known else image)

    def _sums(self, rows: Integers, *, variance: Floats | None = None) -> tuple[Integers, Integers]:
        sums, ops = self.dense.sums(rows, variance=variance)
        if (sums == MISSING).any():
            self._refuse(rows[int((sums == MISSING).argmax())].tolist())
        return sums, ops

    def _refuse(self, genome: Sequence[int]) -> NoReturn:
        """Raise the error for a genome that has no latency."""
        canonical = self.space.check(genome)
        widths = [gene for gene, _ in self.space.skeletons]
        if canonical[1] not in widths:
            msg = f"Gene 1 of a {self.space.name} genome is {canonical[1]}; it is one of {widths}."
            raise UsageError(msg)
        for index, (given, wanted) in enumerate(zip(genome, canonical, strict=True)):
            if given != wanted:
                msg = (
                    f"Gene {index} of a {self.space.name} genome is {given}, but the block before "
                    f"it is skipped, so it must be 0; `Space.repair` makes genomes canonical."
                )
                raise UsageError(msg)
        arch = Arch(space=self.space, genome=canonical)
        ops = arch.ops(classes=self.table.of_space()[1], batch=self.table.setup.batch)
        key = next(op.key for op in ops if op.key not in self.table.entries)
        raise self.uncovered(key, image=arch.resolution)


def compile_table(table: LatencyTable, space: Space) -> CompiledTable:
    """Compile a block table for the genomes of its space.

    Raises:
        TableMismatchError: the table is for another space, or holds operators.
    """
    name, _ = table.of_space()
    if name != space.name:
        raise mismatch(table, "space", held=name, wanted=space.name)
    compiled = CompiledTable(
        table=table,
        space=space,
        dense=lay_out(table, space),
        residual=table.half_width,
    )
    return replace(compiled, usual=_usual(compiled))


def _usual(compiled: CompiledTable) -> float:
    """Return the mean squared relative half-width of the calibration networks' entries."""
    calibration, space = compiled.table.calibration, compiled.space
    if not calibration.networks:
        return 0.0
    known = []
    for network in calibration.networks:
        try:
            known.append(space.decode(network.genome))
        except UsageError:
            continue  # an imported network may belong to another space
    rows = np.array(known, np.int64).reshape(-1, space.genes)
    variance = np.empty(len(rows))
    sums, ops = compiled.dense.sums(rows, variance=variance)
    covered = sums != MISSING
    latency_ns = calibration.apply(sums[covered], ops[covered])
    relative = variance[covered] * (calibration.scale / latency_ns) ** 2
    return float(relative.sum()) / len(calibration.networks)


def mismatch(table: LatencyTable, what: str, *, held: object, wanted: object) -> TableMismatchError:
    """Return the error for a table that does not match the request."""
    space = wanted if what == "space" else table.space
    msg = (
        f"Table {table.name} was measured for {what} {held}, not {wanted}. Use a table of that "
        f"{what}, or measure one with: hwnat profile --device {table.setup.device} "
        f"--space {space} --classes {table.classes}"
    )
    return TableMismatchError(msg)
