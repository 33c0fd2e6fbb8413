import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError
from hwnat.table.importers.base import Source
from hwnat.table.importers.ofa_text import block_name, check_output, items, mbconv

NAMES = ("mean", "std")
KEY = "expanded_conv-input:41x41x32-output:21x21x48-kernel:5-stride:2-idskip:0-se:1"


def source(text):
    return Source.of("t.yaml", text.encode())


def test_keys_keep_their_lines_and_fields_their_text():
    first, second = items(
        source("a:\n  mean: 1.50\n  std: 2\n\nb:\n  std: x\n  mean: -1\n"), names=NAMES
    )
    assert (first.key, first.line, dict(first.fields)) == ("a", 1, {"mean": "1.50", "std": "2"})
    assert (second.key, second.line, dict(second.fields)) == ("b", 5, {"std": "x", "mean": "-1"})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  mean: 1\n", 1),
        ("a:\n  mean: 1\n  std: 2\n  mean: 1\n", 4),
        ("a:\n  mean: 1\n  median: 2\n", 3),
        ("a:\n  mean: 1\n", 1),
        ("a:\n  mean: 1\nb:\n  mean: 1\n  std: 1\n", 1),
        ("a:\n  mean:\n  std: 1\n", 2),
        ("a:\n  mean: 1 # fast\n  std: 1\n", 2),
        ("a:\n\tmean: 1\n", 2),
        ("- a:\n", 1),
        ("# note\n", 1),
        ("a: {mean: 1}\n", 1),
        ("a: 1\n", 1),
        ("a: !!python/object\n", 1),
        ("---\n", 1),
        ("a: &anchor\n", 1),
    ],
)
def test_anything_else_is_refused_with_its_line(text, line):
    with pytest.raises(DataError, match=rf"^t\.yaml:{line}: "):
        items(source(text), names=NAMES)


@given(st.text(max_size=200) | st.text(alphabet="ab:- \n#mean1.std{}", max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        found = items(source(text), names=NAMES)
    except DataError:
        return
    assert all(set(each.fields) == set(NAMES) for each in found)


def test_a_name_is_taken_apart():
    name = block_name(KEY)
    assert (name.kind, name.in_shape, name.out_shape) == (
        "expanded_conv",
        (41, 41, 32),
        (21, 21, 48),
    )
    assert name.numbers == {"kernel": 5, "stride": 2, "idskip": 0, "se": 1}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "Conv",
        "Conv-input:1x1x3",
        "Conv-input:1x1-output:1x1x3",
        "Conv-input:0x1x3-output:1x1x3",
        "Conv-input:1x1x3-output:1x1x3-input:1x1x3",
        "Conv-input:1x1x3-output:1x1x3-kernel:1x1x1",
        "Conv-input:\u0661x1x3-output:1x1x3",
        KEY + " ",
    ],
)
def test_other_names_are_not_guessed_at(key):
    assert block_name(key) is None


@given(st.text(max_size=80))
def test_any_key_is_parsed_or_not(key):
    assert block_name(key) is None or "-input:" in key


def test_squeeze_width_follows_from_the_expanded_width():
    assert mbconv(block_name(KEY), mid=816, act="relu").se_channels == 208


def test_an_output_rounded_down_is_another_operation():
    wrong = block_name(KEY.replace("21x21x48", "20x20x48"))
    with pytest.raises(DataError, match="would be 21x21x48, not 20x20x48"):
        check_output(mbconv(wrong, mid=96, act="relu"), wrong)
