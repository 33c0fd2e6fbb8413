"""Turn the sum of a network's blocks into its latency, with a fit to a few whole networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, isfinite
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError
from hwnat.table.entry import MAX_NS

Floats = npt.NDArray[np.float64]
Form = Literal["none", "scale", "affine", "robust"]

#: Columns of (sum, operations, 1) that a form uses.
_COLUMNS: Final[dict[Form, int]] = {"scale": 1, "affine": 3, "robust": 3}
#: The robust form's prior, as relative standard deviations: the scale is near 1, and one operation
#: and the constant take a small share of a typical network.
_SCALE: Final = (1.03, 0.05)
_SHARES: Final = (0.2, 1.0)
_NOISE: Final = 0.03
#: Degrees of freedom of Student's distribution of errors, and their least spread.
_FREEDOM: Final = 3
_FLOOR: Final = 0.02
_ROUNDS: Final = 15
#: Number of networks that weigh as much as the assumption of normal errors.
_TRUST: Final = 30
#: Fewer networks than a rank needs: the spread of errors is as if one more network with this error
#: had been measured, and errors follow Student's distribution, by degrees of freedom.
_USUAL_ERROR: Final = 0.08
_STUDENT: Final = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)
#: A richer form must beat a plainer one by this factor on networks that it was not fitted on.
_WORTH_IT: Final = 0.95
#: Largest ratio of two latencies. A factor is such a ratio; an error may be a ratio of ratios.
_MAX_RATIO: Final = float(MAX_NS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCheck:
    """A measured and predicted whole network.

    Attributes:
        sum_ns: the table's overhead plus the entries of the network's blocks.
        ops: number of the network's blocks.
        error: predicted over measured, minus 1. In a calibration this is the leave-one-out error:
            the prediction comes from a fit to all other networks.
    """

    genome: str
    sum_ns: int
    ops: int
    measured_ns: int
    predicted_ns: float
    error: float

    def __post_init__(self) -> None:
        if min(self.sum_ns, self.ops, self.measured_ns) < 1 or not 0 <= self.predicted_ns < inf:
            msg = (
                f"network {self.genome}: {self.ops} operations of {self.sum_ns} ns, measured "
                f"{self.measured_ns} ns and predicted {self.predicted_ns:g} ns, are not possible"
            )
            raise DataError(msg)
        if not -1 <= self.error <= _MAX_RATIO**2:
            msg = f"network {self.genome}: an error of {self.error:g} is not possible"
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`latency = scale * sum + per_op_ns * operations + constant_ns`, with no negative coefficient.

    Attributes:
        form: `none` leaves sums unchanged, `scale` fits one factor, `affine` fits all three, and
            `robust` fits all three with a prior and less weight for outliers.
        networks: the networks of the fit, with leave-one-out errors of the chosen form.
        loo_errors: mean absolute leave-one-out error of each form tried.
    """

    form: Form = "none"
    scale: float = 1.0
    per_op_ns: float = 0.0
    constant_ns: float = 0.0
    networks: tuple[NetworkCheck, ...] = ()
    loo_errors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        coefficients = (self.scale, self.per_op_ns, self.constant_ns)
        if not all(isfinite(c) and c >= 0 for c in coefficients) or not any(coefficients):
            msg = f"calibration coefficients {coefficients} must be finite and not negative"
            raise DataError(msg)
        if self.scale > _MAX_RATIO or max(self.per_op_ns, self.constant_ns) >= MAX_NS:
            msg = f"calibration coefficients {coefficients} are not those of latencies"
            raise DataError(msg)

    def apply(self, sum_ns: npt.ArrayLike, ops: npt.ArrayLike) -> Floats:
        """Return the latencies in ns of networks with these sums and numbers of blocks.

        Raises:
            DataError: a latency is not positive.
        """
        sums, counts = np.asarray(sum_ns, np.float64), np.asarray(ops, np.float64)
        latency_ns = np.asarray(self.scale * sums + self.per_op_ns * counts + self.constant_ns)
        if not (np.isfinite(latency_ns) & (latency_ns > 0)).all():
            msg = (
                f"The calibration {self.scale:g} * sum + {self.per_op_ns:g} ns * operations + "
                f"{self.constant_ns:g} ns gives a latency that is not positive; build the table "
                "again with: hwnat table build"
            )
            raise DataError(msg)
        return latency_ns

    def check(self, genome: str, *, sum_ns: int, ops: int, measured_ns: int) -> NetworkCheck:
        """Compare prediction and measurement for a network that was not part of the fit."""
        predicted_ns = float(self.apply(sum_ns, ops))
        return NetworkCheck(
            genome=genome,
            sum_ns=sum_ns,
            ops=ops,
            measured_ns=measured_ns,
            predicted_ns=round(predicted_ns, 1),
            error=round(predicted_ns / measured_ns - 1, 6),
        )

    def half_width(
        self, coverage: float = 0.9, *, unseen: Sequence[NetworkCheck] = ()
    ) -> float | None:
        """Return the relative half-width of an interval that covers this share of networks.

        It is the split-conformal rank of the leave-one-out errors and those of `unseen` networks.
        For ten networks, that is the largest error, which may come from one disturbed measurement.
        The rank is therefore mixed, by logarithms, with the width that the mean error implies for
        normal errors; the more networks, the more the rank counts. None if there are too few.
        """
        errors = sorted(abs(network.error) for network in (*self.networks, *unseen))
        rank = int(np.ceil(coverage * (len(errors) + 1)))
        if rank > len(errors):
            return None
        deviations = NormalDist().inv_cdf((1 + coverage) / 2)
        normal = deviations * np.sqrt(np.pi / 2) * np.mean(errors)
        trust = len(errors) / (len(errors) + _TRUST)
        conformal = max(errors[rank - 1], 1e-9)
        return float(conformal**trust * max(normal, 1e-9) ** (1 - trust))

    def few_half_width(self, *, unseen: Sequence[NetworkCheck] = ()) -> float | None:
        """Return the relative half-width of a 90 % interval from one to eight networks.

        None without any network.
        """
        errors = [network.error for network in (*self.networks, *unseen)]
        if not errors:
            return None
        square = (sum(error**2 for error in errors) + _USUAL_ERROR**2) / (len(errors) + 1)
        return float(_STUDENT[min(len(errors), len(_STUDENT) - 1)] * np.sqrt(square))


