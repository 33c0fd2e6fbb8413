import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Request, Source
from hwnat.table.importers.fbnet_json import FbnetJson

#: Layers whose block changes shape have no candidate to skip: the first of each stage.
FIRST = {1, 5, 9, 13, 17, 21}
CIFAR = "1,1,1,2,2,1,2,1"


def lists(scale=1.0):
    return [[scale * (10 * i + k + 1) for k in range(8 + (i not in FIRST))] for i in range(22)]


def read(content, **options):
    options.setdefault("resolution", "224")
    text = content if isinstance(content, str) else json.dumps(content)
    request = Request(device="pi4", options=options)
    return FbnetJson().read([Source.of("lut.json", text.encode())], request)


def test_layers_get_the_shapes_of_the_paper():
    found = read([None, None, *lists(), None])
    first = "mbconv|in=1x112x112x16|mid=48|out=16|k=3|s=1|act=relu|se=0|skip=1|float32"
    assert found.entries[first].p50_ns == 3_000
    last = "mbconv|in=1x7x7x184|mid=1104|out=352|k=5|s=1|act=relu|se=0|skip=0|float32"
    assert found.entries[last].p50_ns == 218_000
    assert {OpSpec.from_key(key).in_shape[1] for key in found.entries} == {112, 56, 28, 14, 7}


def test_layers_of_one_shape_are_timings_of_one_operation():
    entry = read(lists()).entries[
        "mbconv|in=1x14x14x112|mid=336|out=112|k=3|s=1|act=relu|se=0|skip=1|float32"
    ]
    assert (entry.p50_ns, entry.n) == (153_000, 3)


def test_what_has_no_key_is_named():
    unmapped = read([None, *lists()]).unmapped
    assert unmapped["layer 0"] == "not searched, so not timed"
    assert "same width" in unmapped["layer 1 ir_k3_e1"]
    assert "grouped" in unmapped["layer 1 ir_k5_s2"]
    assert unmapped["layer 1 skip"] == "it does nothing"
    assert "layer 2 skip" not in unmapped


def test_candidates_may_be_named():
    named = [{"ir_k7_e3": 5.0, "odd": 1.0} for _ in range(22)]
    found = read(named)
    assert all(OpSpec.from_key(key).kernel == 7 for key in found.entries)
    assert found.unmapped["layer 3 odd"] == "not a candidate of FBNet"


def test_the_resolution_of_a_list_is_asked_for():
    source = Source.of("lut.json", json.dumps(lists()).encode())
    with pytest.raises(UsageError, match="--option resolution="):
        FbnetJson().read([source], Request(device="pi4"))


def test_resolution_and_strides_are_options():
    found = read(lists(), resolution="32", strides=CIFAR)
    assert {OpSpec.from_key(key).in_shape[1] for key in found.entries} == {32, 16, 8, 4}
    for options in ({"resolution": "big"}, {"resolution": "0"}, {"strides": "2,1"}):
        with pytest.raises(UsageError):
            read(lists(), **options)


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "null",
        "3",
        [],
        lists()[:-1],
        [*lists(), [1.0] * 8],
        [[1.0] * 5, *lists()[1:]],
        [["NaN"] * 9, *lists()[1:]],
        [[1.0] * 8 + [-1], *lists()[1:]],
        '[{"ir_k3_e3": 1, "ir_k3_e3": 2}' + ', {"skip": 1}' * 21 + "]",
        [5.0] * 22,
        {"ConvBlock_H56_W56_Cin24_Cout24": 1.0},
        {"unknown": 1.0},
    ],
)
def test_other_content_is_refused(content):
    with pytest.raises(DataError):
        read(content)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("ConvBlock_H7_W7_Cin8_Cout8_exp3_kernel4_stride1_group1", "kernel 4"),
        ("ConvBlock_H7_W7_Cin8_Cout8_exp3_stride1_group1", "does not say kernel"),
        ("ConvNorm_H7_W7_Cin8_Cout8_kernel3_kernel3_stride1_group1", "not an operation's name"),
        ("AvgP_H7_W7_Cin8_Cout8_kernel2_stride2", "part of the map"),
    ],
)
def test_a_key_that_does_not_say_enough_is_left_out(key, reason):
    found = read({"FC_Cin8_Cout10": 1.0, key: 1.0})
    assert list(found.entries) == ["linear|in=1x1x1x8|out=10|float32"]
    assert reason in found.unmapped[key]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=23)
        | st.dictionaries(
            st.sampled_from(["ir_k3_e3", "skip", "FC_Cin8_Cout10"]) | st.text(max_size=9), inner
        )
    ),
    max_leaves=30,
)


@given(JSON | st.just([1.0]).map(lambda each: each * 22))
def test_any_json_is_read_or_refused(content):
    try:
        found = read(content)
    except DataError:
        return
    assert found.entries
