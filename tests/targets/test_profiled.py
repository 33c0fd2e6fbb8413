"""The time of a kernel from many runs."""

import pytest

from hwnat.targets.profiled import Runs, profiled_ns


def test_the_mean_is_finer_than_the_profilers_resolution():
    assert profiled_ns([2000.0, 3000.0, 2000.0, 3000.0]) == 2500


def test_interrupted_runs_do_not_count():
    assert profiled_ns([2000.0] * 9 + [4_000_000.0]) == 2000
    assert profiled_ns([0.0] * 9 + [40_000.0], error_ns=50_000) == 4000


def test_there_are_enough_runs_after_the_warm_up_and_not_too_many():
    runs, made = Runs(), 0
    while runs.again():
        made += 1
    assert 5 <= runs.counted <= 50
    assert made == runs.counted + Runs.WARMUP


def test_a_mean_needs_durations():
    with pytest.raises(ValueError, match="no median"):
        profiled_ns([])
