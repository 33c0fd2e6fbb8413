"""Predict any network from a table of operators and a trace of what the runtime executes."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, TableMismatchError
from hwnat.predict.base import Missing, Part, Prediction
from hwnat.records.op import OpSpec
from hwnat.table.entry import TIMED
from hwnat.table.lookup import LatencyTable
from hwnat.targets.trace import Trace, TracedOp

#: Number of missing operators that a message names.
_SHOWN: Final = 8
_OUT_OF_RANGE: Final = "outside the sizes its model was trained on"


class _Estimates(Protocol):
    """Predictions for (n,) operations, as in `hwnat.predict.learned`."""

    @property
    def ns(self) -> npt.NDArray[np.float64]: ...
    @property
    def low_ns(self) -> npt.NDArray[np.float64]: ...
    @property
    def high_ns(self) -> npt.NDArray[np.float64]: ...
    @property
    def in_range(self) -> npt.NDArray[np.bool_]: ...


class Fallback(Protocol):
    """Predicts operations that a table does not hold."""

    def covers(self, op: OpSpec) -> bool:
        """Return whether there is a model for this kind of operation."""
        ...

    def predict(self, ops: Sequence[OpSpec]) -> _Estimates:
        """Predict (n,) covered operations."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFallback:
    """Covers nothing, because the table has too few entries to fit a model; `why` says so."""

    why: str = ""

    def covers(self, op: OpSpec) -> bool:
        """Return False."""
        del op
        return False

    def predict(self, ops: Sequence[OpSpec]) -> _Estimates:
        """Predict nothing.

        Raises:
            DataError: always; nothing is covered.
        """
        msg = f"There is no model for {ops[0].key}."
        raise DataError(msg)


