"""Keys are canonical: one text per operation, one operation per text."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError
from hwnat.records.arch import Arch
from hwnat.records.op import OpSpec

KEY = "mbconv|in=1x56x56x24|mid=96|out=40|k=5|s=2|act=relu|se=24|skip=0|float32"


@given(...)
def test_a_key_gives_back_the_operation_it_was_printed_from(op: OpSpec):
    assert OpSpec.from_key(op.key) == op


@given(...)
def test_equal_keys_mean_equal_operations_and_the_reverse(one: OpSpec, other: OpSpec):
    assert (one.key == other.key) == (one == other)


@given(...)
def test_the_operations_of_a_network_survive_their_keys(arch: Arch):
    ops = arch.ops(classes=7, batch=3)
    assert tuple(OpSpec.from_key(op.key) for op in ops) == ops


@given(...)
def test_any_text_is_a_canonical_key_or_bad_data(text: str):
    with pytest.raises(DataError):
        OpSpec.from_key(text)


@given(op=..., data=st.data())
def test_a_mutated_key_is_refused_or_another_operation(op: OpSpec, data):
    key = op.key
    at = data.draw(st.integers(0, len(key) - 1))
    new = data.draw(st.text(alphabet="0123456789|=xabc٣ -", max_size=2))
    mutated = key[:at] + new + key[at + 1 :]
    try:
        found = OpSpec.from_key(mutated)
    except DataError:
        return
    assert (found == op) == (mutated == key)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mbconv|", "mbcnv|", "Not an operation key"),
        ("|float32", "", "Not an operation key"),
        ("1x56x56x24", "1x56x56", "bad input shape"),
        ("1x56x56x24", "0x56x56x24", "bad input shape"),
        ("mid=96", "mid=096", "expected mid=…"),
        ("mid=96", "mid=0", "mid 0"),
        ("k=5", "k=4", "kernel 4"),
        ("s=2", "s=3", "stride 3"),
        ("relu", "gulu", "activation 'gulu'"),
        ("skip=0", "skip=1", "a shortcut over a change of shape"),
        ("skip=0", "skip=2", "a shortcut over a change of shape"),
        ("float32", "float33", "dtype 'float33'"),
        ("k=5", "s=5", "expected k=…"),
        ("in=", "", "is not canonical"),
    ],
)
def test_a_bad_key_is_told_what_is_wrong_with_it(old, new, message):
    assert OpSpec.from_key(KEY).key == KEY
    with pytest.raises(DataError, match=message):
        OpSpec.from_key(KEY.replace(old, new))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "dense"},
        {"in_shape": (1, 1, 64)},
        {"out_channels": 0},
        {"mid_channels": 8},
        {"se_channels": -1},
        {"stride": 2},
        {"kernel": 3},
        {"stride": 0},
    ],
)
def test_a_classifier_that_cannot_be_is_refused(wrong):
    op = OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10)
    with pytest.raises(DataError):
        replace(op, **wrong)


def test_a_stride_halves_a_map_and_rounds_up():
    op = OpSpec.from_key(KEY)
    sizes = [replace(op, in_shape=(1, size, size, 24)).out_size[0] for size in (1, 2, 7, 8)]
    assert sizes == [1, 1, 4, 4]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=relu|g=4|float32", "4 groups"),
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=relu|g=1|float32", "is not canonical"),
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=relu|o=8x8|float32", "output size"),
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=relu|kw=3|float32", "a square kernel"),
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=relu|d=2|g=2|float32", "is not canonical"),
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=relu|n=2|float32", "expected skip or g or"),
        ("dwconv|in=1x8x8x6|out=8|k=3|s=1|act=relu|float32", "out 8 of 6 channels"),
        ("resize|in=1x8x8x6|o=8x|float32", "expected o="),
        ("gpool|in=1x8x8x6|op=none|float32", "no mode"),
        ("act|in=1x8x8x6|act=none|float32", "no activation"),
        ("softmax|in=1x8x8x6|act=relu|float32", "expected the data type"),
        ("opaque|in=1x8x8x6|float32", "f=… is missing"),
        ("opaque|in=1x8x8x6|f=Erf|float32", "form 'Erf'"),
        ("opaque|in=1x8x8x6|f=Erf Add.0123456789abcdef|float32", "form"),
        ("opaque|in=1x8x8x6|f=Erf.0123456789abcdeg|float32", "form"),
        ("opaque|in=1x8x8x6|f=Erf.0123456789abcdef|out=3|float32", "expected the data type"),
    ],
)
def test_a_bad_operator_is_told_what_is_wrong_with_it(key, message):
    with pytest.raises(DataError, match=message):
        OpSpec.from_key(key)


@given(...)
def test_an_operator_says_what_leaves_it(op: OpSpec):
    assert op.out_shape[0] == op.in_shape[0]
    assert min(op.out_shape) >= 1
    if op.residual and op.kind == "mbconv":
        assert op.out_shape == op.in_shape


def test_an_operator_adds_a_tensor_of_its_outputs_shape_whatever_its_inputs():
    key = "conv|in=1x8x8x6|out=8|k=3|s=2|act=relu|skip=1|float32"
    assert OpSpec.from_key(key).out_shape == (1, 4, 4, 8)


def test_a_key_that_is_read_again_is_parsed_once():
    key = "conv|in=1x8x8x3|out=16|k=3|s=1|act=relu|float32"
    before = OpSpec.from_key.cache_info().misses
    assert len({id(OpSpec.from_key(key)) for _ in range(4)}) == 1
    assert OpSpec.from_key.cache_info().misses <= before + 1
