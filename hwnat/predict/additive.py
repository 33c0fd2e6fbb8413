"""Latency as a calibrated sum of a table's entries, for one network or a population."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import TableMismatchError, UsageError
from hwnat.predict.base import Latencies, Part, Prediction, Predictor
from hwnat.records.arch import Arch
from hwnat.records.grid import grid
from hwnat.records.op import OpSpec
from hwnat.records.space import MAX_BLOCK, Space, get_space
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable

Integers = npt.NDArray[np.int64]

#: A cell holds nanoseconds and operations in one integer, so one gather adds up both.
_BITS: Final = 8
#: Stands for a missing entry; no sum of entries makes up for it, so one look at the sign of a
#: sum finds every network that needs one.
_MISSING: Final = -(1 << 56)
#: Genomes handled at a time: their indices stay in the cache.
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """A table's entries as arrays; a corner is a pair of resolution and width.

    Attributes:
        fixed: (corners,) sums of what every network runs.
        blocks: (slots * corners * (MAX_BLOCK + 1),); gene 0 costs nothing.
        offsets: (slots,) where a slot's cells begin in `blocks`.
    """

    fixed: Integers
    blocks: Integers
    offsets: Integers


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
        name, self.classes = table.of_space()
        self.space = space or get_space(name)
        asked = {
            "space": (self.space.name, name),
            "class count": (self.classes if classes is None else classes, self.classes),
            "batch": (batch, table.setup.batch),
            "precision": (precision, table.setup.precision),
        }
        for what, (wanted, held) in asked.items():
            if wanted != held:
                raise _mismatch(table, what, held=held, wanted=wanted)
        self._cells = _compile(table, self.space)
        self._bounds = self.space.bounds
        self._widths = np.array([gene for gene, _ in self.space.skeletons])

    def predict(self, ops: Sequence[OpSpec]) -> Prediction:
        """Predict one network from its operations.

        Raises:
            UncoveredOpError: the table lacks one; nothing is skipped.
            TableMismatchError: the network has another batch or class count.
        """
        self._check(ops)
        entries = [(op.key, self._entry(op, image=ops[0].in_shape[1])) for op in ops]
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

    def _entry(self, op: OpSpec, *, image: int) -> Entry:
        """Look an operation up; what the image's size leaves uncovered is measured with it."""
        if op.key in self.table.entries:
            return self.table.entries[op.key]
        known = image in self.table.resolutions or image not in self.space.resolutions
        raise self.table.uncovered(op.key, resolution=None if known else image)

    def _check(self, ops: Sequence[OpSpec]) -> None:
        for op in ops:
            if op.in_shape[0] != self.table.setup.batch:
                held = self.table.setup.batch
                raise _mismatch(self.table, "batch", held=held, wanted=op.in_shape[0])
            if op.kind == "linear" and op.out_channels != self.classes:
                wanted = op.out_channels
                raise _mismatch(self.table, "class count", held=self.classes, wanted=wanted)

    def latency_ns(self, genomes: npt.ArrayLike) -> Latencies:
        """Predict (n, genes) canonical genomes; returns (n,) nanoseconds.

        Exactly what `predict` gives for each row: entries are integers, so no order of summing
        changes them.

        Raises:
            UncoveredOpError: a network needs an entry that the table lacks.
            UsageError: not an array of canonical genomes of the space.
        """
        rows = self._rows(genomes)
        cells = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            cells[chunk] = self._sum(rows[chunk])
        return self.table.calibration.apply(cells >> _BITS, cells & ((1 << _BITS) - 1))

    def _sum(self, rows: Integers) -> Integers:
        """Add up the cells of (n, genes) canonical genomes."""
        cells = self._cells
        corners = rows[:, 0] * len(self._widths) + np.searchsorted(self._widths, rows[:, 1])
        where = rows[:, 2:] + cells.offsets + (corners * (MAX_BLOCK + 1))[:, None]
        sums: Integers = cells.fixed[corners] + cells.blocks.take(where).sum(axis=1)
        if sums.min() < 0:
            # Predicting such a network by itself raises, and names what is missing.
            arch = Arch(space=self.space, genome=tuple(map(int, rows[int(sums.argmin())])))
            self.predict(arch.ops(classes=self.classes, batch=self.table.setup.batch))
        return sums

    def _rows(self, genomes: npt.ArrayLike) -> Integers:
        rows = np.asarray(genomes)
        if rows.ndim != 2 or rows.shape[1] != self.space.genes or rows.dtype.kind not in "iu":
            msg = (
                f"Genomes of {self.space.name} are an (n, {self.space.genes}) array of integers; "
                f"got {rows.dtype} {rows.shape}."
            )
            raise UsageError(msg)
        low, high = self._bounds
        if len(rows) and ((rows.min(axis=0) < low) | (rows.max(axis=0) > high)).any():
            wrong = ((rows < low) | (rows > high)).any(axis=1)
            self.space.check([int(gene) for gene in rows[int(wrong.argmax())]])
        return rows.astype(np.int64, copy=False)


def _compile(table: LatencyTable, space: Space) -> _Cells:
    """Lay the entries out by slot, resolution, width and gene."""

    def cell(op: OpSpec) -> int:
        found = table.entries.get(op.key)
        return _MISSING if found is None else (found.p50_ns << _BITS) + 1

    _, classes = table.of_space()
    shape = (space.genes - 2, len(space.resolutions), len(space.skeletons), MAX_BLOCK + 1)
    fixed, blocks = np.full(shape[1:3], _MISSING), np.full(shape, _MISSING)
    blocks[..., 0] = 0
    for index, resolution in enumerate(space.resolutions):
        for column, (width, _) in enumerate(space.skeletons):
            here = grid(space, resolution, width, classes=classes, batch=table.setup.batch)
            total = (table.overhead_ns << _BITS) + sum(map(cell, here.fixed))
            fixed[index, column] = max(total, _MISSING)
            for slot, choices in enumerate(here.blocks):
                blocks[slot, index, column, 1:] = [cell(op) for op in choices]
    offsets = np.arange(shape[0]) * (blocks.size // shape[0])
    return _Cells(fixed=fixed.ravel(), blocks=blocks.ravel(), offsets=offsets)


def _mismatch(
    table: LatencyTable, what: str, *, held: object, wanted: object
) -> TableMismatchError:
    space = wanted if what == "space" else table.space
    classes = wanted if what == "class count" else table.classes
    msg = (
        f"Table {table.name} was measured for {what} {held}, not {wanted}. Use a table of that "
        f"{what}, or measure one with: hwnat profile --device {table.setup.device} "
        f"--space {space} --classes {classes}"
    )
    return TableMismatchError(msg)


_CHECK: type[Predictor] = AdditivePredictor
