import numpy as np
import pytest

from hwnat.errors import DataError
from hwnat.predict import choice
from hwnat.predict.choice import Sample, choose
from hwnat.records.op import OpSpec


def conv(channels, out, side=14):
    return OpSpec(kind="conv", in_shape=(1, side, side, channels), out_channels=out)


def measured(count, *, networks=12, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Sample(
            op=conv(4 * (1 + index % 40), 8 * (1 + index // 40), side=int(rng.choice([7, 14, 28]))),
            latency_ns=1_000.0 * (5 + index) * float(np.exp(noise * rng.standard_normal())),
            source=f"net-{index % networks}",
        )
        for index in range(count)
    ]


def test_folds_keep_what_was_measured_together(monkeypatch):
    seen = []
    real = choice.arrays
    monkeypatch.setattr(choice, "arrays", lambda kept: (seen.append(kept), real(kept))[1])
    choose("conv", measured(60, networks=12), seed=1)
    assert seen
    for kept in seen:
        left = 12 - len({each.source for each in kept})
        assert left in (2, 3, 4)
        assert len(kept) == 60 - 5 * left


def test_without_sources_folds_keep_equal_operations_together(monkeypatch):
    seen = []
    real = choice.arrays
    monkeypatch.setattr(choice, "arrays", lambda kept: (seen.append(kept), real(kept))[1])
    twice = [*measured(30, networks=1), *measured(30, networks=1)]
    choose("conv", twice, seed=1)
    for kept in seen:
        ops = [each.op for each in kept]
        assert all(ops.count(op) == 2 for op in ops)


def test_a_kind_that_is_a_roofline_stays_one():
    samples = [
        Sample(op=conv(4 * index, 64), latency_ns=2_000 + 14 * 14 * 64 * 4 * index)
        for index in range(1, 30)
    ]
    found = choose("conv", samples, seed=0)
    assert found.family == "roofline"
    assert found.cv_error < 1e-3


def test_noisier_measurements_get_wider_intervals():
    quiet, noisy = (choose("conv", measured(80, noise=n), seed=0) for n in (0.01, 0.3))
    assert quiet.half_width < noisy.half_width
    assert quiet.n == noisy.n == 80


def test_few_left_out_errors_give_more_than_the_largest():
    assert choice._conformal(np.array([0.1, -0.2])) == 0.4
    assert choice._conformal(np.linspace(-1, 1, 21)) == pytest.approx(0.9, abs=0.11)


def test_many_operations_are_thinned_with_all_their_samples():
    samples = measured(1_200, networks=30)
    kept = choice._thinned(samples, np.random.default_rng(0))
    ops = {each.op for each in kept}
    assert len(ops) == choice._MAX_CHOICE
    assert kept == [each for each in samples if each.op in ops]


@pytest.mark.parametrize("ns", [0, -1.0, float("nan"), float("inf")])
def test_samples_are_latencies(ns):
    with pytest.raises(DataError, match="is not a valid latency"):
        Sample(op=conv(8, 8), latency_ns=ns)
