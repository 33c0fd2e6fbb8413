"""Gaussian-process regression of the part of a latency that other devices do not explain.

It is small on purpose: it has tens to hundreds of points and one special-purpose kernel. Its
hyperparameters have priors, because thirty timings cannot determine seventeen free numbers.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: prediction eq. 2.25
and 2.26, marginal likelihood and its gradient eq. 5.8 and 5.9, leave-one-out eq. 5.12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Logs of the standard deviations of log latency: linear in level, in contrasts between sources
#: and in sizes; offset of a kind; smooth rest; noise.
_AMPLITUDES: Final = np.log([0.1, 0.1, 0.05, 0.05, 0.08, 0.03])
#: Standard deviations of the normal priors on these logs.
_AMPLITUDE_SD: Final = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.7])
_SLOPE_SD: Final = 0.3
_SCALE: Final = np.log(0.3)
_SCALE_SD: Final = 0.3
_NOISE: Final = 5
_SLOPES: Final = slice(6, 8)
_SCALES: Final = slice(8, None)
#: Least noise variance: a standard deviation of a tenth of a percent.
_FLOOR: Final = 1e-6
#: How far a hyperparameter may move, in standard deviations of its prior.
_REACH: Final = 8
#: Rows predicted at a time, to keep the kernel between them and the timings small.
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Standardised inputs of n operations.

    Attributes:
        level: (n, 1) mean log latency over the sources.
        contrasts: (n, sources - 1 at most) differences between the sources.
        sizes: groups of (n, any) log sizes; each group has one length scale.
        kind: (n,) number of the operation's kind.
        noise: (n, 2) columns that the noise's log may depend on linearly.
        extra: (n,) variance known beforehand and added to the noise.
    """

    level: Floats
    contrasts: Floats
    sizes: tuple[Floats, ...]
    kind: Integers
    noise: Floats
    extra: Floats

    @property
    def groups(self) -> tuple[Floats, ...]:
        """The groups of columns; each group has one length scale."""
        contrasts = (self.contrasts,) if self.contrasts.shape[1] else ()
        return (self.level, *contrasts, *self.sizes)

    @property
    def linear(self) -> tuple[Floats, Floats, Floats]:
        """The inputs with a linear effect on latency; each has one amplitude."""
        return self.level, self.contrasts, np.concatenate(self.sizes, axis=1)

    def prior(self) -> Floats:
        """The most plausible hyperparameters before any timing."""
        return np.concatenate([_AMPLITUDES, [0.0, 0.0], np.full(len(self.groups) + 1, _SCALE)])

    def prior_sd(self) -> Floats:
        """The standard deviations of the hyperparameters' priors."""
        scales = np.full(len(self.groups) + 1, _SCALE_SD)
        return np.concatenate([_AMPLITUDE_SD, [_SLOPE_SD, _SLOPE_SD], scales])


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Products and squared distances between rows `a` and `b`, before hyperparameters."""

    products: tuple[Floats, ...]
    distances: Floats


class Kernel:
    """Covariances of operations: linear, by kind, and a Matérn 3/2 over all groups."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def pairs(self, a: Integers, b: Integers) -> _Pairs:
        """Compare rows `a` with rows `b`."""
        kind = self.inputs.kind
        same = (kind[a][:, None] == kind[b]).astype(np.float64)
        products = tuple(x[a] @ x[b].T for x in self.inputs.linear)
        distances = [_squared(x[a], x[b]) for x in self.inputs.groups]
        return _Pairs((*products, same), np.stack([*distances, 1 - same]))

    def covariance(self, pairs: _Pairs, theta: Floats) -> Floats:
        """Return (a, b) covariances of latent log latencies; the constant has variance 1."""
        return self.parts(pairs, theta)[0]

    def parts(self, pairs: _Pairs, theta: Floats) -> tuple[Floats, list[Floats], list[Floats]]:
        """Return covariances and derivatives by log amplitude and by log inverse scale."""
        weights = np.exp(2 * theta)
        distance = np.sqrt(3 * np.tensordot(weights[_SCALES], pairs.distances, 1) + 1e-12)
        decay = np.exp(-distance)
        terms = [w * x for w, x in zip(weights, pairs.products, strict=False)]
        terms.append(weights[4] * (1 + distance) * decay)
        slope = -3 * weights[4] * decay
        scales = zip(weights[_SCALES], pairs.distances, strict=True)
        return 1 + sum(terms), [2 * x for x in terms], [slope * w * x for w, x in scales]

    def variance(self, rows: Integers, theta: Floats) -> Floats:
        """Return the prior variances of rows: the diagonal of `covariance`."""
        weights = np.exp(2 * theta)
        linear = zip(weights, self.inputs.linear, strict=False)
        variance = 1 + weights[3] + weights[4] + sum(w * (x[rows] ** 2).sum(1) for w, x in linear)
        return np.asarray(variance)

    def noise(self, rows: Integers, theta: Floats) -> Floats:
        """Return the noise variances of rows."""
        log = theta[_NOISE] + self.inputs.noise[rows] @ theta[_SLOPES]
        return np.asarray(np.exp(2 * log) + self.inputs.extra[rows] + _FLOOR)


