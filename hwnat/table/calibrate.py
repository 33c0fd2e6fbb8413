"""From the sum of a network's blocks to its latency: fitted on a few whole networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError

Floats = npt.NDArray[np.float64]
Form = Literal["none", "scale", "affine"]

#: Columns of (sum, operations, 1) that a form uses.
_COLUMNS: Final[dict[Form, int]] = {"scale": 1, "affine": 3}
#: So many networks weigh as much as the assumption that errors are normal.
_TRUST: Final = 30
#: A richer form must beat a plainer one by this factor when it predicts what it was not fitted on.
_WORTH_IT: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCheck:
    """A whole network, measured and predicted.

    Attributes:
        sum_ns: the table's overhead plus its blocks' entries.
        ops: number of its blocks.
        error: predicted over measured, minus 1. In a calibration it is the leave-one-out error:
            predicted by a fit to all the other networks.
    """

    genome: str
    sum_ns: int
    ops: int
    measured_ns: int
    predicted_ns: float
    error: float

    def __post_init__(self) -> None:
        if min(self.sum_ns, self.ops, self.measured_ns) < 1 or not isfinite(self.error):
            msg = f"network {self.genome} has latencies {self.sum_ns} and {self.measured_ns} ns"
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`latency = scale * sum + per_op_ns * operations + constant_ns`, none of them negative.

    Attributes:
        form: `none` leaves sums as they are, `scale` fits one factor, `affine` all three.
        networks: what it was fitted on, with leave-one-out errors of the chosen form.
        loo_errors: mean absolute leave-one-out error of each form that was tried.
    """

    form: Form = "none"
    scale: float = 1.0
    per_op_ns: float = 0.0
    constant_ns: float = 0.0
    networks: tuple[NetworkCheck, ...] = ()
    loo_errors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        coefficients = (self.scale, self.per_op_ns, self.constant_ns)
        if not all(isfinite(each) and each >= 0 for each in coefficients) or not any(coefficients):
            msg = f"calibration coefficients {coefficients} must be finite and not negative"
            raise DataError(msg)

    def apply(self, sum_ns: npt.ArrayLike, ops: npt.ArrayLike) -> Floats:
        """Return latencies in ns of networks with these sums and numbers of blocks."""
        sums, counts = np.asarray(sum_ns, np.float64), np.asarray(ops, np.float64)
        return np.asarray(self.scale * sums + self.per_op_ns * counts + self.constant_ns)

    def half_width(
        self, coverage: float = 0.9, *, unseen: Sequence[NetworkCheck] = ()
    ) -> float | None:
        """Return the relative half-width of an interval that covers so many networks.

        The rank of split conformal prediction, on the leave-one-out errors and those of `unseen`
        networks. Of ten networks it is the largest error, which one disturbed measurement
        decides; so it is mixed, by logarithms, with what their mean error says if errors are
        normal, the less the more networks there are. None where they are too few for the rank.
        """
        errors = sorted(abs(each.error) for each in (*self.networks, *unseen))
        rank = int(np.ceil(coverage * (len(errors) + 1)))
        if rank > len(errors):
            return None
        deviations = NormalDist().inv_cdf((1 + coverage) / 2)
        normal = deviations * np.sqrt(np.pi / 2) * np.mean(errors)
        trust = len(errors) / (len(errors) + _TRUST)
        conformal = max(errors[rank - 1], 1e-9)
        return float(conformal**trust * max(normal, 1e-9) ** (1 - trust))


def calibrate(
    genomes: Sequence[str],
    sums_ns: Sequence[int],
    ops: Sequence[int],
    measured_ns: Sequence[int],
) -> Calibration:
    """Fit relative errors; the form is the one that predicts left-out networks best.

    Source: the form `a * sum + b * n + c` from measurements on six phones, where sums of
    operators are 8-45 % low. Relative errors, because small networks matter as much.
    """
    if not genomes:
        return Calibration()
    measured = np.asarray(measured_ns, np.float64)
    columns = np.stack([np.asarray(sums_ns), np.asarray(ops), np.ones(len(ops))], axis=1)
    rows = np.asarray(columns / measured[:, None], np.float64)
    tried: list[tuple[Form, Floats]] = [("scale", _left_out(rows[:, :1]))]
    if len(genomes) > _COLUMNS["affine"] + 1:
        tried.append(("affine", _left_out(rows)))
    form, errors = tried[0]
    for richer, its_errors in tried[1:]:
        if np.abs(its_errors).mean() < _WORTH_IT * np.abs(errors).mean():
            form, errors = richer, its_errors
    fitted = np.zeros(3)
    fitted[: _COLUMNS[form]] = _fit(rows[:, : _COLUMNS[form]])
    return Calibration(
        form=form,
        scale=float(fitted[0]),
        per_op_ns=float(fitted[1]),
        constant_ns=float(fitted[2]),
        networks=tuple(
            NetworkCheck(
                genome=genome,
                sum_ns=int(sums_ns[i]),
                ops=int(ops[i]),
                measured_ns=int(measured_ns[i]),
                predicted_ns=float(round(columns[i] @ fitted, 1)),
                error=float(round(errors[i], 6)),
            )
            for i, genome in enumerate(genomes)
        ),
        loo_errors=tuple((name, float(round(np.abs(e).mean(), 6))) for name, e in tried),
    )


def _left_out(rows: Floats) -> Floats:
    """Relative error of every row, predicted by a fit to the others; a lone row fits itself."""
    if len(rows) == 1:
        return rows @ _fit(rows) - 1
    kept = ~np.eye(len(rows), dtype=bool)
    return np.array([row @ _fit(rows[keep]) - 1 for row, keep in zip(rows, kept, strict=True)])


def _fit(rows: Floats) -> Floats:
    """Non-negative least squares of `rows @ x = 1`: the best of all sets of positive columns.

    Exact for the three columns there are, and it spares a device host SciPy.
    """
    width = rows.shape[1]
    best, best_loss = np.zeros(width), float(len(rows))
    for size in range(1, width + 1):
        for chosen in map(list, combinations(range(width), size)):
            solution = np.linalg.lstsq(rows[:, chosen], np.ones(len(rows)), rcond=None)[0]
            loss = float(((rows[:, chosen] @ solution - 1) ** 2).sum())
            if solution.min() >= 0 and loss < best_loss - 1e-12:
                best, best_loss = np.zeros(width), loss
                best[chosen] = solution
    return best
