import numpy as np
import pytest

from hwnat.errors import DataError
from hwnat.predict.relation import relate, without_sources, work
from hwnat.records.op import OpSpec


def test_identical_sources_differ_in_nothing(phone):
    relation = relate([phone("a"), phone("b")])
    assert relation.inputs.contrasts.shape[1] == 0
    assert np.isfinite(relation.base).all()


def test_sources_give_one_contrast_less_than_there_are(phone):
    found = relate([phone("a"), phone("b", memory=3.0), phone("c", memory=0.5, compute=2.0)])
    assert found.inputs.contrasts.shape[1] in (1, 2)
    assert found.inputs.contrasts[:, 0].std() == pytest.approx(1)


def test_the_same_table_twice_and_none_at_all_are_refused(phone):
    with pytest.raises(DataError, match="different tables"):
        relate([phone("a"), phone("a")])
    with pytest.raises(DataError, match="no table"):
        relate([])


def test_holes_are_filled_close_to_what_belongs_there_and_said_to_be_uncertain(phone):
    whole, other = phone("a"), phone("b", memory=2.0)
    keys = sorted(whole.entries)
    cut = phone("a", keys=keys[::2])
    relation, expected = relate([cut, other]), relate([whole, other])
    assert relation.keys == expected.keys
    gap, claimed = np.abs(relation.base - expected.base)[1::2], relation.inputs.extra[1::2]
    assert gap.mean() < 0.05
    assert (gap <= 3 * np.sqrt(claimed)).mean() > 0.9
    assert (relation.inputs.extra[::2] == 0).all()


def test_holes_on_both_sides_are_filled(phone):
    keys = sorted(phone("a").entries)
    sources = [phone("a", keys=keys[:70]), phone("b", keys=keys[50:], memory=2.0)]
    relation = relate(sources)
    whole = relate([phone("a"), phone("b", memory=2.0)])
    assert relation.keys == whole.keys
    assert np.abs(relation.base - whole.base).mean() < 0.1


def test_sources_with_too_little_in_common_are_named(phone):
    keys = sorted(phone("a").entries)
    with pytest.raises(DataError, match=r"a/.* and b/.* share only 2 operations"):
        relate([phone("a", keys=keys[:40]), phone("b", keys=keys[38:])])


def test_without_sources_only_the_work_counts(phone):
    relation = without_sources(relate([phone("a"), phone("b", memory=2.0)]))
    row = relation.rows([relation.keys[3]])[0]
    assert relation.base[row] == pytest.approx(np.log(work(OpSpec.from_key(relation.keys[3]))))
    assert relation.inputs.contrasts.shape[1] == 0


def test_work_is_never_zero():
    assert work(OpSpec.from_key("add|in=1x8x8x16|act=none|n=2|float32")) == 8 * 8 * 16
