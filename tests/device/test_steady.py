import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.device.steady import drift, unsteady
from hwnat.errors import DataError
from hwnat.records.device import Gate
from hwnat.records.measurement import Conditions, Host, Measurement, Setup

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "conditions.py"
CALM = Conditions(at="t", limits_hz=(1_800_000_000, 2_800_000_000), thermal_status=0)


@pytest.fixture
def a_visit():
    """Build a `Measurement`: `a_visit([100, 101], after={"thermal_status": 2})`."""

    def build(reference_ns=(100, 100, 100, 100, 100), *, before=CALM, after=CALM):
        return Measurement(
            job="j",
            setup="s",
            subject="op",
            round=0,
            samples_ns=(50,),
            reference_ns=tuple(reference_ns),
            disturbed=0,
            started="t",
            ended="t",
            before=before,
            after=after,
        )

    return build


def after(**changes):
    return replace(CALM, **changes)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([100], 0.0),
        ([100, 111], 0.11),
        ([100, 90], 0.1),
        ([100, 100, 112, 112], 0.12),
        ([100, 100, 100, 112], 0.0),
        ([100, 900, 100, 900, 100, 100], 0.0),
        ([100, 100, 100, 900, 100, 100, 120, 900, 120], 0.2),
        ([*range(1000, 1300, 10)], 200 / 1020),
    ],
)
def test_drift_compares_the_first_third_with_the_last(series, expected):
    assert drift(series) == pytest.approx(expected, abs=0.02)


@given(
    st.lists(st.integers(900, 1000), min_size=6, max_size=60),
    st.data(),
    st.integers(2, 1000),
)
def test_a_single_outlier_is_no_drift(series, data, factor):
    calm = max(drift([min(series)] * len(series)), 1000 / 900 - 1)
    at = data.draw(st.integers(0, len(series) - 1))
    series[at] *= factor
    assert drift(series) <= calm + 1e-6


@given(st.lists(st.integers(990, 1010), min_size=4, max_size=60), st.floats(1.2, 3.0))
def test_a_lasting_change_is_drift(series, factor):
    half = len(series) // 2
    slower = [round(each * factor) for each in series[half:]]
    assert drift([*series[:half], *slower]) > 0.1
    assert drift([*slower, *series[:half]]) > 0.1


def test_no_runs_are_no_drift_but_an_error():
    with pytest.raises(DataError, match="No runs of the reference model"):
        drift([])


def test_a_calm_visit_counts(a_visit):
    assert unsteady(a_visit()) is None
    assert unsteady(a_visit(before=None, after=None)) is None
    assert unsteady(a_visit(before=Conditions(at="t"), after=Conditions(at="t"))) is None
    assert unsteady(a_visit(before=CALM, after=Conditions(at="t"))) is None


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (after(limits_hz=(1_800_000_000, 2_100_000_000)), "from 2800 to 2100 MHz"),
        (after(limits_hz=(1_800_000_000,)), "switched 1 cores off"),
        (after(thermal_status=1), "rose from 0 to 1"),
    ],
)
def test_a_visit_during_which_the_device_throttled_is_made_again(a_visit, state, word):
    assert word in unsteady(a_visit(after=state))
    assert unsteady(a_visit(before=state, after=CALM)) is None


def pinned(*affinity, cores=2):
    host = Host(cpu=None, cores=cores, machine=None, os=None)
    protocol = {"threads": 1, "batch": 1, "runs": 1, "warmup": 0, "visit_ms": 0.0}
    words = dict.fromkeys(("device", "target", "runtime", "runtime_version", "reference"), "x")
    return Setup(host=host, affinity=affinity, precision="int8", **protocol, **words)


def test_only_the_limits_of_the_cores_that_models_run_on_count(a_visit):
    visit = a_visit(after=after(limits_hz=(1_800_000_000, 2_100_000_000)))
    assert unsteady(visit, setup=pinned(0)) is None
    for setup in (pinned(1), pinned(0, 1), pinned(), pinned(0, cores=3)):
        assert "from 2800 to 2100 MHz" in unsteady(visit, setup=setup)


def test_limits_are_not_compared_after_a_core_was_switched_on(a_visit):
    more = after(limits_hz=(1_800_000_000, 1_800_000_000, 2_800_000_000))
    assert unsteady(a_visit(after=more)) is None


def test_a_visit_with_a_drifting_reference_is_made_again(a_visit):
    assert "changed by 20% within the visit" in unsteady(a_visit([100, 100, 100, 120, 120]))


def test_a_device_that_is_warm_all_along_is_judged_by_its_gate(a_visit):
    warm = after(thermal_status=1)
    assert "the gate allows at most 0" in unsteady(a_visit(before=warm, after=warm))
    gate = Gate(thermal_status=1)
    assert unsteady(a_visit(before=warm, after=warm), gate=gate) is None


def test_a_table_is_right_where_the_naive_order_is_not():
    """A ramp of 12 % and random throttling; each way keeps the same number of samples."""
    compare = runpy.run_path(str(BENCHMARK))["compare"]
    found = [compare(seed) for seed in range(8)]
    for each in found:
        assert each["hwnat worst"] < 0.02, found
        assert each["naive p95"] > 0.08, found
        assert each["again"] < 0.1 * 40 * 8
    assert np.median([each["naive mean"] for each in found]) > 0.08


def test_a_table_is_right_of_models_that_do_not_slow_down_alike():
    compare = runpy.run_path(str(BENCHMARK))["compare"]
    for seed in range(4):
        assert compare(seed, uneven=0.1)["hwnat mean"] < 0.02
