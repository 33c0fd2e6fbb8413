import numpy as np
import pytest
from evaluate.calibration import Totals, fit, half_width, scale, spread_out
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import UsageError


def totals(count=40, *, noise=0.0, seed=0, coefficients=(1.05, 2_000.0, 900_000.0)):
    rng = np.random.default_rng(seed)
    sums, ops = rng.uniform(1e6, 1e8, count), rng.integers(20, 150, count).astype(float)
    columns = np.stack([sums, ops, np.ones(count)], axis=1)
    measured = columns @ coefficients * np.exp(noise * rng.standard_normal(count))
    return Totals(sums_ns=sums, ops=ops, measured_ns=measured, noise=np.full(count, 0.02))


def errors(known, judged):
    return judged.columns @ fit(known) / judged.measured_ns - 1


def test_ten_exact_networks_give_the_others():
    data = totals()
    off = np.abs(errors(data[np.arange(10)], data))
    assert off.max() < 0.05
    assert np.median(off) < 0.005


def test_one_network_out_of_line_moves_the_others_little():
    data = totals(noise=0.01)
    known = data[np.arange(10)]
    middle = np.argsort(known.sums_ns)[5]
    known.measured_ns[middle] *= 1.5
    least_squares = np.linalg.lstsq(
        known.columns / known.measured_ns[:, None], np.ones(10), rcond=None
    )[0]
    plain = np.abs(data.columns @ least_squares / data.measured_ns - 1)
    robust = np.abs(errors(known, data))
    assert robust.mean() < 0.5 * plain.mean()
    assert np.median(robust) < 0.015


def test_a_network_whose_runs_spread_weighs_less():
    data = totals(noise=0.01)
    known = data[np.arange(10)]
    middle = np.argsort(known.sums_ns)[5]
    known.measured_ns[middle] *= 1.1
    before = np.abs(errors(known, data)).mean()
    known.noise[middle] = 0.5
    assert np.abs(errors(known, data)).mean() < before


@given(st.integers(0, 1_000))
def test_coefficients_are_never_negative(seed):
    data = totals(12, noise=0.3, seed=seed, coefficients=(0.9, 0.0, 0.0))
    assert (fit(data) >= 0).all()


@pytest.mark.parametrize("noise", [0.01, 0.04])
def test_intervals_hold_about_nine_in_ten_over_many_draws(noise):
    inside = []
    for seed in range(30):
        data = totals(100, noise=noise, seed=seed)
        chosen = spread_out(data.sums_ns, data.ops, 10, seed=seed)
        known, judged = data[chosen], data[np.delete(np.arange(100), chosen)]
        size = np.abs(errors(known, judged))
        inside.append((size <= half_width(known)).mean())
    assert 0.84 <= np.mean(inside) <= 0.99


def test_one_network_gives_the_width_that_is_expected():
    assert half_width(totals()[np.arange(1)]) == pytest.approx(2.06 * 0.024)


@given(st.integers(0, 1_000), st.integers(1, 39))
def test_calibration_networks_are_different_and_one_of_every_size(seed, count):
    data = totals()
    chosen = spread_out(data.sums_ns, data.ops, count, seed=seed)
    assert len(set(chosen.tolist())) == count
    rank = np.argsort(np.argsort(data.sums_ns))[chosen]
    assert [sum(rank[i] >= r for r in rank) for i in range(count)] == list(range(1, count + 1))
    assert (chosen == spread_out(data.sums_ns, data.ops, count, seed=seed)).all()


@pytest.mark.parametrize("count", [0, 40, 41])
def test_networks_must_be_left_to_judge(count):
    data = totals()
    with pytest.raises(UsageError, match="Cannot calibrate on"):
        spread_out(data.sums_ns, data.ops, count, seed=0)


def test_one_factor_minimises_relative_errors():
    assert scale(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 2.0
    amounts, measured = np.array([1.0, 2.0, 3.0]), np.array([1.1, 1.9, 3.3])
    best = scale(amounts, measured)
    losses = [
        ((factor * amounts / measured - 1) ** 2).sum()
        for factor in (best, best - 1e-3, best + 1e-3)
    ]
    assert losses[0] < min(losses[1:])
