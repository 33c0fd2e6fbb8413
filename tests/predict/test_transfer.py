import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, UncoveredOpError, UsageError
from hwnat.predict.relation import relate, without_sources
from hwnat.predict.transfer import choose_timings, expected, transfer

SOURCES = ({"compute": 1.0, "memory": 1.0}, {"compute": 0.7, "memory": 2.5})
TARGET = {"compute": 0.4, "memory": 1.2, "noise": 0.01}


@pytest.fixture
def sources(phone):
    return [phone(name, **what) for name, what in zip("ab", SOURCES, strict=True)]


@pytest.fixture
def target(phone):
    return phone("new", **TARGET)


def errors(found, target, timed):
    rest = [key for key in target.entries if key not in timed]
    truth = np.array([target.entries[key].p50_ns for key in rest])
    return np.abs(np.array([found[key].p50_ns for key in rest]) / truth - 1)


def test_a_plan_is_repeatable_distinct_and_grows_at_its_end(sources):
    plan = choose_timings(sources, 20, seed=3)
    assert plan == choose_timings(sources, 20, seed=3)
    assert plan[:8] == choose_timings(sources, 8, seed=3)
    assert len(set(plan)) == 20
    assert set(plan) <= set(sources[0].entries)


def test_a_plan_takes_more_than_one_kind(sources):
    assert len({key.partition("|")[0] for key in choose_timings(sources, 12)}) >= 3


@pytest.mark.parametrize("budget", [-1, 0, 2])
def test_a_budget_that_tells_nothing_is_refused(sources, budget):
    with pytest.raises(UsageError, match="at least 3 timings"):
        choose_timings(sources, budget)


@pytest.mark.parametrize("count", [1, 2])
def test_a_device_is_told_from_others_and_twenty_timings(sources, target, count):
    plan = choose_timings(sources[:count], 20)
    timed = {key: target.entries[key] for key in plan}
    found = transfer(sources[:count], timed)
    assert (errors(found, target, timed) <= 0.10).mean() > 0.9


def test_more_timings_do_not_predict_worse(sources, target):
    plan = choose_timings(sources, 60)
    mean = []
    for budget in (5, 60):
        timed = {key: target.entries[key] for key in plan[:budget]}
        mean.append(errors(transfer(sources, timed), target, timed).mean())
    assert mean[1] < mean[0]


def test_timings_are_kept_as_they_are_and_the_rest_is_marked(sources, target):
    timed = {key: target.entries[key] for key in choose_timings(sources, 10)}
    found = transfer(sources, timed)
    assert list(found) == sorted(sources[0].entries)
    for key, entry in found.items():
        if key in timed:
            assert entry == timed[key]
        else:
            assert entry.provenance == "transferred"
            assert entry.n == 10
            assert entry.low_ns < entry.p50_ns < entry.high_ns
            assert (entry.p10_ns, entry.p90_ns) == (entry.low_ns, entry.high_ns)


def test_intervals_are_wider_where_the_device_is_noisier(sources, phone):
    width = []
    for noise in (0.005, 0.08):
        target = phone("new", **{**TARGET, "noise": noise})
        timed = {key: target.entries[key] for key in choose_timings(sources, 40)}
        found = transfer(sources, timed)
        rest = [found[key] for key in found if key not in timed]
        width.append(np.median([each.high_ns / each.low_ns for each in rest]))
        truth = [target.entries[key].p50_ns for key in found if key not in timed]
        inside = [e.low_ns <= t <= e.high_ns for e, t in zip(rest, truth, strict=True)]
        assert 0.8 <= np.mean(inside) <= 0.99
    assert width[1] > 1 + 3 * (width[0] - 1)


def test_misleading_sources_do_not_spoil_what_the_timings_say(phone, target):
    misleading = [phone(name, noise=1.5, seed=seed) for seed, name in enumerate("xy")]
    timed = {key: target.entries[key] for key in choose_timings(misleading, 60)}
    assert np.median(errors(transfer(misleading, timed), target, timed)) < 0.15


def test_a_noisy_source_is_mended_by_the_work_of_the_operations(phone, target):
    noisy = phone("x", noise=0.1, seed=1)
    relation = relate([noisy])
    timed = {key: target.entries[key] for key in choose_timings([noisy], 60)}
    known = {key: entry.p50_ns for key, entry in timed.items()}
    rest = [key for key in target.entries if key not in timed]
    truth = np.array([target.entries[key].p50_ns for key in rest])

    def error(*relations):
        return np.abs(expected(relations, known, rest)[0] / truth - 1).mean()

    assert error(relation, without_sources(relation)) < 0.5 * error(relation)


def test_an_operation_that_nobody_holds_is_named(sources, target):
    timed = {key: target.entries[key] for key in choose_timings(sources, 10)}
    strange = "linear|in=1x1x1x7|out=3|float32"
    with pytest.raises(UncoveredOpError, match=r"linear\|in=1x1x1x7.*a/.* and b/"):
        transfer(sources, timed, keys=[*timed, strange])


def test_a_timing_that_no_source_holds_is_kept(sources, target, an_entry):
    timed = {key: target.entries[key] for key in choose_timings(sources, 10)}
    own = "linear|in=1x1x1x7|out=3|float32"
    found = transfer(sources, {**timed, own: an_entry(777)})
    assert found[own].p50_ns == 777
    assert found[min(found)].n == 10


def test_only_asked_operations_are_returned(sources, target):
    timed = {key: target.entries[key] for key in choose_timings(sources, 10)}
    wanted = sorted(sources[0].entries)[5:9]
    assert list(transfer(sources, timed, keys=wanted)) == wanted


def test_too_few_timings_of_known_operations_are_refused(sources, target, an_entry):
    two = {key: target.entries[key] for key in choose_timings(sources, 3)[:2]}
    strange = {"linear|in=1x1x1x7|out=3|float32": an_entry(777)}
    with pytest.raises(DataError, match="Only 2 of 3 timings"):
        transfer(sources, {**two, **strange})


def test_sources_that_share_a_part_cover_together_what_either_holds(phone, target):
    keys = sorted(target.entries)
    parts = [
        phone("a", keys=keys[:130], **SOURCES[0]),
        phone("b", keys=keys[60:], **SOURCES[1]),
    ]
    timed = {key: target.entries[key] for key in choose_timings(parts, 30)}
    found = transfer(parts, timed)
    assert list(found) == keys
    assert (errors(found, target, timed) <= 0.10).mean() > 0.8


@given(compute=st.floats(0.01, 100), memory=st.floats(0.01, 100), budget=st.integers(3, 25))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_device_gets_sound_entries(phone, compute, memory, budget):
    sources = [phone("a"), phone("b", memory=2.5)]
    target = phone("new", compute=compute, memory=memory)
    timed = {key: target.entries[key] for key in choose_timings(sources, budget)}
    found = transfer(sources, timed)
    assert list(found) == sorted(target.entries)
    assert all(e.low_ns <= e.p50_ns <= e.high_ns for e in found.values())