class OperatorPredictor:
    """Predicts `calibration(overhead + sum of operators, number of operators)` from a table.

    An operator in the table costs its measured latency. For any other, a model fitted to the
    table's entries predicts it.

    Args:
        table: a table of operators.
        fit: fits the models; called once, and only if some operator is not in the table.

    Raises:
        TableMismatchError: the table holds the blocks of a space.
    """

    def __init__(self, table: LatencyTable, *, fit: Callable[[LatencyTable], Fallback]) -> None:
        if table.granularity != "operator":
            msg = (
                f"Table {table.name} holds blocks of {table.space}, not operators: give it a "
                f"--genome, or measure operators with: hwnat profile --device "
                f"{table.setup.device} --model FILE"
            )
            raise TableMismatchError(msg)
        self.table, self._fit = table, fit
        self._models: Fallback | None = None

    def predict(
        self, trace: Trace, *, partial: bool = False, model: Sequence[str] = ("FILE",)
    ) -> Prediction:
        """Predict a traced network.

        Args:
            trace: the network's trace for the table's target.
            partial: leave out operators that cannot be predicted, and list them in the prediction.
            model: the network's file and its options, for the command that measures it.

        Raises:
            DataError: operators cannot be predicted; the message names all of them.
            TableMismatchError: the network was traced for another target or batch size.
        """
        self._check(trace)
        unseen = [op for op in trace.specs if op.key not in self.table.entries]
        models = self._of(unseen)
        guesses = self._estimate([op for op in unseen if models.covers(op)], models)
        parts, missing = [], []
        for traced in trace.ops:
            part = self._part(traced, guesses)
            if part is not None:
                parts.append(part)
            else:
                why = models.why if isinstance(models, NoFallback) else ""
                reason = f"neither an entry nor a model of its kind{why}"
                if traced.reason:
                    reason = f"no entry, and only a measurement can give one: {traced.reason}"
                missing.append(Missing(key=traced.op.key, reason=reason, nodes=_place(traced)))
        if missing and not partial:
            raise DataError(self._unpredictable(missing, len(trace.ops), model))
        return self._total(parts, missing)

    def _check(self, trace: Trace) -> None:
        setup = self.table.setup
        held = {"target": (setup.target, trace.target), "batch": (setup.batch, trace.batch)}
        for what, (one, other) in held.items():
            if one != other:
                msg = (
                    f"Table {self.table.name} has {what} {one}, the model has {what} {other}. "
                    f"Export the model for {what} {one}, or use a table of {what} {other}."
                )
                raise TableMismatchError(msg)

    def _of(self, unseen: Sequence[OpSpec]) -> Fallback:
        """Return the models, fitting them when an operator first needs them."""
        if not unseen:
            return NoFallback()
        if self._models is None:
            try:
                self._models = self._fit(self.table)
            except DataError as error:  # the message for missing operators gives this reason
                self._models = NoFallback(why=f" ({error})")
        return self._models

    @staticmethod
    def _estimate(ops: Sequence[OpSpec], models: Fallback) -> dict[str, Part]:
        if not ops:
            return {}
        estimates = models.predict(ops)
        ends = zip(
            estimates.ns, estimates.low_ns, estimates.high_ns, estimates.in_range, strict=True
        )
        return {
            op.key: Part(
                key=op.key,
                latency_ns=max(1, round(float(ns))),
                provenance="estimated",
                interval_ns=(max(1, round(float(low))), max(1, round(float(high)))),
                flags=() if inside else (_OUT_OF_RANGE,),
            )
            for op, (ns, low, high, inside) in zip(ops, ends, strict=True)
        }

    def _part(self, traced: TracedOp, guesses: dict[str, Part]) -> Part | None:
        key, entry = traced.op.key, self.table.entries.get(traced.op.key)
        if entry is not None:
            return Part(
                key=key,
                latency_ns=entry.p50_ns,
                provenance=entry.provenance,
                interval_ns=(entry.low_ns, entry.high_ns),
                nodes=_place(traced),
            )
        guess = guesses.get(key)
        if guess is None:
            return None
        return replace(guess, nodes=_place(traced))

    def _total(self, parts: Sequence[Part], missing: Sequence[Missing]) -> Prediction:
        table = self.table
        total = table.overhead_ns + sum(part.latency_ns for part in parts)
        latency_ns = float(table.calibration.apply(total, len(parts)))
        half = table.half_width
        interval = None
        if half is not None and not missing:
            # The calibration's error on whole networks, plus the error that the models may add.
            below, above = (latency_ns / total * half for half in _spread(parts))
            low, high = latency_ns / (1 + half), latency_ns / max(1 - half, 1e-9)
            interval = (
                max(0.0, latency_ns - sqrt((latency_ns - low) ** 2 + below**2)),
                latency_ns + sqrt((high - latency_ns) ** 2 + above**2),
            )
        return Prediction(
            latency_ns=latency_ns,
            interval_ns=interval,
            parts=tuple(parts),
            overhead_ns=table.overhead_ns,
            table_id=table.table_id,
            missing=tuple(missing),
        )

    def _unpredictable(self, missing: Sequence[Missing], ops: int, model: Sequence[str]) -> str:
        """Name the missing operators once, with their nodes, and the command to measure them."""
        places: dict[str, list[str]] = {}
        for op in missing:
            opaque = op.key.startswith("opaque|")
            what = f"{op.key} ({op.reason})" if opaque else op.key
            places.setdefault(what, []).append(" + ".join(op.nodes))
        named = [f"{what} at {', '.join(nodes)}" for what, nodes in places.items()]
        more = len(named) - _SHOWN
        command = ["hwnat", "profile", "--device", self.table.setup.device, "--model", *model]
        command += ["--out", "TABLE.json"]
        listed = "; ".join(named[:_SHOWN]) + (f"; and {more} more kinds" if more > 0 else "")
        return (
            f"{len(missing)} of {ops} operators ({len(missing) / ops:.0%}) cannot be predicted "
            f"from table {self.table.name}, because no model that it was made from has them: "
            f"{listed}. Measure this model with: {shlex.join(command)}, or add --partial to see "
            "the others."
        )


def _place(traced: TracedOp) -> tuple[str, ...]:
    return traced.nodes or (traced.place,)


def _spread(parts: Sequence[Part]) -> tuple[float, float]:
    """Return how far the sum of the estimated parts may lie below and above, nine times in ten.

    Errors of one model have one cause and add up; errors of different models do not. The
    calibration's error on whole networks already includes the noise of measured parts.
    """
    below: dict[str, float] = {}
    above: dict[str, float] = {}
    for part in parts:
        if part.provenance not in TIMED and part.interval_ns is not None:
            kind = part.key.partition("|")[0]
            below[kind] = below.get(kind, 0.0) + part.latency_ns - part.interval_ns[0]
            above[kind] = above.get(kind, 0.0) + part.interval_ns[1] - part.latency_ns
    return sqrt(sum(v**2 for v in below.values())), sqrt(sum(v**2 for v in above.values()))
