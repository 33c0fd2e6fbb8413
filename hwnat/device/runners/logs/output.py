"""Strict parsing of a runner's output: exact numbers with their units."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from hwnat.device.runners.logs.failure import refuse_failure
from hwnat.errors import DataError

NUMBER: Final = r"[0-9]{1,24}(?:\.[0-9]{1,24})?(?:e[+-]?[0-9]{1,3})?"
_NS_PER: Final = {"us": 1_000, "ms": 1_000_000}

#: One day. Only a damaged exponent gives a longer time.
_MAX_NS: Final = 86_400 * 10**9
_BYTES_PER_MB: Final = 1024**2
#: The longest real outputs have about 100,000 characters.
_MAX_CHARACTERS: Final = 4 << 20
_CONTROL: Final = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]|[\u2028\u2029]")
_NUMBER: Final = re.compile(NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The output of one process.

    Attributes:
        where: the device, for messages.
    """

    text: str
    tool: str
    where: str

    @property
    def lines(self) -> list[str]:
        """All lines.

        Raises:
            DataError: the last line lacks its line end.
        """
        *lines, rest = self.text.split("\n")
        if rest:
            self.cut(f"the end of the line {rest!r:.60}")
        return lines

    def cut(self, missing: str) -> NoReturn:
        """Raise a `DataError`: the output ends before `missing`."""
        msg = (
            f"{self.where}: the output of {self.tool} is cut off: it lacks {missing}. Nothing of "
            "it is used. Run the same hwnat profile command again; it resumes where it stopped."
        )
        raise DataError(msg)

    def wrong(self, why: str) -> NoReturn:
        """Raise a `DataError`: the output contradicts itself or its format."""
        msg = (
            f"{self.where}: the output of {self.tool} is damaged or of an unknown version: {why}. "
            "Nothing of it is used. Run the same hwnat profile command again."
        )
        raise DataError(msg)

    def decimal(self, text: str, what: str) -> Decimal:
        """Parse a plain number that is not negative."""
        if not _NUMBER.fullmatch(text):
            self.wrong(f"{what} is {text!r:.40}, not a number")
        value = Decimal(text)
        if value.adjusted() > 30:
            self.wrong(f"{what} is {text!r:.40}, out of range")
        return value

    def ns(self, text: str, unit: str, what: str) -> int:
        """Convert a positive time in `unit` to nanoseconds."""
        value = self.ns_or_none(text, unit, what)
        if value is None:
            self.wrong(f"{what} is 0 {unit}; no run takes no time")
        return value

    def ns_or_none(self, text: str, unit: str, what: str) -> int | None:
        """Convert as `ns` does; None for 0, which is a time below the tool's resolution."""
        value = self.decimal(text, what) * _NS_PER[unit]
        if value > _MAX_NS:
            self.wrong(f"{what} is {text} {unit}, over a day")
        return round(value) or None

    def count(self, text: str, what: str, *, least: int = 1) -> int:
        """Parse an integer that is at least `least`."""
        if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
            self.wrong(f"{what} is {text!r:.40}, not an integer of at least {least}")
        return int(text)

    def megabytes(self, text: str, what: str) -> int:
        """Convert a size in MB, here 1024² bytes, to bytes."""
        value = self.decimal(text, what) * _BYTES_PER_MB
        if value > 2**60:
            self.wrong(f"{what} is {text} MB, more than any device has")
        return round(value)

    def agree(self, first: float, second: float, what: str) -> None:
        """Raise if two printed values of the same quantity differ by more than rounding."""
        if not abs(first - second) <= 1e-5 * max(abs(first), abs(second)):
            self.wrong(f"{what} is printed as {first:g} and as {second:g}")

    def match_one(self, pattern: str, lines: Sequence[str], what: str) -> re.Match[str]:
        """Return the match of the only line that fully matches `pattern`.

        Raises:
            DataError: no line matches, or several do.
        """
        match = self.match_any(pattern, lines, what)
        if match is None:
            self.cut(f"its line '{what}'")
        return match

    def match_any(self, pattern: str, lines: Sequence[str], what: str) -> re.Match[str] | None:
        """Return the match of the only line that fully matches `pattern`; None without one."""
        compiled = re.compile(pattern)
        matches = [match for line in lines if (match := compiled.fullmatch(line))]
        if len(matches) > 1:
            self.wrong(f"it has {len(matches)} lines '{what}', so it is of several runs")
        return matches[0] if matches else None


@contextmanager
def runner_output(raw: str, *, tool: str, where: str) -> Iterator[Output]:
    r"""Yield the output of `tool` with `\n` line ends; errors raised inside name the tool.

    Raises:
        DeviceError: the runner or its shell reports a failure.
        DataError: the output is empty, too large or has control characters, or a record refuses
            its values.
    """
    if not raw:
        msg = f"{where}: {tool} printed nothing. Check the device with: hwnat device doctor DEVICE"
        raise DataError(msg)
    if len(raw) > _MAX_CHARACTERS:
        msg = (
            f"{where}: {tool} printed {len(raw):,} characters; the limit is {_MAX_CHARACTERS:,}. "
            "Run the same hwnat profile command again."
        )
        raise DataError(msg)
    # adb's old shell protocol turns line ends into \r\n, sometimes into \r\r\n.
    text = re.sub(r"\r+\n", "\n", raw)
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        msg = (
            f"{where}: line {line} of the output of {tool} has the control character "
            f"{control.group()!r}. Run the same hwnat profile command again."
        )
        raise DataError(msg)
    if not text.lstrip().startswith("{"):
        refuse_failure(text, where=where)
    try:
        yield Output(text=text, tool=tool, where=where)
    except DataError as problem:
        if str(problem).startswith(f"{where}:"):
            raise
        msg = f"{where}: the output of {tool} makes no sense: {problem} Run the command again."
        raise DataError(msg) from problem
