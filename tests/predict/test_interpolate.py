from dataclasses import replace

import numpy as np
import pytest

from hwnat.errors import TableMismatchError, UncoveredOpError, UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.interpolate import interpolate, interpolate_entries
from hwnat.predict.size_model import fit
from hwnat.records.arch import Block, mbconv
from hwnat.records.cost import total_cost
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO, MBV3_W10


def block(size, kernel=3, expand=3):
    return mbconv(
        (1, size, size, 24), Block(kernel, expand), out_channels=24, stride=1, se=False, act="relu"
    )


def blocks(*sizes):
    return [block(size, kernel, expand) for size in sizes for kernel in (3, 5) for expand in (3, 6)]


@pytest.fixture
def entries(an_entry):
    """Return entries that cost what they multiply, and a start."""

    def build(ops, **more):
        return {op.key: an_entry(total_cost([op]).macs // 8 + 9_000, **more) for op in ops}

    return build


def test_what_was_measured_is_looked_up(entries):
    known = entries(blocks(10, 12, 14))
    filled = interpolate_entries(known, blocks(10, 14))
    assert filled.entries == {op.key: known[op.key] for op in blocks(10, 14)}
    assert not filled.interpolated


def test_sizes_between_are_interpolated_and_sizes_beyond_are_flagged(entries):
    filled = interpolate_entries(entries(blocks(10, 12, 14)), [block(11), block(12), block(18)])
    inside, measured, beyond = filled.entries.values()
    assert [each.provenance for each in (inside, measured, beyond)] == [
        "interpolated",
        "measured",
        "estimated",
    ]
    assert inside.p50_ns == pytest.approx(total_cost([block(11)]).macs / 8 + 9_000, rel=0.01)
    assert inside.low_ns == inside.p10_ns < inside.p50_ns < inside.p90_ns == inside.high_ns
    assert inside.n == 3
    assert beyond.high_ns / beyond.low_ns > inside.high_ns / inside.low_ns
    assert set(filled.interpolated) == {block(11).key, block(18).key}


def test_derived_entries_stay_but_teach_nothing(entries):
    known = entries(blocks(10, 12, 14))
    derived = entries(blocks(13), provenance="transferred")
    fast = {
        key: replace(each, p50_ns=each.low_ns, p10_ns=each.low_ns) for key, each in derived.items()
    }
    filled = interpolate_entries({**known, **fast}, blocks(11, 13))
    assert {key: filled.entries[key] for key in fast} == fast
    assert {key: filled.entries[key] for key in filled.interpolated} == interpolate_entries(
        known, blocks(11)
    ).entries


def test_the_error_of_an_entry_comes_from_its_interval_or_from_two_measurements(an_entry):
    rng = np.random.default_rng(1)
    known = {
        op.key: an_entry(int((total_cost([op]).macs // 8 + 9_000) * np.exp(rng.normal(0, 0.03))))
        for op in blocks(10, 11, 12, 13, 14, 15)
    }
    # 1.6449 standard deviations of 0.1 on either side: the 90 % interval of a logarithm.
    low, high = (round(1_000_000 * np.exp(side * 0.16449)) for side in (-1, 1))
    derived = replace(
        an_entry(1_000_000, provenance="transferred"),
        low_ns=low,
        p10_ns=low,
        high_ns=high,
        p90_ns=high,
    )
    measured, held = block(12), block(18)
    filled = interpolate_entries({**known, held.key: derived}, [measured, held, block(19)])
    ops = [OpSpec.from_key(key) for key in known]
    noise = fit(ops, np.array([float(entry.p50_ns) for entry in known.values()])).parts.noise
    assert noise > 0.005
    # The entry and a new measurement of the same block are both noisy.
    assert filled.covariance[0, 0] == pytest.approx(noise**2 + noise**2, rel=1e-9)
    assert filled.covariance[1, 1] == pytest.approx(0.1**2, rel=1e-3)


def test_a_block_without_two_sizes_is_named(entries):
    known = entries([*blocks(10, 12, 14), block(10, kernel=7)])
    with pytest.raises(UncoveredOpError, match="k=7"):
        interpolate_entries(known, [block(11, kernel=7)])
    with pytest.raises(UsageError, match="ask for others"):
        interpolate_entries(known, [])


def test_sums_carry_intervals_that_narrow_as_errors_cancel(entries):
    filled = interpolate_entries(entries(blocks(10, 12, 14, 16)), blocks(11, 13, 15))
    counts = np.eye(len(filled.entries), dtype=int)
    one, low, high = filled.sums(counts)
    for at, entry in enumerate(filled.entries.values()):
        assert one[at] == entry.p50_ns
        assert (low[at], high[at]) == pytest.approx((entry.low_ns, entry.high_ns), abs=1)
    total, low, high = filled.sums([counts.sum(axis=0)])
    assert total[0] == one.sum()
    widths = [each.high_ns / each.p50_ns for each in filled.entries.values()]
    assert 1 < high[0] / total[0] < max(widths)
    assert low[0] < total[0]


@pytest.mark.slow
def test_a_table_grows_by_resolutions(a_table, entries):
    known = entries(distinct_ops(MBV3_NANO, (24, 32), classes=10))
    table = a_table(MBV3_NANO, (24, 32), entries=known)
    grown = interpolate(table, MBV3_NANO, [28])
    assert grown.resolutions == (24, 28, 32)
    assert {key: grown.entries[key] for key in table.entries} == dict(table.entries)
    genomes = MBV3_NANO.sample(200, rng=np.random.default_rng(0))
    assert (AdditivePredictor(grown).latency_ns(genomes) > 0).all()
    assert interpolate(table, MBV3_NANO, [28]).table_id == grown.table_id


def test_another_space_is_refused(a_table):
    with pytest.raises(TableMismatchError, match="mbv3-nano"):
        interpolate(a_table(), MBV3_W10, [192])
