from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError
from hwnat.table.calibrate import Calibration, NetworkCheck, calibrate, robust_fit


def networks(count, *, a=1.0, b=0.0, c=0.0, noise=0.0, seed=0):
    """Sums, operation counts and latencies of random networks that follow the form exactly."""
    rng = np.random.default_rng(seed)
    sums = rng.integers(1_000_000, 3_000_000, count)
    ops = rng.integers(15, 26, count)
    measured = (a * sums + b * ops + c) * (1 + noise * rng.standard_normal(count))
    genomes = [f"{i:023d}" for i in range(count)]
    return genomes, sums.tolist(), ops.tolist(), measured.round().astype(int).tolist()


@settings(max_examples=25)
@given(st.floats(0.2, 3.0), st.floats(0, 50_000), st.floats(0, 500_000))
def test_the_form_that_made_the_data_is_found(a, b, c):
    genomes, sums, ops, measured = networks(10, a=a, b=b, c=c)
    fit = calibrate(genomes, sums, ops, measured)
    assert fit.apply(sums, ops) == pytest.approx(measured, rel=0.03)
    if fit.form == "affine":
        assert fit.apply(sums, ops) == pytest.approx(measured, rel=1e-4)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(1, 30), st.integers(1, 10**9)),
        min_size=1,
        max_size=12,
    )
)
def test_no_coefficient_is_ever_negative(rows):
    sums, ops, measured = map(list, zip(*rows, strict=True))
    fit = calibrate([str(i) for i in range(len(rows))], sums, ops, measured)
    assert min(fit.scale, fit.per_op_ns, fit.constant_ns) >= 0
    assert np.all(fit.apply(sums, ops) > 0)


def test_noise_alone_does_not_buy_more_coefficients():
    chosen = [calibrate(*networks(10, noise=0.01, seed=seed)).form for seed in range(20)]
    assert chosen.count("scale") > 14


def test_a_real_offset_is_worth_its_coefficients():
    fit = calibrate(*networks(10, a=0.7, b=30_000, noise=0.002))
    assert fit.form == "affine"
    assert dict(fit.loo_errors)["affine"] < dict(fit.loo_errors)["scale"]


def test_relative_errors_are_fitted_so_small_networks_count_as_much():
    genomes, ops = ["a", "b"], [20, 20]
    fit = calibrate(genomes, [1_000, 1_000_000], ops, [1_100, 900_000])
    errors = fit.apply([1_000, 1_000_000], ops) / [1_100, 900_000] - 1
    assert abs(errors.sum()) < 0.03
    assert np.abs(errors).min() > 0.05


def test_the_recorded_errors_come_from_fits_that_had_not_seen_the_network():
    genomes, sums, ops, measured = networks(10)
    measured[3] *= 2
    fit = calibrate(genomes, sums, ops, measured)
    odd = fit.networks[3]
    assert odd.error == pytest.approx(-0.5, abs=1e-3)
    assert odd.predicted_ns / odd.measured_ns - 1 > odd.error


def test_without_networks_sums_stay_as_they_are():
    fit = calibrate([], [], [], [])
    assert fit == Calibration()
    assert fit.apply([5, 7], [1, 1]).tolist() == [5, 7]
    assert fit.half_width() is None


def test_an_interval_needs_enough_networks():
    assert calibrate(*networks(8, noise=0.1)).half_width(0.9) is None
    fit = calibrate(*networks(9, noise=0.1))
    errors = [abs(each.error) for each in fit.networks]
    assert 1.5 * np.mean(errors) < fit.half_width(0.9) < 2 * max(errors)


def test_many_networks_decide_the_interval_by_their_rank():
    genomes, sums, ops, measured = networks(10, noise=0.02)
    fit = calibrate(genomes, sums, ops, measured)
    flat = [replace(fit.networks[0], error=0.04)] * 3000
    wide = [replace(fit.networks[0], error=0.2)] * 1000
    assert fit.half_width(0.9, unseen=flat + wide) == pytest.approx(0.2, rel=0.02)
    assert fit.half_width(0.7, unseen=flat + wide) == pytest.approx(0.04, rel=0.02)


def test_the_interval_covers_new_networks_as_often_as_it_says():
    covered = []
    for seed in range(60):
        genomes, sums, ops, measured = networks(30, noise=0.03, seed=seed)
        fit = calibrate(genomes[:10], sums[:10], ops[:10], measured[:10])
        errors = fit.apply(sums[10:], ops[10:]) / measured[10:] - 1
        covered.extend(np.abs(errors) <= fit.half_width(0.9))
    assert 0.85 < np.mean(covered) < 0.95


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": -1.0},
        {"constant_ns": float("nan")},
        {"scale": 0.0},
        {"scale": 1e308},
        {"per_op_ns": 1e300},
        {"constant_ns": 1e13},
    ],
)
def test_impossible_coefficients_are_refused(bad):
    with pytest.raises(DataError, match="coefficients"):
        Calibration(**bad)


def test_a_network_without_a_latency_is_refused():
    with pytest.raises(DataError, match="network 01"):
        NetworkCheck(genome="01", sum_ns=1, ops=1, measured_ns=0, predicted_ns=1.0, error=0.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"predicted_ns": -5.0},
        {"predicted_ns": float("inf")},
        {"error": -1.5},
        {"error": float("nan")},
        {"error": 1e300},
    ],
)
def test_a_network_that_cannot_have_been_predicted_so_is_refused(bad):
    fine = {"sum_ns": 1, "ops": 1, "measured_ns": 1, "predicted_ns": 1.0, "error": 0.0}
    with pytest.raises(DataError, match="network 01"):
        NetworkCheck(**{"genome": "01", **fine, **bad})


@pytest.mark.parametrize("sum_ns", [0, float("inf"), float("nan")])
def test_a_latency_that_is_not_positive_is_an_error(sum_ns):
    with pytest.raises(DataError, match="not positive"):
        Calibration(scale=0.9).apply([1000, sum_ns], [3, 3])


def test_one_disturbed_network_moves_a_robust_fit_little():
    genomes, sums, ops, measured = networks(10, noise=0.01, seed=4)
    calm = calibrate(genomes, sums, ops, measured)
    disturbed = [*measured[:-1], round(1.4 * measured[-1])]
    found = calibrate(genomes, sums, ops, disturbed)
    assert found.form == "robust"
    assert found.apply(sums, ops) == pytest.approx(calm.apply(sums, ops), rel=0.03)


def test_the_robust_fit_needs_no_network_to_be_near_one():
    rows = np.array([[1.0, 1e-9, 1e-9]])
    assert robust_fit(rows)[0] == pytest.approx(1.0, abs=0.03)


def test_a_form_that_is_better_by_a_little_is_not_worth_its_coefficients():
    seen = 0
    for seed in range(40):
        fit = calibrate(*networks(10, noise=0.03, seed=seed))
        errors = dict(fit.loo_errors)
        richer = min(errors["affine"], errors["robust"])
        if 0.951 * errors["scale"] < richer < errors["scale"]:
            seen += 1
            assert fit.form == "scale"
    assert seen
