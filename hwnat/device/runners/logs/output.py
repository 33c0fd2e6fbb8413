"""The text of a runner, and how its numbers are read: exactly, with their unit, never as zero."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from hwnat.errors import DataError

NUMBER: Final = r"[0-9]{1,24}(?:\.[0-9]{1,24})?(?:e[+-]?[0-9]{1,3})?"
#: A count of operators or kernels.
COUNT: Final = r"[0-9]{1,9}"
NS_PER: Final = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

#: No run of a model takes a day; a damaged exponent does.
_MAX_NS: Final = 86_400 * NS_PER["s"]
_BYTES_PER: Final = {"bytes": 1, "KB": 1024, "KiB": 1024, "MB": 1024**2, "MiB": 1024**2}
_CONTROL: Final = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]|[\u2028\u2029]")
_NUMBER: Final = re.compile(NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What one runner printed.

    Attributes:
        where: the device or file, named in every message.
    """

    text: str
    tool: str
    where: str

    @property
    def lines(self) -> list[str]:
        """All lines, each of which must have ended.

        Raises:
            DataError: the last one did not.
        """
        *lines, rest = self.text.split("\n")
        if rest:
            self.cut(f"the end of the line {rest!r:.60}")
        return lines

    def cut(self, missing: str) -> NoReturn:
        """Raise that the output ends before `missing`."""
        msg = (
            f"{self.where}: the output of {self.tool} was cut off, it lacks {missing}. Nothing of "
            "it is used; run the same hwnat profile command again, it goes on where it stopped."
        )
        raise DataError(msg)

    def wrong(self, why: str) -> NoReturn:
        """Raise that the output contradicts itself or its format."""
        msg = (
            f"{self.where}: the output of {self.tool} is damaged or of an unknown version: {why}. "
            "Nothing of it is used; run the same hwnat profile command again."
        )
        raise DataError(msg)

    def decimal(self, text: str, what: str) -> Decimal:
        """Return a plain number that is not negative."""
        if not _NUMBER.fullmatch(text):
            self.wrong(f"{what} is {text!r:.40}, not a number")
        value = Decimal(text)
        if value.adjusted() > 30:
            self.wrong(f"{what} is {text!r:.40}, out of range")
        return value

    def ns(self, text: str, unit: str, what: str) -> int:
        """Return a time that was printed in `unit` as nanoseconds, above zero."""
        value = self.ns_or_none(text, unit, what)
        if value is None:
            self.wrong(f"{what} is 0 {unit}, which no run takes")
        return value

    def ns_or_none(self, text: str, unit: str, what: str) -> int | None:
        """Return nanoseconds, None for a printed 0: the time was below the tool's resolution."""
        value = self.decimal(text, what) * NS_PER[unit]
        if value > _MAX_NS:
            self.wrong(f"{what} is {text} {unit}, over a day")
        return round(value) or None

    def count(self, text: str, what: str, *, least: int = 1) -> int:
        """Return an integer that is at least `least`."""
        if not re.fullmatch(r"[0-9]{1,18}(?:\.0+)?", text) or int(text.split(".")[0]) < least:
            self.wrong(f"{what} is {text!r:.40}, not an integer of at least {least}")
        return int(text.split(".")[0])

    def size(self, text: str, unit: str, what: str) -> int:
        """Return bytes of a size printed in `unit`, in which tools count 1024 to the next."""
        value = self.decimal(text, what) * _BYTES_PER[unit]
        if value > 2**60:
            self.wrong(f"{what} is {text} {unit}, more than any device has")
        return round(value)

    def agree(self, first: float, second: float, what: str, *, within: float = 1e-5) -> None:
        """Refuse two printings of one quantity that differ by more than rounding."""
        if not abs(first - second) <= within * max(abs(first), abs(second)):
            self.wrong(f"{what} is printed as {first:g} and as {second:g}")

    def match_one(self, pattern: str, lines: Sequence[str], what: str) -> re.Match[str]:
        """Return the match of the only line that `pattern` matches from its start to its end.

        Raises:
            DataError: there is none, or there are several.
        """
        found = self.match_any(pattern, lines, what)
        if found is None:
            self.cut(f"its line '{what}'")
        return found

    def match_any(self, pattern: str, lines: Sequence[str], what: str) -> re.Match[str] | None:
        """Return the match of the only line that `pattern` matches, None if there is none."""
        compiled = re.compile(pattern)
        found = [match for line in lines if (match := compiled.fullmatch(line))]
        if len(found) > 1:
            self.wrong(f"'{what}' is there {len(found)} times, so it is of several runs")
        return found[0] if found else None


def decode(raw: str | bytes, *, where: str) -> str:
    r"""Return text with `\n` line ends.

    Raises:
        DataError: it is not UTF-8, or it holds control characters, which no runner prints.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as damage:
        msg = (
            f"{where}: byte {damage.start} of the output is no text, so it was damaged on its way; "
            "run the same hwnat profile command again."
        )
        raise DataError(msg) from damage
    # adb's old shell protocol turns line ends into \r\n, sometimes into \r\r\n.
    text = re.sub(r"\r+\n", "\n", text)
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        msg = (
            f"{where}: line {line} of the output holds {found.group()!r}, which no runner prints; "
            "run the same hwnat profile command again."
        )
        raise DataError(msg)
    return text


def csv_rows(out: Output, lines: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table whose first line names its columns, by those names.

    A comma in a name is a cell too many: of rows that ran together there is no telling.

    Raises:
        DataError: a row has another number of cells, or two columns share a name.
    """
    if not lines:
        out.cut("its table")
    header = [name.strip() for name in lines[0].split(",")]
    if len(set(header)) != len(header):
        out.wrong("two of its columns have the same name")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(header):
            out.wrong(f"line {number} has {len(cells)} cells, its header {len(header)}")
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def need_columns(out: Output, header: Sequence[str], needed: Sequence[str]) -> None:
    """Refuse a table that lacks a column."""
    for name in needed:
        if name not in header:
            out.wrong(f"its table has no column '{name}'")
