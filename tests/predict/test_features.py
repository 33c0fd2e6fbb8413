import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.predict.features import EXTENT, NAMES, WORK, features, model_kind, row, work
from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec


def conv(side=14, channels=32, out=64, kernel=3, stride=1, **more):
    shape = (1, side, side, channels)
    return OpSpec(
        kind="conv", in_shape=shape, out_channels=out, kernel=kernel, stride=stride, **more
    )


OPS = (
    conv(),
    conv(groups=4),
    OpSpec(kind="dwconv", in_shape=(1, 7, 7, 30), out_channels=30, kernel=5, stride=2),
    OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10),
    OpSpec(kind="matmul", in_shape=(1, 8, 49, 32), out_channels=49),
    OpSpec(kind="pool", in_shape=(1, 8, 8, 3), kernel=3, stride=2, mode="max"),
    OpSpec(kind="gpool", in_shape=(1, 8, 8, 3), mode="avg"),
    OpSpec(kind="add", in_shape=(1, 8, 8, 3), operands=2),
    OpSpec(kind="concat", in_shape=(1, 8, 8, 3), out_channels=9, operands=3),
    OpSpec(kind="softmax", in_shape=(1, 1, 1, 10)),
    OpSpec(kind="resize", in_shape=(1, 8, 8, 3), out_hw=(16, 16)),
    OpSpec(kind="move", in_shape=(1, 8, 8, 3)),
    OpSpec(kind="mbconv", in_shape=(1, 8, 8, 16), mid_channels=64, out_channels=24, se_channels=8),
    OpSpec(kind="convpool", in_shape=(1, 8, 8, 16), out_channels=24),
    OpSpec(kind="mix", in_shape=(1, 1, 1, 16), out_channels=24),
)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.kind)
def test_every_kind_has_the_same_finite_features(op):
    found = features(op)
    assert tuple(found) == NAMES
    assert set(EXTENT) <= set(NAMES)
    assert np.isfinite(row(op)).all()
    assert work(op).shape == (len(WORK),)
    assert (work(op) >= 0).all()


def test_work_is_what_the_roofline_counts():
    amounts = dict(zip(WORK, work(conv()).tolist(), strict=True))
    assert amounts["macs"] == op_cost(conv()).macs == 14 * 14 * 9 * 32 * 64
    assert amounts["padded_macs"] == amounts["macs"]
    assert amounts["in_bytes"] == 4 * 14 * 14 * 32
    assert amounts["weight_bytes"] == 4 * (9 * 32 * 64 + 64)
    assert amounts["texels"] == 14 * 14 * 16


def test_channels_that_fill_no_slice_are_padded():
    amounts = dict(zip(WORK, work(conv(channels=30, out=61)).tolist(), strict=True))
    assert amounts["padded_macs"] == work(conv())[WORK.index("macs")]
    found = features(conv(out=61))
    assert found["fill_out_4"] == pytest.approx(61 / 64)
    assert found["fill_out_32"] == pytest.approx(61 / 64)
    assert found["fill_side_16"] == pytest.approx(14 / 16)


def test_a_number_of_slices_without_divisors_makes_flat_groups():
    # 358 slices in pairs are 179, a prime: one thread of a group along slices, not 64.
    assert features(conv(side=7, out=1432))["depth_2x1x2"] == 1
    assert features(conv(side=7, out=1536))["depth_2x1x2"] == 64


@pytest.mark.parametrize(
    ("change", "slices"), [({}, 8), ({"kernel": 1}, 0), ({"stride": 2}, 0), ({"groups": 2}, 0)]
)
def test_winograd_is_for_plain_three_by_three_convolutions(change, slices):
    assert features(conv(**change))["winograd_slices"] == slices


def test_kinds_are_modelled_by_kernel():
    pointwise = conv(side=1, kernel=1)
    assert model_kind(pointwise) == model_kind(OPS[3]) == "linear"
    assert model_kind(conv(groups=4)) == "grouped-conv"
    assert model_kind(conv()) == "conv"


@given(st.integers(1, 60), st.integers(1, 200), st.integers(1, 200))
def test_launches_cover_every_output_at_least_once(side, channels, out):
    found = features(conv(side=side, channels=channels, out=out))
    assert all(value >= 0 for name, value in found.items() if name.startswith("pad_"))
    assert all(0 < value <= 1 for name, value in found.items() if name.startswith("fill_"))


@given(st.integers(1, 60), st.integers(1, 100))
def test_more_channels_are_never_less_work(side, out):
    less, more = work(conv(side=side, out=out)), work(conv(side=side, out=out + 1))
    assert (more >= less).all()


@pytest.mark.parametrize("kind", ["conv", "add"])
def test_a_batch_multiplies_all_work_but_the_weights(kind):
    fields = {"out_channels": 32, "kernel": 3} if kind == "conv" else {"operands": 2}
    one, eight = (
        dict(zip(WORK, work(OpSpec(kind=kind, in_shape=(b, 16, 16, 32), **fields)), strict=True))
        for b in (1, 8)
    )
    for name in WORK:
        times = 1 if name in ("launches", "weight_bytes") else 8
        assert eight[name] == times * one[name], name


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("conv|in=1x9x9x4|out=8|k=3|s=2|act=none|sw=1|dw=2|float32", "conv"),
        ("conv|in=1x9x9x4|out=8|k=3|s=1|act=none|w=int8|float32", "conv-w-int8"),
        ("conv|in=1x9x9x4|out=8|k=3|s=1|act=none|int8", "conv-int8"),
        ("div|in=1x7x7x8|act=none|n=2|float32", "div"),
        ("unary|in=1x7x7x8|op=exp|float32", "unary-exp"),
        ("binary|in=1x1x50x8|op=pow|n=1|float32", "binary-pow"),
        ("reduce|in=1x7x7x8|op=sum|o=7x1|int64", "reduce-sum-int64"),
        ("resize|in=1x7x7x8|o=9x9|op=linear|float32", "resize-linear"),
        ("gather|in=1x1x12x64|float32", "gather"),
        ("cast|in=1x1x1x12|w=float32|int64", "cast-w-float32-int64"),
        ("sdpa|in=1x4x50x16|mid=40|out=8|float32", "sdpa"),
        ("lstm|in=2x1x20x64|out=32|n=2|float32", "lstm"),
    ],
)
def test_operators_of_any_kind_have_features_and_a_model_of_their_own(key, kind):
    op = OpSpec.from_key(key)
    assert np.isfinite(row(op)).all()
    assert (work(op) >= 0).all()
    assert model_kind(op) == kind
