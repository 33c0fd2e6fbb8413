from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.records.space import MBV3_NANO, Space
from hwnat.table.dense import lay_out
from hwnat.table.packed import pack

narrow = replace(MBV3_NANO.skeletons[0][1], stages=MBV3_NANO.skeletons[0][1].stages[:2])
#: Its width genes leave a gap.
GAP = Space(
    name="gap",
    resolutions=(24, 32),
    skeletons=((0, narrow), (2, replace(narrow, width=1.5, stem_channels=24))),
)


@pytest.fixture
def packed(a_table):
    return pack(lay_out(a_table(GAP), GAP), GAP)


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
def test_only_canonical_genomes_have_a_latency(packed, seed, spoilt):
    rows = GAP.sample(20, rng=np.random.default_rng(seed))
    rows[:, 1] = np.where(rows[:, 1] == 1, 2, rows[:, 1])
    for row, gene, value in spoilt:
        rows[row, gene] = value
    sums, ops = packed.sums(rows)
    for row, sum_ns, count in zip(rows.tolist(), sums.tolist(), ops.tolist(), strict=True):
        alone = packed.sum(row)
        if is_canonical(row):
            assert alone == (sum_ns, count)
            assert count == 5 + sum(gene > 0 for gene in row[2:])
            assert sum_ns > 0
        else:
            assert sum_ns < 0
            assert alone[0] < 0


def test_a_space_that_a_byte_cannot_number_is_refused(a_table):
    vast = replace(MBV3_NANO, resolutions=tuple(range(24, 24 + 4 * 257, 4)))
    dense = lay_out(a_table(), MBV3_NANO)
    with pytest.raises(DataError, match="genes above 255"):
        pack(dense, vast)


def test_a_table_that_covers_nothing_whole_refuses_everything(a_table, an_entry):
    nothing = pack(lay_out(a_table(entries={"x|y": an_entry(5)}), MBV3_NANO), MBV3_NANO)
    rows = MBV3_NANO.sample(9, rng=np.random.default_rng(0))
    assert (nothing.sums(rows)[0] < 0).all()
    assert nothing.sum(rows[0].tolist())[0] < 0
