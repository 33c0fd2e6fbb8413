import numpy as np
import pytest

from hwnat.errors import UncoveredOpError
from hwnat.predict.fill import fill, held_out_error
from hwnat.profile.budget import informative_order
from hwnat.records.cost import op_cost
from hwnat.records.grid import distinct_ops
from hwnat.records.space import MBV3_NANO


@pytest.fixture(scope="module")
def truth(an_entry):
    """A device whose time is its work: 300 ns to start, then multiply-accumulates and values."""

    def ns(op):
        values = np.prod(op.in_shape) + np.prod(op.out_shape) + 2 * op.mid_channels
        return round(300 + op_cost(op).macs / 20 + values / 3)

    ops = informative_order(distinct_ops(MBV3_NANO, MBV3_NANO.resolutions, classes=10))
    return {op.key: an_entry(ns(op)) for op in ops}


def split(truth, count):
    keys = list(truth)
    return {key: truth[key] for key in keys[:count]}, keys[count:]


@pytest.mark.slow
def test_everything_wanted_is_filled_close_to_the_truth(truth):
    timed, wanted = split(truth, 80)
    filled = fill(timed, wanted)
    assert list(filled.entries) == wanted
    errors = [filled.entries[key].p50_ns / truth[key].p50_ns - 1 for key in wanted]
    assert np.abs(errors).mean() < 0.05
    assert abs(np.abs(errors).mean() - filled.held_out_error) < 0.05
    assert {entry.provenance for entry in filled.entries.values()} <= {"interpolated", "estimated"}
    held = [
        filled.entries[k].low_ns <= truth[k].p50_ns <= filled.entries[k].high_ns for k in wanted
    ]
    assert np.mean(held) > 0.8


@pytest.mark.slow
def test_the_same_timings_fill_the_same(truth):
    timed, wanted = split(truth, 60)
    assert fill(timed, wanted) == fill(dict(reversed(timed.items())), wanted)


@pytest.mark.slow
def test_more_timings_predict_each_other_better(truth):
    few, many = (held_out_error(split(truth, count)[0]) for count in (30, 150))
    assert many < few


@pytest.mark.slow
def test_what_nothing_covers_is_named(truth):
    timed, _ = split(truth, 40)
    with pytest.raises(UncoveredOpError, match=r"softmax.*larger --budget"):
        fill(timed, ["softmax|in=1x1x1x10|float32"])
    with pytest.raises(UncoveredOpError):
        fill(dict(list(timed.items())[:3]), ["linear|in=1x1x1x7|out=3|float32"])


def test_other_devices_tables_are_used_if_there_are_any(truth, a_table):
    timed, wanted = split(truth, 30)
    source = a_table(entries={k: _scaled(e, 1.7) for k, e in truth.items()})
    filled = fill(timed, wanted, sources=[source])
    assert filled.sources == (source.table_id,)
    assert {entry.provenance for entry in filled.entries.values()} == {"transferred"}
    errors = [filled.entries[key].p50_ns / truth[key].p50_ns - 1 for key in wanted]
    assert np.abs(errors).mean() < 0.03


def _scaled(entry, factor):
    from dataclasses import replace

    names = ("p10_ns", "p50_ns", "p90_ns", "low_ns", "high_ns")
    return replace(entry, **{name: round(factor * getattr(entry, name)) for name in names})
