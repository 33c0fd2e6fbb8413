"""A Gaussian process for deviations that are smooth over map size and shared by related blocks.

Latencies of neighbouring sizes deviate from a work model in similar ways (caches, thread start),
and so do those of blocks that differ only in kernel and expansion. Deviations not shared with
other sizes are noise, of one size (its alignment) or of one measurement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Prior means and initial values of the six log hyperparameters: deviations of 2 % over distances
#: of half an e-fold, and noise of 0.5 %.
_PRIOR: Final = np.log([0.02, 0.5, 0.02, 0.5, 0.005, 0.005])
_BOUNDS: Final = [(-7.0, -1.0), (-2.0, 1.5), (-7.0, -1.0), (-2.0, 1.5), (-8.0, -2.0), (-7.0, -1.0)]
#: Variance of a family's or a neighbourhood's offset from the work model.
_OFFSET: Final = 0.05**2
#: Most points per neighbourhood for fitting hyperparameters: time grows with their cube.
_FITTED: Final = 90
_JITTER: Final = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Deviations of one neighbourhood.

    Attributes:
        x: (n,) logarithms of map sides.
        family: (n,) family numbers.
        y: (n,) logarithms of latency over work model; None for points to predict.
    """

    x: Floats
    family: npt.NDArray[np.int64]
    y: Floats | None = None

    def take(self, rows: npt.NDArray[np.bool_]) -> "Deviations":
        """Return the marked points."""
        y = None if self.y is None else self.y[rows]
        return Deviations(x=self.x[rows], family=self.family[rows], y=y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothness:
    """Standard deviations and distances of the components of the deviations.

    Attributes:
        family, family_distance: the smooth component of one family.
        shared, shared_distance: the smooth component that a neighbourhood shares.
        size: the component of one map size that a neighbourhood shares.
        noise: the noise of one measurement.
        evidence: logarithm of prior times likelihood, up to a constant.
    """

    family: float
    family_distance: float
    shared: float
    shared_distance: float
    size: float
    noise: float
    evidence: float = 0.0

    def covariance(self, a: Deviations, b: Deviations) -> Floats:
        """Return (len(a), len(b)) covariances, without the noise of measurements."""
        apart = (a.x[:, None] - b.x) ** 2
        same = a.family[:, None] == b.family
        own = self.family**2 * np.exp(-apart / (2 * self.family_distance**2)) + _OFFSET
        shared = self.shared**2 * np.exp(-apart / (2 * self.shared_distance**2)) + _OFFSET
        return np.asarray(same * own + shared + self.size**2 * (apart < _JITTER))

    def predict(self, known: Deviations, wanted: Deviations) -> tuple[Floats, Floats]:
        """Return (m,) deviations and their (m, m) covariance, which includes measurement noise.

        The level of a neighbourhood is its generalised mean and is not shrunk towards zero.
        """
        measured = np.zeros(0) if known.y is None else known.y
        variance = self.covariance(known, known) + (self.noise**2 + _JITTER) * np.eye(len(known.x))
        across = self.covariance(known, wanted)
        solved = np.linalg.solve(
            variance, np.column_stack([measured, np.ones_like(measured), across])
        )
        by_y, by_one, by_across = solved[:, 0], solved[:, 1], solved[:, 2:]
        level = by_y.sum() / by_one.sum()
        mean = level + across.T @ (by_y - level * by_one)
        rest = 1 - across.T @ by_one
        noise = self.noise**2 * np.eye(len(wanted.x))
        left = self.covariance(wanted, wanted) - across.T @ by_across + noise
        return mean, np.asarray(left + np.outer(rest, rest) / by_one.sum())


def fit_smoothness(neighbourhoods: Sequence[Deviations]) -> Smoothness:
    """Find the most probable components of the deviations; deterministic.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, chapter 5.4.1; the
    level of each neighbourhood has a vague prior; the hyperparameters have a log-normal prior.
    """
    from scipy.optimize import minimize

    thinned = [_thin(neighbourhood) for neighbourhood in neighbourhoods]
    useful = [neighbourhood for neighbourhood in thinned if len(np.unique(neighbourhood.x)) > 1]
    if not useful:
        return _smoothness(_PRIOR, evidence=0.0)

    def loss(logs: Floats) -> float:
        return _loss(logs, useful)

    optimum = minimize(loss, _PRIOR, method="L-BFGS-B", bounds=_BOUNDS, options={"maxiter": 60})
    return _smoothness(np.asarray(optimum.x), evidence=-float(optimum.fun))


def _smoothness(logs: Floats, *, evidence: float) -> Smoothness:
    values = [float(value) for value in np.exp(logs)]
    return Smoothness(
        family=values[0],
        family_distance=values[1],
        shared=values[2],
        shared_distance=values[3],
        size=values[4],
        noise=values[5],
        evidence=evidence,
    )


def _loss(logs: Floats, neighbourhoods: Sequence[Deviations]) -> float:
    """Return the negative logarithm of prior times likelihood."""
    parts = _smoothness(logs, evidence=0.0)
    total = float(((logs - _PRIOR) ** 2).sum() / 2)
    for neighbourhood in neighbourhoods:
        y = np.zeros(0) if neighbourhood.y is None else neighbourhood.y
        variance = (
            parts.covariance(neighbourhood, neighbourhood)
            + (parts.noise**2 + _JITTER) * np.eye(len(y))
            + 1.0
        )
        lower = np.linalg.cholesky(variance)
        whitened = np.linalg.solve(lower, y)
        total += float(whitened @ whitened / 2 + np.log(np.diag(lower)).sum())
    return total


def _thin(points: Deviations) -> Deviations:
    """Keep every k-th family of a large neighbourhood."""
    families = np.unique(points.family)
    step = -(-len(points.x) // _FITTED)
    return points.take(np.isin(points.family, families[::step]))
