"""Latency as a calibrated sum of a table's entries, for one network or a population."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import TableMismatchError, UncoveredOpError, UsageError
from hwnat.predict.base import Latencies, Part, Prediction, Predictor
from hwnat.records.arch import Arch
from hwnat.records.grid import grid
from hwnat.records.op import OpSpec
from hwnat.records.space import MAX_BLOCK, Space, get_space
from hwnat.table.lookup import LatencyTable

Integers = npt.NDArray[np.int64]

#: Stands for a missing entry; no sum of entries makes up for it, so one look at the sign of a
#: sum finds every network that needs one.
_MISSING: Final = -(1 << 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slots:
    """A table's entries as arrays.

    Attributes:
        fixed: (resolutions, widths) sums of what every network runs.
        blocks: (slots, resolutions * widths * (MAX_BLOCK + 1)); gene 0 costs nothing.
    """

    fixed: Integers
    fixed_ops: int
    blocks: Integers


class AdditivePredictor:
    """`calibration(overhead + sum of entries, number of operations)` of a table.

    Args:
        table: what was measured.
        space: whose genomes `latency_ns` takes; the table's own if left out.
        classes: refuse a table of another number; None takes the table's.
        batch: refuse a table of another batch.
        precision: refuse a table of another precision.

    Raises:
        TableMismatchError: the table is of another space, precision, batch or class count.
    """

    def __init__(
        self,
        table: LatencyTable,
        space: Space | None = None,
        *,
        classes: int | None = None,
        batch: int = 1,
        precision: str = "fp32",
    ) -> None:
        self.table = table
        self.space = space or get_space(table.space)
        asked = {
            "space": (self.space.name, table.space),
            "class count": (table.classes if classes is None else classes, table.classes),
            "batch": (batch, table.setup.batch),
            "precision": (precision, table.setup.precision),
        }
        for what, (wanted, held) in asked.items():
            if wanted != held:
                raise _mismatch(table, what, held=held, wanted=wanted)
        self._slots = _compile(table, self.space)

    def predict(self, ops: Sequence[OpSpec]) -> Prediction:
        """Predict one network from its operations.

        Raises:
            UncoveredOpError: the table lacks one; nothing is skipped.
            TableMismatchError: the network has another batch or class count.
        """
        self._check(ops)
        entries = [(op.key, self.table.lookup(op.key)) for op in ops]
        total = self.table.overhead_ns + sum(each.p50_ns for _, each in entries)
        latency_ns = float(self.table.calibration.apply(total, len(ops)))
        half = self.table.calibration.half_width()
        return Prediction(
            latency_ns=latency_ns,
            # The half-width is of predicted / measured - 1, so the bounds divide by it.
            interval_ns=None
            if half is None
            else (latency_ns / (1 + half), latency_ns / max(1 - half, 1e-9)),
            parts=tuple(
                Part(key=key, latency_ns=each.p50_ns, provenance=each.provenance)
                for key, each in entries
            ),
            overhead_ns=self.table.overhead_ns,
            table_id=self.table.table_id,
        )

    def _check(self, ops: Sequence[OpSpec]) -> None:
        for op in ops:
            if op.in_shape[0] != self.table.setup.batch:
                held = self.table.setup.batch
                raise _mismatch(self.table, "batch", held=held, wanted=op.in_shape[0])
            if op.kind == "linear" and op.out_channels != self.table.classes:
                held = self.table.classes
                raise _mismatch(self.table, "class count", held=held, wanted=op.out_channels)

    def latency_ns(self, genomes: npt.ArrayLike) -> Latencies:
        """Predict (n, genes) canonical genomes; returns (n,) nanoseconds.

        Exactly what `predict` gives for each row: entries are integers, so no order of summing
        changes them.

        Raises:
            UncoveredOpError: a network needs an entry that the table lacks.
            UsageError: not an array of canonical genomes of the space.
        """
        rows = self._rows(genomes)
        widths = np.array([gene for gene, _ in self.space.skeletons])
        corner = rows[:, 0] * len(widths) + np.searchsorted(widths, rows[:, 1])
        sums, base = self._slots.fixed.ravel()[corner], corner * (MAX_BLOCK + 1)
        for slot, blocks in enumerate(self._slots.blocks):
            sums += blocks[base + rows[:, 2 + slot]]
        if len(rows) and sums.min() < 0:
            raise self._uncovered(rows[int(sums.argmin())])
        ops = self._slots.fixed_ops + np.count_nonzero(rows[:, 2:], axis=1)
        return self.table.calibration.apply(sums, ops)

    def _rows(self, genomes: npt.ArrayLike) -> Integers:
        rows = np.asarray(genomes)
        if rows.ndim != 2 or rows.shape[1] != self.space.genes or rows.dtype.kind not in "iu":
            msg = (
                f"Genomes of {self.space.name} are an (n, {self.space.genes}) array of integers; "
                f"got {rows.dtype} {rows.shape}."
            )
            raise UsageError(msg)
        low, high = self.space.bounds
        wrong = ((rows < low) | (rows > high)).any(axis=1)
        if wrong.any():
            self.space.check([int(gene) for gene in rows[int(wrong.argmax())]])
        return rows.astype(np.int64, copy=False)

    def _uncovered(self, row: Integers) -> UncoveredOpError:
        arch = Arch(space=self.space, genome=tuple(int(gene) for gene in row))
        ops = arch.ops(classes=self.table.classes, batch=self.table.setup.batch)
        missing = next(op.key for op in ops if op.key not in self.table.entries)
        uncovered = arch.resolution not in self.table.resolutions
        return self.table.uncovered(missing, resolution=arch.resolution if uncovered else None)


def _compile(table: LatencyTable, space: Space) -> _Slots:
    """Lay the entries out by slot, resolution, width and gene."""

    def cost(op: OpSpec) -> int:
        found = table.entries.get(op.key)
        return _MISSING if found is None else found.p50_ns

    shape = (space.genes - 2, len(space.resolutions), len(space.skeletons), MAX_BLOCK + 1)
    fixed, blocks = np.full(shape[1:3], _MISSING), np.full(shape, _MISSING)
    blocks[..., 0] = 0
    fixed_ops = 0
    for index, resolution in enumerate(space.resolutions):
        for column, (width, _) in enumerate(space.skeletons):
            here = grid(space, resolution, width, classes=table.classes, batch=table.setup.batch)
            fixed_ops = len(here.fixed)
            total = table.overhead_ns + sum(map(cost, here.fixed))
            fixed[index, column] = max(total, _MISSING)
            for slot, choices in enumerate(here.blocks):
                blocks[slot, index, column, 1:] = [cost(op) for op in choices]
    return _Slots(fixed=fixed, fixed_ops=fixed_ops, blocks=blocks.reshape(shape[0], -1))


def _mismatch(
    table: LatencyTable, what: str, *, held: object, wanted: object
) -> TableMismatchError:
    msg = (
        f"Table {table.name} was measured for {what} {held}, not {wanted}. Use a table of that "
        f"{what}, or measure one with: hwnat profile --device {table.setup.device}"
    )
    return TableMismatchError(msg)


_CHECK: type[Predictor] = AdditivePredictor
