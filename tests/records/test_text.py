"""Nothing from a file makes a terminal do anything."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.records.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;PWNED\x07 hi", r"\x1b]0;PWNED\x07 hi"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x08\x7f", r"a\rb\x08\x7f"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("a\tb\nc", "a\tb\nc"),
        ("[red]x[/red] é 学 °C", "[red]x[/red] é 学 °C"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text, shown):
    assert visible(text) == shown


def test_a_message_stays_on_one_line():
    assert visible("a\nhwnat: ok\tb", lines=False) == r"a\nhwnat: ok\tb"


@given(st.text())
def test_the_result_can_be_printed_by_any_terminal(text):
    shown = visible(text, lines=False)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)
    shown.encode()
    assert visible(shown, lines=False) == shown
