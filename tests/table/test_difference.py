import numpy as np
import pytest

from hwnat.records.measurement import Measurement
from hwnat.table.difference import differenced


def visits(ratios):
    return [
        Measurement(
            job=str(index),
            setup="s",
            subject="x",
            round=index,
            samples_ns=(round(100_000 * ratio),) * 4,
            reference_ns=(100_000,) * 4,
            disturbed=0,
            started="2026-01-01T00:00:00+00:00",
            ended="2026-01-01T00:00:01+00:00",
        )
        for index, ratio in enumerate(ratios)
    ]


def test_an_operator_takes_the_difference_over_its_copies():
    found = differenced(visits([1.5] * 5), visits([0.5] * 5), count=4, reference_ns=100_000)
    assert found.p50_ns == found.low_ns == found.high_ns == 25_000
    assert found.n == 20
    less = differenced(
        visits([1.5] * 5), visits([0.5] * 5), count=4, reference_ns=100_000, less_ns=40_000
    )
    assert less.p50_ns == 15_000


def test_nothing_is_faster_than_a_nanosecond():
    found = differenced(visits([0.5] * 5), visits([0.6] * 5), count=4, reference_ns=100_000)
    assert found.p50_ns == 1
    assert found.low_ns == 1


def test_the_interval_holds_the_truth_nine_times_in_ten():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        one, two = rng.normal(2.0, 0.02, 40), rng.normal(1.0, 0.02, 40)
        found = differenced(visits(one), visits(two), count=2, reference_ns=100_000)
        held += found.low_ns <= 50_000 <= found.high_ns
    assert 0.85 <= held / 300 <= 0.96
    assert found.high_ns - found.low_ns == pytest.approx(
        2 * 1.645 * 1.2533 * 0.02 * 2**0.5 / 40**0.5 * 50_000, rel=0.5
    )
