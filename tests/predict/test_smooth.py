import numpy as np
import pytest

from hwnat.predict.smooth import Deviations, Smoothness, fit_smoothness

PARTS = Smoothness(
    family=0.02,
    family_distance=0.4,
    shared=0.05,
    shared_distance=0.5,
    size=0.004,
    noise=0.003,
)
X = np.log([10.0, 11, 12, 13, 14])


def points(level=0.0, *, slope=0.1, families=3, noise=0.0, seed=0, x=X):
    rng = np.random.default_rng(seed)
    where = np.tile(x, families)
    y = level + slope * (where - x[0]) + noise * rng.standard_normal(len(where))
    return Deviations(x=where, family=np.repeat(np.arange(families), len(x)), y=y)


def wanted(*sizes, family=0):
    return Deviations(x=np.log(sizes), family=np.full(len(sizes), family))


def test_a_slope_is_followed_between_measured_sizes():
    mean, _ = PARTS.predict(points(0.3), wanted(10.5, 12.5))
    assert mean == pytest.approx(0.3 + 0.1 * np.log([1.05, 1.25]), abs=5e-4)


@pytest.mark.parametrize("level", [-5.0, 0.0, 5.0])
def test_the_level_of_deviations_is_not_drawn_to_zero(level):
    mean, _ = PARTS.predict(points(level, slope=0), wanted(11.5, 40))
    assert mean == pytest.approx(level, abs=1e-6)


def test_uncertainty_grows_with_the_distance_to_what_was_measured():
    _, covariance = PARTS.predict(points(), wanted(11.5, 20, 40))
    near, far, farther = np.diag(covariance)
    assert PARTS.noise**2 < near < far < farther


def test_errors_of_one_size_go_together():
    both = Deviations(x=np.log([11.5, 11.5]), family=np.array([0, 1]))
    _, covariance = PARTS.predict(points(), both)
    assert covariance[0, 1] > 0.5 * PARTS.size**2


def test_noise_is_told_from_smoothness():
    quiet, loud = (
        fit_smoothness([points(noise=noise, seed=seed) for seed in range(4)])
        for noise in (0.001, 0.03)
    )
    assert quiet.noise < 0.004
    assert 0.02 < loud.noise < 0.045
    assert quiet.evidence > loud.evidence


def test_intervals_cover_what_they_promise():
    every = [
        points(noise=0.01, seed=seed, families=6, x=np.log(np.arange(10.0, 15, 0.5)))
        for seed in range(100)
    ]
    odd = np.isin(every[0].x, np.log([10.5, 11.5, 12.5, 13.5]))
    parts = fit_smoothness([each.take(~odd) for each in every[:8]])
    covered = []
    for each in every:
        hidden = each.take(odd)
        mean, covariance = parts.predict(each.take(~odd), hidden)
        covered.append(np.abs(hidden.y - mean) < 1.645 * np.sqrt(np.diag(covariance)))
    assert 0.86 < np.mean(covered) < 0.95


def test_one_size_teaches_nothing_about_smoothness():
    lone = Deviations(x=np.zeros(3), family=np.arange(3), y=np.zeros(3))
    assert fit_smoothness([lone]).evidence == 0.0


def test_a_large_neighbourhood_is_thinned_for_the_fit():
    large = points(families=60, noise=0.002)
    few = large.take(large.family % 4 == 0)
    assert fit_smoothness([large]) == fit_smoothness([few])
