"""Make text from files and devices safe to print on a terminal."""

import unicodedata
from typing import Final

#: Categories of characters that a terminal interprets or that reorder other characters: control and
#: format characters (including C1 and bidirectional overrides), halves of surrogate pairs, private
#: use, and separators of lines and paragraphs.
_INTERPRETED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str, *, lines: bool = True) -> str:
    r"""Return a text in which characters that a terminal would interpret are escaped.

    Args:
        text: any text.
        lines: whether to keep line breaks and tabs.

    >>> print(visible("\x1b[31mred\x07\u202e"), visible("a\nb", lines=False))
    \x1b[31mred\x07\u202e a\nb
    """
    kept = "\n\t" if lines else ""
    # Nearly all text ends here; the look at each character takes a hundred times as long.
    if text.translate({ord(char): None for char in kept}).isprintable():
        return text
    return "".join(
        char if char in kept or unicodedata.category(char) not in _INTERPRETED else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
