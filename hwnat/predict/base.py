"""Predictions, and the protocol of the classes that make them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwnat.records.op import OpSpec
from hwnat.table.entry import Provenance

Latencies = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One operation's share of the latency, before calibration.

    Attributes:
        interval_ns: the 90 % interval of the operation's latency; None if unknown.
        flags: warnings, such as a size outside the range that its model was trained on.
        nodes: the nodes of the model file that it stands for; empty if the network is a genome.
    """

    key: str
    latency_ns: int
    provenance: Provenance
    interval_ns: tuple[int, int] | None = None
    flags: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An operation that a network runs and that cannot be predicted.

    Attributes:
        key: the operation's key.
        reason: why there is no latency.
        nodes: the nodes of the model file that it stands for.
    """

    key: str
    reason: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The predicted latency of one network.

    Attributes:
        latency_ns: the prediction.
        interval_ns: contains the measured latency of nine networks in ten; None if the table's
            calibration has too few networks.
        parts: the operations in the order they run.
        overhead_ns: the time to start a run; calibration takes the sum of this and the parts.
        table_id: the id of the table it comes from.
        missing: operations left out, which make the prediction too low; only on request.
    """

    latency_ns: float
    interval_ns: tuple[float, float] | None
    parts: tuple[Part, ...]
    overhead_ns: int
    table_id: str
    missing: tuple[Missing, ...] = ()

    @property
    def sum_ns(self) -> int:
        """The overhead plus the parts, before calibration."""
        return self.overhead_ns + sum(part.latency_ns for part in self.parts)


class Predictor(Protocol):
    """Predicts the latency of one space's networks on one device."""

    def predict(self, ops: Sequence[OpSpec]) -> Prediction:
        """Predict one network from its operations.

        Raises:
            UncoveredOpError: an operation cannot be predicted; nothing is skipped.
            TableMismatchError: the network has another batch size or precision.
        """
        ...

    def latency_ns(self, genomes: npt.ArrayLike) -> Latencies:
        """Predict (n, genes) canonical genomes and return (n,) nanoseconds.

        Raises:
            UncoveredOpError: an operation cannot be predicted; nothing is skipped.
        """
        ...