def calibrate(
    genomes: Sequence[str],
    sums_ns: Sequence[int],
    ops: Sequence[int],
    measured_ns: Sequence[int],
) -> Calibration:
    """Minimise relative errors, in the form that predicts left-out networks best.

    Source: the form `a * sum + b * n + c` comes from measurements on six phones, where sums of
    operators are 8-45 % low. Errors are relative because small networks matter as much.
    """
    if not genomes:
        return Calibration()
    measured = np.asarray(measured_ns, np.float64)
    columns = np.stack([np.asarray(sums_ns), np.asarray(ops), np.ones(len(ops))], axis=1)
    rows = np.asarray(columns / measured[:, None], np.float64)
    tried: list[tuple[Form, Floats]] = [("scale", _left_out(rows[:, :1], _fit))]
    if len(genomes) > _COLUMNS["affine"] + 1:
        tried += [("affine", _left_out(rows, _fit)), ("robust", _left_out(rows, robust_fit))]
    form, errors = tried[0]
    for richer, its_errors in tried[1:]:
        if np.abs(its_errors).mean() < _WORTH_IT * np.abs(errors).mean():
            form, errors = richer, its_errors
    fitted = np.zeros(3)
    used = rows[:, : _COLUMNS[form]]
    fitted[: _COLUMNS[form]] = robust_fit(used) if form == "robust" else _fit(used)
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


def robust_fit(rows: Floats, trust: Floats | None = None) -> Floats:
    """Solve `rows @ x = 1` for a non-negative (3,) x, with a weak prior and robust to outliers.

    This is the maximum a posteriori under Student's distribution, by reweighted least squares.
    Source: Lange, Little and Taylor, Robust statistical modeling using the t distribution (1989).

    Args:
        rows: (n, 3) sum, number of operations and 1, each divided by the measured latency.
        trust: (n,) weights for networks whose measurements differ in quality.
    """
    known = np.ones(len(rows)) if trust is None else trust
    typical = np.median(rows[:, 1:], axis=0)
    prior = np.diag([_NOISE / _SCALE[1], *(_NOISE * typical / _SHARES)])
    target = np.array([_NOISE / _SCALE[1] * _SCALE[0], 0.0, 0.0])
    weights, solution = known, np.zeros(3)
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        matrix = np.concatenate([rows * root[:, None], prior])
        solution = nonnegative(matrix, np.concatenate([root, target]))
        errors = rows @ solution - 1
        spread = max(float((weights * errors**2).sum() / known.sum()), _FLOOR**2)
        weights = known * (_FREEDOM + 1) / (_FREEDOM + known * errors**2 / spread)
    return solution


def _left_out(rows: Floats, fit: Callable[[Floats], Floats]) -> Floats:
    """Return each row's relative error under a fit to the others; a lone row fits itself."""
    if len(rows) == 1:
        return rows @ fit(rows) - 1
    kept = ~np.eye(len(rows), dtype=bool)
    return np.array([row @ fit(rows[keep]) - 1 for row, keep in zip(rows, kept, strict=True)])


def _fit(rows: Floats) -> Floats:
    """Return the non-negative least-squares solution of `rows @ x = 1`."""
    return nonnegative(rows, np.ones(len(rows)))


def nonnegative(matrix: Floats, target: Floats) -> Floats:
    """Return the non-negative least-squares solution: the best over all sets of positive columns.

    It is exact, and quick for three columns, and a device host does not need SciPy.
    """
    width = matrix.shape[1]
    norms = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(norms > 0, norms, 1.0)
    best, best_loss = np.zeros(width), float(target @ target)
    for size in range(1, width + 1):
        for chosen in map(list, combinations(range(width), size)):
            solution = np.linalg.lstsq(scaled[:, chosen], target, rcond=None)[0]
            loss = float(((scaled[:, chosen] @ solution - target) ** 2).sum())
            if solution.min() >= 0 and loss < best_loss - 1e-12:
                best, best_loss = np.zeros(width), loss
                best[chosen] = solution
    return np.asarray(best / np.where(norms > 0, norms, 1.0))
