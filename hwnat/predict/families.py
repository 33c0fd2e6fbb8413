"""The scikit-learn regressors that an operator model chooses from, on top of a roofline.

Each predicts the natural logarithm of the time divided by the roofline's. A regressor that has
learned nothing therefore equals the roofline, and trees extrapolate with the amount of work.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError
from hwnat.predict.features import COMPACT, NAMES

Floats = npt.NDArray[np.float64]
Settings = Mapping[str, float]

#: Family -> settings, plainest first; the plainer one wins a tie.
FAMILIES: Final[Mapping[str, Settings]] = {
    "roofline": {},
    "gaussian_process": {"smoothness": 2.5},
    "extra_trees": {"trees": 100.0, "columns": 0.5},
    "boosted_trees": {"trees": 150.0, "depth": 6.0, "rate": 0.08, "columns": 0.3, "rows": 0.7},
}
#: Most samples for a Gaussian process, whose cost grows with their cube.
_MAX_EXACT: Final = 240
#: Steps of the length-scale search; more change predictions by less than their error.
_STEPS: Final = 25
#: Fewest samples for any family but the plain roofline.
_MIN_LEARNED: Final = 12


class Regressor(Protocol):
    """The part of scikit-learn's regressor protocol used here."""

    def fit(self, x: Floats, y: Floats) -> object:
        """Fit (n, features) inputs to (n,) targets."""
        ...

    def predict(self, x: Floats) -> Floats:
        """Predict (n,) targets from (n, features) inputs."""
        ...


class Roofline:
    """Time as a non-negative sum of launches, operations and bytes, each at its own rate.

    Source: Williams et al., Roofline (2009), with a sum in place of the maximum because a kernel
    overlaps memory and arithmetic only in part. The fit minimises relative errors.
    """

    def __init__(self) -> None:
        self._rates = np.zeros(0)

    def fit(self, amounts: Floats, ns: Floats) -> "Roofline":
        """Fit rates to (n, columns) amounts of work and (n,) nanoseconds."""
        from scipy.optimize import nnls

        rows = amounts / ns[:, None]
        scale = np.linalg.norm(rows, axis=0)
        scale[scale == 0] = 1.0
        rates, _ = nnls(rows / scale, np.ones(len(ns)))
        self._rates = rates / scale
        return self

    def predict(self, amounts: Floats) -> Floats:
        """Return (n,) nanoseconds, at least 1."""
        return np.asarray(np.maximum(amounts @ self._rates, 1.0))


class _Nothing:
    """Corrects the roofline only by the median of its logarithmic errors."""

    def __init__(self) -> None:
        self._middle = 0.0

    def fit(self, x: Floats, y: Floats) -> "_Nothing":
        self._middle = float(np.median(y)) if len(x) else 0.0
        return self

    def predict(self, x: Floats) -> Floats:
        return np.full(len(x), self._middle)


class _Process:
    """A Gaussian process over the compact features, with one length scale per feature."""

    def __init__(self, smoothness: float) -> None:
        self._smoothness = smoothness
        self._columns = [NAMES.index(name) for name in COMPACT]
        self._center = self._scale = np.zeros(0)
        self._fitted: Any = None

    def fit(self, x: Floats, y: Floats) -> "_Process":
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        varied = [c for c in self._columns if np.ptp(x[:, c]) > 0]
        self._columns = varied or self._columns[:1]
        x = x[:, self._columns]
        self._center, self._scale = x.mean(axis=0), x.std(axis=0)
        self._scale[self._scale == 0] = 1.0
        lengths = np.full(x.shape[1], 2.0)
        kernel = ConstantKernel(0.1, (1e-5, 1e3)) * Matern(
            lengths, (0.2, 1e3), nu=self._smoothness
        ) + WhiteKernel(1e-3, (1e-7, 1.0))
        self._fitted = GaussianProcessRegressor(kernel, optimizer=_climb, normalize_y=True)
        with warnings.catch_warnings():
            # A length scale at its bound means that a feature does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._fitted.fit((x - self._center) / self._scale, y)
        return self

    def predict(self, x: Floats) -> Floats:
        scaled = (x[:, self._columns] - self._center) / self._scale
        return np.asarray(self._fitted.predict(scaled))


def _climb(objective: Any, start: Floats, bounds: Floats) -> tuple[Floats, float]:  # noqa: ANN401
    """Search for hyperparameters in few steps, as scikit-learn's `optimizer` does."""
    from scipy.optimize import minimize

    optimum = minimize(
        objective, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    return optimum.x, optimum.fun


def plainer(family: str) -> Settings:
    """Return a family's cheaper settings for cross-validation: a third of a forest is enough."""
    settings = dict(FAMILIES[family])
    if family == "extra_trees":
        settings["trees"] = settings["trees"] // 3
    return settings


def candidates(samples: int) -> tuple[str, ...]:
    """Return the families worth trying on so many samples."""
    if samples < _MIN_LEARNED:
        return ("roofline",)
    if samples <= _MAX_EXACT:
        return ("roofline", "gaussian_process", "extra_trees")
    return ("extra_trees", "boosted_trees")


def regressor(family: str, settings: Settings, *, seed: int) -> Regressor:
    """Return an unfitted regressor.

    Raises:
        DataError: this version of hwnat does not know the family or its settings.
    """
    expected = FAMILIES.get(family)
    if expected is None or settings.keys() != expected.keys():
        msg = f"No regressor '{family}' with settings {dict(settings)}; fit the models again."
        raise DataError(msg)
    if family == "roofline":
        return _Nothing()
    if family == "gaussian_process":
        return _Process(settings["smoothness"])
    from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor

    if family == "extra_trees":
        forest: Regressor = ExtraTreesRegressor(
            int(settings["trees"]), max_features=settings["columns"], random_state=seed
        )
        return forest
    boosted: Regressor = GradientBoostingRegressor(
        n_estimators=int(settings["trees"]),
        max_depth=int(settings["depth"]),
        learning_rate=settings["rate"],
        max_features=settings["columns"],
        subsample=settings["rows"],
        random_state=seed,
    )
    return boosted
