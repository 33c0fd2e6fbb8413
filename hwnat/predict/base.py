"""What a prediction is and what can make one."""

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
    """One operation's share, as the table holds it: before calibration.

    Attributes:
        interval_ns: holds the operation's latency nine times in ten; None if nobody says.
        flags: what to know about it, such as a size beyond what its model was trained on.
        nodes: of the model file that it stands for; none if the network is a genome.
    """

    key: str
    latency_ns: int
    provenance: Provenance
    interval_ns: tuple[int, int] | None = None
    flags: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An operation that a network runs and nobody can predict.

    Attributes:
        key: of the operation; empty if no key describes it.
        reason: why there is no latency.
        nodes: of the model file that it stands for.
    """

    key: str
    reason: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Latency of one network.

    Attributes:
        latency_ns: the prediction.
        interval_ns: where the measured latency lies for nine networks in ten; None if the
            table's calibration has too few networks to say.
        parts: operations in the order they run.
        overhead_ns: what starting a run takes; with the parts it adds up to what was calibrated.
        table_id: of the table it comes from.
        missing: operations that it leaves out, so that it is too low; only on request.
    """

    latency_ns: float
    interval_ns: tuple[float, float] | None
    parts: tuple[Part, ...]
    overhead_ns: int
    table_id: str
    missing: tuple[Missing, ...] = ()

    @property
    def sum_ns(self) -> int:
        """Overhead plus parts, before calibration."""
        return self.overhead_ns + sum(part.latency_ns for part in self.parts)


class Predictor(Protocol):
    """Latency of networks of one space on one device."""

    def predict(self, ops: Sequence[OpSpec]) -> Prediction:
        """Predict one network from its operations.

        Raises:
            UncoveredOpError: an operation cannot be predicted; nothing is skipped.
            TableMismatchError: the network has another batch or precision.
        """
        ...

    def latency_ns(self, genomes: npt.ArrayLike) -> Latencies:
        """Predict (n, genes) canonical genomes; returns (n,) nanoseconds.

        Raises:
            UncoveredOpError: an operation cannot be predicted; nothing is skipped.
        """
        ...
