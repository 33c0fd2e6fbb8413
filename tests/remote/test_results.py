"""What a device wrote about a visit is taken whole or not at all."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError
from hwnat.remote.blocks import Visit, plan_text
from hwnat.remote.results import ProcessEnd, read_result

MARK = f"hwnat-{'5' * 32}"
RESULT = f"""{MARK} visit
{"a" * 24}
60
0123
2
mbconv|in=1
b007
120
{MARK} before
load\t1\t1

{MARK} part
first
line

{MARK} status 0

{MARK} part
half
{MARK} errors
it said
no

{MARK} after
123
load\t2\t2

{MARK} end
"""


def test_a_result_is_read_as_it_was_written():
    result = read_result(RESULT, where="a result")
    assert (result.job, result.digest, result.round) == ("a" * 24, "0123", 2)
    assert (result.subject, result.boot, result.up_s, result.ended_up_s) == (
        "mbconv|in=1",
        "b007",
        120,
        123,
    )
    assert (result.before, result.after) == ("load\t1\t1\n", "load\t2\t2\n")
    assert result.parts == (
        ProcessEnd(status=0, output="first\nline\n"),
        ProcessEnd(status=None, output="half", errors="it said\nno\n"),
    )
    assert [each.failure for each in result.parts] == [
        None,
        "was killed at its time limit; it printed last: no",
    ]


def test_a_result_cut_anywhere_is_refused():
    for end in range(len(RESULT)):
        with pytest.raises(DataError, match="a result is damaged"):
            read_result(RESULT[:end], where="a result")


@given(st.integers(0, len(RESULT) - 1), st.characters(codec="utf-8"))
def test_a_changed_result_is_refused_or_says_what_it_says(at, new):
    text = RESULT[:at] + new + RESULT[at + 1 :]
    try:
        result = read_result(text, where="a result")
    except DataError:
        return
    taken = (result.subject, result.before, result.after, *(each.output for each in result.parts))
    assert all(each in text for each in taken)
    assert len(result.parts) == text.count(f"{MARK} part\n")


def test_a_plan_is_words_of_shell_and_nothing_else():
    command = ("it's", "$(reboot)", "`x`", "a b", "-n", "*", ";")
    subject = "x|'; rm -rf /; '"
    visit = Visit(job="a" * 24, digest="0", round=1, subject=subject, commands=(command,))
    lines = plan_text([visit], limit_s=9).splitlines()
    assert shlex.split(lines[0])[:6] == ["visit", "a" * 24, "9", "0", "1", subject]
    assert shlex.split(lines[1]) == ["part", *command]
    assert lines[2] == "keep; }"


@pytest.mark.parametrize("odd", ["a\nb", "a\rb", "a\0b", "a\x1bb", "a\u2028b"])
def test_what_is_not_a_line_is_not_planned(odd):
    for subject, word in ((odd, "x"), ("x", odd)):
        with pytest.raises(DataError, match="a command is not a line of text"):
            Visit(job="a" * 24, digest="0", round=1, subject=subject, commands=((word,),))
