"""Predict latency as a calibrated sum of table entries, for one network or a population."""

from collections.abc import Sequence
from dataclasses import replace

from hwnat.errors import UsageError
from hwnat.predict.base import Latencies, Part, Prediction, Predictor
from hwnat.predict.classifier import with_classes
from hwnat.predict.slots import SlotCosts, slot_costs
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space
from hwnat.table.compiled import NetworkEstimates, compile_table, mismatch
from hwnat.table.dense import squared_half_widths
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable


class AdditivePredictor:
    """Predicts `calibration(overhead + sum of entries, number of operations)` from a table.

    A table measured with 10 classes can also predict networks with 37:
    `AdditivePredictor(table, classes=37)`. Only the classifier differs. Its entry is interpolated
    from the measured one, and its wider interval widens the interval of every network.

    Args:
        table: the measured block table.
        space: the space of the genomes that `latency_ns` takes; defaults to the table's.
        classes: outputs of the networks' classifier; defaults to the table's.
        batch: refuse a table with another batch size.
        precision: refuse a table with another precision; None takes the table's.

    Raises:
        TableMismatchError: the table is for another space, precision or batch size.
        UncoveredOpError: `classes` differs from the table's, which has no classifier entry.
    """

    def __init__(
        self,
        table: LatencyTable,
        space: Space | None = None,
        *,
        classes: int | None = None,
        batch: int = 1,
        precision: str | None = None,
    ) -> None:
        self.table = table
        name, held_classes = table.of_space()
        self.classes = held_classes if classes is None else classes
        self.space = space or get_space(name)
        asked = {
            "space": (self.space.name, name),
            "batch": (batch, table.setup.batch),
            "precision": (precision or table.setup.precision, table.setup.precision),
        }
        for what, (wanted, held) in asked.items():
            if wanted != held:
                raise mismatch(table, what, held=held, wanted=wanted)
        # The usual uncertainty comes from the measured table, without an interpolated classifier.
        measured = compile_table(table, self.space)
        self.compiled = measured
        if self.classes != held_classes:
            priced = with_classes(table, self.space, self.classes)
            self.compiled = replace(compile_table(priced, self.space), usual=measured.usual)

    def __repr__(self) -> str:
        return f"AdditivePredictor({self.table.name}, {self.classes} classes)"

    def predict(self, ops: Sequence[OpSpec]) -> Prediction:
        """Predict one network from its operations.

        Raises:
            UncoveredOpError: the table lacks an operation; nothing is skipped.
            TableMismatchError: the network has another batch size.
            UsageError: the network has another number of classes.
        """
        self._check(ops)
        entries = [(op.key, self._entry(op, image=ops[0].in_shape[1])) for op in ops]
        total = self.compiled.table.sum_ns(op.key for op in ops)
        latency_ns = float(self.table.calibration.apply(total, len(ops)))
        interval_ns = self.compiled.interval_ns(latency_ns, squared_half_widths(entries))
        return Prediction(
            latency_ns=latency_ns,
            interval_ns=interval_ns and (float(interval_ns[0]), float(interval_ns[1])),
            parts=tuple(
                Part(key=key, latency_ns=entry.p50_ns, provenance=entry.provenance)
                for key, entry in entries
            ),
            overhead_ns=self.table.overhead_ns,
            table_id=self.table.table_id,
        )

    def _entry(self, op: OpSpec, *, image: int) -> Entry:
        """Look up an operation; an error names the image size to measure it at."""
        entry = self.compiled.table.entries.get(op.key)
        if entry is not None:
            return entry
        raise self.compiled.uncovered(op.key, image=image)

    def _check(self, ops: Sequence[OpSpec]) -> None:
        for op in ops:
            if op.in_shape[0] != self.table.setup.batch:
                held = self.table.setup.batch
                raise mismatch(self.table, "batch", held=held, wanted=op.in_shape[0])
            if op.kind == "linear" and op.out_channels != self.classes:
                msg = (
                    f"This predictor is for networks with {self.classes} classes; the network has "
                    f"{op.out_channels}. Make another with classes={op.out_channels}."
                )
                raise UsageError(msg)

    def latency_ns(self, genomes: object) -> Latencies:
        """Predict n networks and return (n,) nanoseconds.

        `genomes` is an (n, genes) array of integers, or strings of digits, or `Arch` objects.
        Each value equals the result of `predict` for that row.

        Raises:
            UncoveredOpError: a network needs an entry that the table lacks.
            UsageError: not an array of canonical genomes of the space.
        """
        return self.compiled.latency_ns(genomes)

    def estimate(self, genomes: object) -> NetworkEstimates:
        """Predict (n, genes) canonical genomes with 90 % intervals, as `predict` does for each.

        Raises:
            UncoveredOpError: a network needs an entry that the table lacks.
            UsageError: not an array of canonical genomes of the space.
        """
        return self.compiled.estimate(genomes)

    def slot_costs(self, resolutions: Sequence[int] | None = None) -> SlotCosts:
        """Return the latency that each block adds to a network.

        Args:
            resolutions: image sizes in pixels; defaults to all that the table covers.

        Raises:
            UncoveredOpError: an entry is missing at one of them; try other resolutions.
        """
        return slot_costs(self.compiled, resolutions)


_CHECK: type[Predictor] = AdditivePredictor
