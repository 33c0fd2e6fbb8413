from dataclasses import replace

import numpy as np
import pytest

from hwnat.errors import DataError, UsageError
from hwnat.profile.plan import make_plan, random_networks
from hwnat.records.space import MBV3, MBV3_NANO


def test_a_plan_holds_every_operation_its_networks_need():
    plan = make_plan(MBV3_NANO, calibration=5, validation=5, classes=7)
    keys = [op.key for op in plan.ops]
    assert len(set(keys)) == len(keys)
    for arch in (*plan.calibration, *plan.validation, plan.reference):
        assert {op.key for op in arch.ops(classes=7)} <= set(keys)
    assert plan.overhead.key not in keys


def test_networks_are_distinct_and_keep_to_the_resolutions():
    plan = make_plan(MBV3, [256, 192, 192], calibration=10, validation=40)
    networks = plan.calibration + plan.validation
    assert plan.resolutions == (192, 256)
    assert len({arch.genome for arch in networks}) == 50
    assert {arch.resolution for arch in networks} == {192, 256}
    assert {arch.genome[1] for arch in networks} == {0, 1}


def test_the_same_seed_gives_the_same_networks():
    assert make_plan(MBV3_NANO, seed=3) == make_plan(MBV3_NANO, seed=3)
    assert make_plan(MBV3_NANO, seed=3).calibration != make_plan(MBV3_NANO, seed=4).calibration


def test_more_validation_leaves_the_calibration_alone():
    few, many = make_plan(MBV3_NANO), make_plan(MBV3_NANO, validation=20)
    assert few.calibration == many.calibration


def test_a_budget_times_the_most_informative_operations_and_leaves_the_rest_to_be_filled():
    every = make_plan(MBV3_NANO, [24])
    plan = make_plan(MBV3_NANO, [24], budget=30, target_error=0.05)
    assert len(plan.ops) == 30
    assert {*plan.ops, *plan.filled} == set(every.ops)
    assert not set(plan.ops) & set(plan.filled)
    assert {op.kind for op in plan.ops} == {op.kind for op in every.ops}
    assert plan.calibration == every.calibration
    assert make_plan(MBV3_NANO, [24], budget=40).ops[:30] == plan.ops
    assert not make_plan(MBV3_NANO, [24], budget=len(every.ops)).filled


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"budget": 5}, "too small to predict 81 other"),
        ({"budget": 30, "target_error": 1.5}, "lies between 0 and 1"),
        ({"target_error": 0.1}, "needs a --budget"),
    ],
)
def test_a_budget_that_teaches_nothing_is_refused(more, message):
    with pytest.raises(UsageError, match=message):
        make_plan(MBV3_NANO, [24], **more)


def test_a_transfer_times_what_tells_most_and_what_no_source_holds(a_table):
    source = a_table(resolutions=(24,))
    alone = next(key for key in source.entries if key.startswith("linear"))
    entries = {key: entry for key, entry in source.entries.items() if key != alone}
    sources = {"a.json": replace(source, entries=entries)}
    plan = make_plan(MBV3_NANO, [24], budget=20, sources=sources)
    assert len(plan.ops) == 20
    assert alone in {op.key for op in plan.ops}
    assert plan.sources == {"a.json": sources["a.json"].table_id}
    with pytest.raises(UsageError, match="such as 30"):
        make_plan(MBV3_NANO, [24], sources=sources)


def test_a_transfer_from_tables_of_other_operations_is_refused_before_anything_is_timed(a_table):
    source = a_table(resolutions=(24,))
    with pytest.raises(UsageError, match=r"a\.json holds none of the 86 operations"):
        make_plan(MBV3_NANO, [24], batch=2, budget=30, sources={"a.json": source})
    few = replace(source, entries=dict(list(source.entries.items())[:60]))
    with pytest.raises(UsageError, match="with 20 timings: the sources lack"):
        make_plan(MBV3_NANO, [24], budget=20, sources={"a.json": few})


def test_a_further_operation_is_added_once():
    plan = make_plan(MBV3_NANO, [24])
    extra = "linear|in=1x1x1x64|out=3|float32"
    more = make_plan(MBV3_NANO, [24], extra=[extra, plan.ops[0].key])
    assert [op.key for op in more.ops] == [*(op.key for op in plan.ops), extra]
    with pytest.raises(DataError, match="Not an operation key"):
        make_plan(MBV3_NANO, extra=["conv"])


def test_an_unknown_resolution_is_refused():
    with pytest.raises(UsageError, match="has no resolution 224"):
        make_plan(MBV3_NANO, [224])


def test_a_search_for_more_networks_than_there_are_ends(monkeypatch):
    smallest = np.array([MBV3_NANO.smallest()])
    monkeypatch.setattr(type(MBV3_NANO), "sample", lambda *_, **__: smallest.copy())
    with pytest.raises(UsageError, match="Found only 1 of 2 distinct networks"):
        random_networks(MBV3_NANO, [24], 2, rng=np.random.default_rng(0))


def test_the_calibration_climbs_from_the_smallest_to_the_largest_network():
    ladder = make_plan(MBV3_NANO, [24, 32], calibration=10).calibration
    assert ladder[0].genome == MBV3_NANO.smallest()
    assert ladder[-1].genome == MBV3_NANO.largest()
    macs = [arch.cost(classes=10).macs for arch in ladder]
    assert max(macs[:3]) < min(macs[-3:])
