import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DeviceError
from hwnat.transport.words import device_path, printable, shown


@given(st.text())
def test_what_is_shown_is_one_line_without_control_characters(text):
    line = printable(text)
    assert not any(each in line for each in "\n\r\t\0\x1b\x7f\x9b\u202e\u2066")
    assert len(line) <= len(text)


@pytest.mark.parametrize(
    "sequence",
    ["\x1b[31;1m", "\x1b]0;title\x07", "\x1b]8;;x\x1b\\", "\x1bc", "\x9b2J", "\x1bP0q\x1b\\"],
)
def test_whole_escape_sequences_go(sequence):
    assert printable(f"a{sequence}b") == "ab"


def test_the_end_of_a_long_text_is_kept_and_a_long_command_is_cut():
    assert printable("abc" * 100, limit=4) == "cabc"
    assert shown(["x" * 300]) == "x" * 200 + "…"


def test_a_script_is_no_part_of_a_message():
    assert shown(["sh", "-c", "a=$1\necho $a", "sh", "b"]) == "sh -c … sh b"
    assert shown(["a\nb"]) == "a b"


@given(st.text(st.sampled_from("/.-~a \n\0\ud800"), max_size=8))
def test_a_path_is_refused_or_starts_so_that_it_is_no_option(path):
    try:
        found = device_path(path)
    except DeviceError:
        return
    assert found.startswith(("/", "./"))
    assert found.removeprefix("./") == path or found == path
    assert not path.endswith("/")
    found.encode()
