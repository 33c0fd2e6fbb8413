import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError, HwnatError
from hwnat.table.entry import MAX_NS
from hwnat.table.importers.base import Source
from hwnat.table.importers.values import Pairs, imported_entry, json_pairs, number, positive, to_ns


@pytest.mark.parametrize(
    ("value", "unit", "ns"),
    [
        (1.5, "ms", 1_500_000),
        ("0.25", "us", 250),
        (3, "s", 3_000_000_000),
        (" 7 ", "ns", 7),
        ("1e-3", "s", 1_000_000),
        (".5", "ms", 500_000),
    ],
)
def test_latencies_become_whole_nanoseconds(value, unit, ns):
    assert to_ns(value, unit, where="f:1") == ns


@pytest.mark.parametrize("value", [-1, 0, "-1", "0", "0.0", -1e-9, "-0"])
def test_what_stands_for_not_measured_is_refused_with_its_usual_meaning(value):
    with pytest.raises(DataError, match=r"^f:1: k: .*'not measured'"):
        positive(value, where="f:1: k")


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "nan", "", "1,5", "1_0", "0x1", None, True, [1], "٣", 10**400]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(DataError, match=r"^f:1: k: .* not a finite number"):
        number(value, where="f:1: k")


@pytest.mark.parametrize(("value", "unit"), [(0.4, "ns"), (1e300, "ns"), (5_000, "s")])
def test_a_latency_out_of_range_asks_for_the_unit(value, unit):
    with pytest.raises(DataError, match="is the unit right"):
        to_ns(value, unit, where="f:1")


@given(st.floats() | st.integers() | st.text() | st.floats().map(str), st.sampled_from("nums"))
def test_any_value_is_a_latency_or_an_error(value, letter):
    unit = {"n": "ns", "u": "us", "m": "ms", "s": "s"}[letter]
    try:
        assert 0 < to_ns(value, unit, where="f:1") <= MAX_NS
    except HwnatError as refused:
        assert "f:1" in str(refused)  # noqa: PT017 - one of both ends


@given(st.integers(1, MAX_NS - 1), st.floats(0, 1e13), st.integers(1, 1000))
def test_any_mean_and_deviation_give_a_sound_entry(mean, std, n):
    entry = imported_entry(mean, std_ns=std, n=n)
    assert 0 < entry.low_ns <= mean <= entry.high_ns < MAX_NS


def pairs(text):
    return json_pairs(Source.of("f.json", text.encode()))


def test_json_keeps_keys_that_occur_twice():
    found = pairs('{"a": 1, "b": {"c": 2, "c": 3}, "a": NaN}')
    assert found == (("a", 1), ("b", (("c", 2), ("c", 3))), ("a", "NaN"))
    assert isinstance(found[1][1], Pairs)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '{"a": }', "[" * 100_000])
def test_json_that_is_no_object_is_refused(text):
    with pytest.raises(DataError, match=r"^f\.json: "):
        pairs(text)


@pytest.mark.parametrize("key", ["\\u001b[31mred", "\\ud800", "a" * 201, "a\\u2028b"])
def test_names_that_no_message_could_show_are_refused(key):
    with pytest.raises(DataError, match=r"^f\.json: .*is unprintable or longer than 200") as raised:
        pairs(f'{{"{key}": 1}}')
    assert str(raised.value).isprintable()


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(DataError, match=r"f\.json: not UTF-8 text \(byte 1\)"):
        Source.of("f.json", b"a\xff").text  # noqa: B018 - decoded on demand
    assert Source.of("f", b"\xef\xbb\xbfa").text == "a"
    assert Source.of("f", b"").at(3) == "f:3"
