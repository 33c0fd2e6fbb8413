import pytest
from hypothesis import given

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.grid import distinct_ops, grid
from hwnat.records.space import MBV3, MBV3_NANO, MBV3_W10


@given(...)
def test_every_network_is_made_of_its_grid(arch: Arch):
    here = grid(arch.space, arch.resolution, arch.genome[1], classes=7)
    genes = arch.genome[2:]
    blocks = [here.blocks[slot][gene - 1] for slot, gene in enumerate(genes) if gene]
    assert arch.ops(classes=7) == (*here.fixed[:2], *blocks, *here.fixed[2:])


@pytest.mark.parametrize(
    ("space", "resolutions", "count"),
    # By hand: each of five stages has 9 first and 9 further blocks, beside 5 fixed operations.
    # In mbv3-nano the second stage keeps shape and width, so its first blocks are like the rest.
    [(MBV3_W10, (224,), 95), (MBV3, (224,), 190), (MBV3_NANO, (32,), 86)],
)
def test_a_resolution_needs_so_many_timings(space, resolutions, count):
    keys = [op.key for op in distinct_ops(space, resolutions, classes=10)]
    assert len(keys) == len(set(keys)) == count


def test_resolutions_share_what_is_equal():
    both = distinct_ops(MBV3_NANO, (28, 32), classes=10)
    assert len(both) < 2 * 86
    assert {op.key for op in both} == {
        op.key for size in (28, 32) for op in distinct_ops(MBV3_NANO, (size,), classes=10)
    }


def test_an_unknown_resolution_lists_the_known_ones():
    with pytest.raises(UsageError, match="no resolution 99; it has 24, 28, 32"):
        distinct_ops(MBV3_NANO, (99,), classes=10)
