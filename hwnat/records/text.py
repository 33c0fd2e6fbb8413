"""Text from files and devices, made safe for a terminal."""

import unicodedata
from typing import Final

#: Categories of characters that a terminal obeys or that change the order of others: control and
#: format characters (with C1 and bidirectional overrides), halves of surrogate pairs, private use,
#: and the separators of lines and paragraphs.
_OBEYED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str, *, lines: bool = True) -> str:
    r"""Return a text in which everything that a terminal would obey is written as an escape.

    Args:
        text: from anywhere.
        lines: keep line breaks and tabs.

    >>> print(visible("\x1b[31mred\x07\u202e"), visible("a\nb", lines=False))
    \x1b[31mred\x07\u202e a\nb
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        char if char in kept or unicodedata.category(char) not in _OBEYED else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
