from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError
from hwnat.records.measurement import (
    Conditions,
    Host,
    Measurement,
    Setup,
    lower_quartile,
    network_key,
)

series = st.lists(st.integers(1, 10**12), min_size=1, max_size=30)


def visit(samples=(1_000,) * 5, reference=(4_000,) * 5, **more):
    default = {"job": "j", "setup": "s", "subject": "conv", "round": 0, "disturbed": 0}
    default |= {"started": "t0", "ended": "t1", **more}
    return Measurement(samples_ns=samples, reference_ns=reference, **default)


@given(series, series, st.integers(2, 1000))
def test_the_ratio_does_not_depend_on_the_speed_of_the_machine(samples, reference, factor):
    slow = visit(tuple(factor * s for s in samples), tuple(factor * r for r in reference))
    assert slow.ratio == pytest.approx(visit(tuple(samples), tuple(reference)).ratio)


@given(series)
def test_the_lower_quartile_lies_within_and_below_the_median(values):
    ordered = sorted(values)
    found = lower_quartile(values)
    assert ordered[0] <= found <= ordered[len(ordered) // 2]


def test_a_few_disturbed_runs_do_not_move_the_ratio():
    assert visit((1_000, 1_000, 1_000, 9_000, 9_000)).ratio == visit().ratio == 0.25


@pytest.mark.parametrize("samples", [(), (0,), (5, -1)])
def test_a_failed_run_is_no_measurement(samples):
    with pytest.raises(DataError, match="a failed run must raise"):
        visit(samples)
    with pytest.raises(DataError, match="reference"):
        visit(reference=samples)


def test_steady_runs_raise_no_doubt():
    assert visit((1_000, 1_010, 990)).doubts() == ()


@pytest.mark.parametrize(
    ("doubtful", "reason"),
    [
        (visit((1_000, 2_000, 3_000)), "model runs spread"),
        (visit(reference=(1_000, 2_000, 3_000)), "reference runs spread"),
        (visit((1_000, 1_000, 1_000, 1_000, 9_000)), "slowest model run is 9.0 times"),
        (visit(disturbed=30), "30 of 40 runs were interrupted"),
        (
            visit(
                before=Conditions(at="t", temperature_c=40.0),
                after=Conditions(at="t", temperature_c=61.0),
            ),
            "21 °C hotter",
        ),
    ],
)
def test_every_doubt_says_why_and_what_to_do(doubtful, reason):
    (found,) = doubtful.doubts()
    assert reason in found
    assert ":" in found


def test_a_quota_that_stopped_the_process_is_a_doubt():
    before, after = (Conditions(at="t", cpu_quota=1, stopped_ns=ns) for ns in (10**9, 3 * 10**9))
    (stopped,) = visit(before=before, after=after).doubts()
    assert "stopped it for 2000 ms: raise the quota" in stopped
    assert visit(before=after, after=after).doubts() == ()


def test_an_unknown_temperature_is_no_doubt():
    unknown = Conditions(at="t")
    assert visit(before=unknown, after=Conditions(at="t", temperature_c=90.0)).doubts() == ()


#: Another value for each field of a setup.
OTHER = {
    "device": "other",
    "host": Host(cpu="a CPU", cores=2, machine="x86_64", os="Linux", serial="0123456789ab"),
    "target": "tflite",
    "runtime": "litert",
    "runtime_version": "2",
    "threads": 2,
    "affinity": (0,),
    "precision": "int8",
    "batch": 2,
    "runs": 6,
    "warmup": 2,
    "visit_ms": 6.0,
    "reference": "other",
    "realtime": True,
    "delegate": "gpu",
    "runner": "hwnat-run 1",
    "alternation": "processes",
    "clocks": "fixed",
    "held_governor": "performance",
}


@pytest.mark.parametrize("name", [field.name for field in fields(Setup)])
def test_whatever_changes_a_number_changes_the_job(a_setup, name):
    setup = a_setup()
    other = replace(setup, **{name: OTHER[name]})
    assert other.id != setup.id
    assert other.job("conv", 0) != setup.job("conv", 0)


def test_a_job_is_a_model_and_a_round(a_setup):
    setup = a_setup()
    names = {setup.job(subject, round_) for subject in "ab" for round_ in range(3)}
    assert len(names) == 6
    assert a_setup().job("a", 0) in names


def test_a_network_key_tells_what_the_network_is():
    assert network_key("nano", "0123", classes=7) == "network|nano|0123|classes=7|batch=1"


def test_every_field_of_a_setup_changes_its_id(a_setup):
    setup = a_setup()
    other = {
        "device": "x",
        "host": replace(setup.host, cpu="x"),
        "target": "x",
        "runtime": "x",
        "runtime_version": "x",
        "threads": 9,
        "affinity": (7,),
        "precision": "x",
        "batch": 9,
        "runs": 9,
        "warmup": 9,
        "visit_ms": 9.0,
        "reference": "x",
        "realtime": True,
        "delegate": "x",
        "runner": "x",
        "alternation": "processes",
        "clocks": "fixed",
        "held_governor": "x",
    }
    assert set(other) == set(setup.__dataclass_fields__)
    ids = {replace(setup, **{name: value}).id for name, value in other.items()}
    assert len(ids | {setup.id}) == 1 + len(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "../x"}, "is not a name"),
        ({"device": "x.toml"}, "is not a name"),
        ({"target": "/bin/sh"}, "is not a name"),
        ({"batch": 0}, "not those of a setup"),
        ({"threads": -1}, "not those of a setup"),
        ({"affinity": (-1,)}, "not those of a setup"),
        ({"affinity": (1, 1)}, "distinct core numbers"),
        ({"visit_ms": float("nan")}, "visit_ms nan"),
    ],
)
def test_an_impossible_setup_is_refused(a_setup, changes, words):
    with pytest.raises(DataError, match=words):
        a_setup(**changes)
