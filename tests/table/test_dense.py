import numpy as np
import pytest

from hwnat.records.grid import grid
from hwnat.records.space import MBV3, MBV3_NANO
from hwnat.table.dense import MISSING, half_width_ns, lay_out, squared_half_widths


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
