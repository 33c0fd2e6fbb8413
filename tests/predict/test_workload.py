import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.predict.workload import family, log_size, neighbourhood, terms
from hwnat.records.arch import Block, mbconv
from hwnat.records.cost import total_cost
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO


def block(size, *, stride=1, kernel=3, expand=4, se=False, out=16, batch=1):
    return mbconv(
        (batch, size, size, 16),
        Block(kernel, expand),
        out_channels=out,
        stride=stride,
        se=se,
        act="relu",
    )


def test_a_family_differs_in_map_size_only():
    assert family(block(7)) == family(block(9))
    assert len({family(each) for each in (block(7), block(7, kernel=5), block(7, se=True))}) == 3
    assert neighbourhood(block(7)) == neighbourhood(block(9, kernel=5, expand=6, se=True))
    assert neighbourhood(block(7)) != neighbourhood(block(7, stride=2))


def test_the_size_of_an_oblong_map_is_its_geometric_mean():
    op = OpSpec(kind="gpool", in_shape=(1, 4, 9, 8), mode="avg")
    assert log_size(op) == pytest.approx(np.log(6))


def test_products_are_paid_by_whole_tiles():
    one, eight = (terms(block(11), tile=tile) for tile in (1, 8))
    assert one[0] == 121 * 16 * 64
    assert eight[:2] == pytest.approx(one[:2] * 128 / 121)
    assert eight[2:] == pytest.approx(one[2:])
    assert terms(block(12), tile=8) == pytest.approx(terms(block(12), tile=1))


def test_a_stride_rounds_an_odd_map_up():
    odd, even = (terms(block(size, stride=2), tile=1) for size in (21, 22))
    assert odd[1] == even[1] == 11 * 11 * 64 * 16
    assert odd[0] == 21 * 21 * 16 * 64


@given(st.sampled_from(distinct_ops(MBV3_NANO, (24, 28, 32), classes=10)), st.sampled_from([1, 6]))
def test_every_operation_has_non_negative_work_that_ends_in_one(op, tile):
    work = terms(op, tile=tile)
    assert (work >= 0).all()
    assert work[-1] == 1


@pytest.mark.parametrize("kind", ["conv", "convpool"])
def test_products_of_untiled_operations_are_their_macs(kind):
    shape = {"kernel": 3, "stride": 2} if kind == "conv" else {}
    op = OpSpec(kind=kind, in_shape=(1, 9, 9, 8), out_channels=24, act="relu", **shape)
    assert terms(op, tile=1)[0] == total_cost([op]).macs


def test_work_grows_with_the_batch_but_for_the_start():
    one, two = (terms(block(9, batch=batch), tile=1) for batch in (1, 2))
    assert two[:-1] == pytest.approx(2 * one[:-1])