class Regression:
    """A Gaussian process fitted to a few rows.

    Args:
        inputs: the inputs of all operations.
        rows: the timed operations.
        values: (rows,) values to explain; zero is the prediction without any information.
    """

    def __init__(self, inputs: Inputs, rows: Sequence[int], values: npt.ArrayLike) -> None:
        self._kernel = Kernel(inputs)
        self._rows = np.asarray(rows, np.int64)
        values = np.asarray(values, np.float64)
        self._centre = float(np.median(values))
        self._values = values - self._centre
        self._pairs = self._kernel.pairs(self._rows, self._rows)
        self._theta = self._fitted()
        full = self._kernel.covariance(self._pairs, self._theta)
        full[np.diag_indices(len(full))] += self._kernel.noise(self._rows, self._theta)
        self._inverse = np.linalg.inv(full)
        self._weights = self._inverse @ self._values

    def _fitted(self) -> Floats:
        """Return the hyperparameters that maximise the marginal likelihood times the priors."""
        from scipy.optimize import minimize

        start = self._kernel.inputs.prior()
        reach = _REACH * self._kernel.inputs.prior_sd()
        optimum = minimize(
            self._loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=np.column_stack([start - reach, start + reach]),
            options={"maxiter": 100},
        )
        return np.asarray(optimum.x, np.float64)

    def _loss(self, theta: Floats) -> tuple[float, Floats]:
        """Return the negative log posterior of the hyperparameters, and its gradient."""
        inputs = self._kernel.inputs
        full, by_amplitude, by_scale = self._kernel.parts(self._pairs, theta)
        noise = self._kernel.noise(self._rows, theta)
        full[np.diag_indices(len(full))] += noise
        factor = np.linalg.cholesky(full)
        root = np.linalg.inv(factor)
        inverse = root.T @ root
        weights = inverse @ self._values
        change = inverse - np.outer(weights, weights)
        free = (noise - inputs.extra[self._rows] - _FLOOR) * np.diag(change)
        gradient = [
            *(0.5 * float((change * x).sum()) for x in by_amplitude),
            float(free.sum()),
            *(free @ inputs.noise[self._rows]),
            *(0.5 * float((change * x).sum()) for x in by_scale),
        ]
        away = (theta - inputs.prior()) / inputs.prior_sd()
        loss = 0.5 * self._values @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
        return float(loss), np.asarray(gradient) + away / inputs.prior_sd()

    def predict(self, rows: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations, noise included."""
        asked = np.asarray(rows, np.int64)
        mean, variance = np.empty(len(asked)), np.empty(len(asked))
        for start in range(0, len(asked), _CHUNK):
            part = slice(start, start + _CHUNK)
            cross = self._kernel.covariance(
                self._kernel.pairs(asked[part], self._rows), self._theta
            )
            mean[part] = cross @ self._weights
            prior = self._kernel.variance(asked[part], self._theta)
            known = ((cross @ self._inverse) * cross).sum(axis=1)
            variance[part] = np.maximum(prior - known, 0)
            variance[part] += self._kernel.noise(asked[part], self._theta)
        return mean + self._centre, np.sqrt(variance)

    def left_out(self) -> tuple[Floats, Floats]:
        """Return each timing's leave-one-out error and its predicted standard deviation."""
        precision = np.diag(self._inverse)
        return np.asarray(self._weights / precision), np.asarray(1 / np.sqrt(precision))


def most_informative(
    inputs: Inputs, candidates: Integers, targets: Integers, count: int
) -> list[int]:
    """Pick rows one by one; each removes the most variance from the targets.

    It uses only the prior, so it needs no timing.

    Source: Cohn, Neural network exploration using optimal experiment design, 1996, in its form
    for Gaussian processes: every pick projects out the chosen row's covariances.
    """
    kernel, theta = Kernel(inputs), inputs.prior()
    within = kernel.covariance(kernel.pairs(candidates, candidates), theta)
    across = kernel.covariance(kernel.pairs(targets, candidates), theta)
    noise = kernel.noise(candidates, theta)
    picked: list[int] = []
    for _ in range(min(count, len(candidates))):
        total = np.diag(within) + noise
        gain = (across**2).sum(axis=0) / total
        gain[picked] = -1
        best = int(gain.argmax())
        picked.append(best)
        row = within[best].copy()
        across -= np.outer(across[:, best], row / total[best])
        within -= np.outer(row, row / total[best])
    return [int(candidates[row]) for row in picked]


def _squared(a: Floats, b: Floats) -> Floats:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0))
