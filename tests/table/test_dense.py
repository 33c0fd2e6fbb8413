from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.grid import grid
from hwnat.records.space import MBV3, MBV3_NANO, Space
from hwnat.table.dense import MISSING, half_width_ns, lay_out, squared_half_widths

narrow = replace(MBV3_NANO.skeletons[0][1], stages=MBV3_NANO.skeletons[0][1].stages[:2])
#: Its width genes leave a gap.
GAP = Space(
    name="gap",
    resolutions=(24, 32),
    skeletons=((0, narrow), (2, replace(narrow, width=1.5, stem_channels=24))),
)


def test_every_entry_lies_where_its_slot_corner_and_gene_say(a_table):
    table = a_table(MBV3, (192, 256))
    dense = lay_out(table, MBV3)
    assert dense.covered.nonzero()[0].tolist() == [0, 1, 32, 33]
    here = grid(MBV3, 256, 1, classes=10)
    assert dense.fixed_ops == len(here.fixed)
    assert dense.fixed_ns[33] == 5_000 + sum(table.entries[op.key].p50_ns for op in here.fixed)
    for slot, gene in ((0, 1), (7, 9), (19, 4)):
        entry = table.entries[here.blocks[slot][gene - 1].key]
        assert dense.block_ns[slot, 33, gene] == entry.p50_ns
        assert dense.half_ns[slot, 33, gene] == half_width_ns(entry)
    assert not dense.block_ns[..., 0].any()
    with pytest.raises(ValueError, match="read-only"):
        dense.block_ns[0, 0, 1] = 1


def test_what_a_table_lacks_is_marked_and_its_corner_not_covered(a_table):
    table = a_table()
    block = grid(MBV3_NANO, 28, 0, classes=10).blocks[5][3]
    head = grid(MBV3_NANO, 32, 0, classes=10).fixed[-2]
    entries = {k: e for k, e in table.entries.items() if k not in (block.key, head.key)}
    dense = lay_out(a_table(entries=entries), MBV3_NANO)
    assert dense.block_ns[5, 1, 4] == MISSING
    # The same block in another slot of the stage is the same operation.
    assert (dense.op[:, 1] == dense.op[5, 1, 4]).sum() == (dense.block_ns[:, 1] == MISSING).sum()
    # Every resolution shares the operations behind the pool.
    assert dense.fixed_ns.tolist() == [MISSING] * 3
    assert not dense.covered.any()


def test_one_operation_has_one_number(a_table):
    op = lay_out(a_table(), MBV3_NANO).op
    keys = np.array([[o.key for o in slot] for slot in grid(MBV3_NANO, 24, 0, classes=10).blocks])
    numbers = op[:, 0, 1:]
    assert ((keys[:, None] == keys) == (numbers[:, None] == numbers)).all()
    assert len(np.unique(keys)) < keys.size
    assert (op[..., 0] == -1).all()


def test_the_longer_side_of_an_interval_is_its_half_width(an_entry):
    assert half_width_ns(an_entry(100, low_ns=90, high_ns=103)) == 10
    assert half_width_ns(an_entry(100, low_ns=98, high_ns=130)) == 30


def test_half_widths_add_in_quadrature_but_those_of_one_operation_add_up(an_entry):
    a, b = an_entry(100, low_ns=97, high_ns=100), an_entry(100, low_ns=100, high_ns=104)
    assert squared_half_widths([("a", a), ("b", b)]) == 3**2 + 4**2
    assert squared_half_widths([("a", a), ("b", b), ("a", a)]) == 6**2 + 4**2
    assert np.sqrt(squared_half_widths([])) == 0


@pytest.fixture
def gap(a_table):
    """Return a table of `GAP`, and its entries as arrays."""
    table = a_table(GAP)
    return table, lay_out(table, GAP)


def is_canonical(row):
    try:
        return GAP.check(row) == tuple(row) and row[1] in (0, 2)
    except UsageError:
        return False


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    spoilt=st.lists(
        st.tuples(
            st.integers(0, 19),
            st.integers(0, GAP.genes - 1),
            st.one_of(st.integers(-3, 14), st.sampled_from([256, 257, -255, 2**32, -(2**63)])),
        )
    ),
)
def test_only_canonical_genomes_have_a_sum(gap, seed, spoilt):
    table, dense = gap
    rows = GAP.sample(20, rng=np.random.default_rng(seed))
    rows[:, 1] = np.where(rows[:, 1] == 1, 2, rows[:, 1])
    for row, gene, value in spoilt:
        rows[row, gene] = value
    sums, ops = dense.sums(rows)
    for row, sum_ns, count in zip(rows.tolist(), sums.tolist(), ops.tolist(), strict=True):
        if is_canonical(row):
            keys = [op.key for op in Arch(space=GAP, genome=tuple(row)).ops(classes=10)]
            assert (sum_ns, count) == (table.sum_ns(keys), len(keys))
        else:
            assert sum_ns == MISSING


def test_variances_of_many_genomes_are_those_of_each(a_table, an_entry):
    rng = np.random.default_rng(3)
    entries = {
        key: an_entry(entry.p50_ns, high_ns=entry.p50_ns + int(rng.integers(1, 90_000)))
        for key, entry in a_table(GAP).entries.items()
    }
    table = a_table(GAP, entries=entries)
    rows = GAP.sample(9000, rng=rng)
    rows[:, 1] = rng.choice([0, 2], len(rows))
    variance = np.empty(len(rows))
    lay_out(table, GAP).sums(rows, variance=variance)
    for index in (0, 1, 2, 8191, 8192, 8999):
        keys = [op.key for op in Arch(space=GAP, genome=tuple(rows[index])).ops(classes=10)]
        expected = squared_half_widths((key, table.entries[key]) for key in keys)
        assert variance[index] == pytest.approx(expected)


def test_a_table_that_covers_nothing_refuses_everything(a_table, an_entry):
    nothing = lay_out(a_table(entries={"x|y": an_entry(5)}), MBV3_NANO)
    rows = MBV3_NANO.sample(9, rng=np.random.default_rng(0))
    assert (nothing.sums(rows)[0] == MISSING).all()


def test_a_width_between_two_others_has_no_sum(gap):
    _, dense = gap
    rows = np.array([GAP.smallest(), (0, 1, *GAP.smallest()[2:]), GAP.largest()])
    assert (dense.sums(rows)[0] == MISSING).tolist() == [False, True, False]
