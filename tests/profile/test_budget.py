import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.predict.workload import family
from hwnat.profile.budget import batches, expected_error, informative_order
from hwnat.records.grid import distinct_ops
from hwnat.records.space import MBV3_NANO, MBV3_W10


@pytest.fixture(scope="module")
def ops():
    return distinct_ops(MBV3_NANO, MBV3_NANO.resolutions, classes=10)


def test_nothing_is_lost_and_nothing_twice(ops):
    assert sorted(op.key for op in informative_order(ops)) == sorted(op.key for op in ops)


def test_rare_kinds_come_first_at_several_sizes(ops):
    ordered = informative_order(ops)
    rare = [op for op in ops if op.kind != "mbconv"]
    assert set(rare) == set(ordered[: len(rare)])


def test_every_family_comes_before_any_comes_twice(ops):
    ordered = [op for op in informative_order(ops) if op.kind == "mbconv"]
    families = {family(op) for op in ordered}
    assert {family(op) for op in ordered[: len(families)]} == families
    sizes = {op.in_shape[1] for op in ordered[: len(families)]}
    assert len(sizes) > 4


def test_a_beginning_is_spread_wider_than_a_random_choice():
    ops = distinct_ops(MBV3_W10, [224], classes=10)
    blocks = [op for op in informative_order(ops) if op.kind == "mbconv"]
    places = {op: np.log([op.in_shape[1], op.in_shape[3], op.mid_channels]) for op in blocks}

    def farthest(chosen):
        kept = np.array([places[op] for op in chosen])
        return max(np.linalg.norm(kept - places[op], axis=1).min() for op in blocks)

    rng = np.random.default_rng(0)
    random = [farthest([blocks[i] for i in rng.choice(len(blocks), 20)]) for _ in range(20)]
    assert farthest(blocks[:20]) < np.median(random)


@given(st.integers(1, 300))
def test_batches_are_all_there_is_in_order(count):
    keys = [str(index) for index in range(count)]
    cut = list(batches(keys))
    assert [key for batch in cut for key in batch] == keys
    assert all(cut)


def test_what_more_timings_bring_follows_the_curve():
    assert expected_error([(10, 0.2), (40, 0.1)], 160) == pytest.approx(0.05)
    assert expected_error([(10, 0.1), (40, 0.2)], 160) == pytest.approx(0.2)
    assert expected_error([(10, 0.1)], 160) is None
    assert expected_error([(10, 0.1), (20, 0.0)], 40) is None
