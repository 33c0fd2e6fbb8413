"""Results: the files in which a device records its visits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hwnat.errors import DataError
from hwnat.transport.words import printable

_FIRST: Final = re.compile(r"(hwnat-[0-9a-f]{32}) visit\n")
_MARKED: Final = "\n{} "
#: Names of the lines of the head.
_HEAD: Final = ("job", "limit", "digest", "round", "subject", "boot", "up")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnd:
    """How one process ended.

    Attributes:
        status: exit status; None if it was killed at its time limit.
        output: its stdout.
        errors: the end of its stderr, if it failed.
    """

    status: int | None
    output: str
    errors: str = ""

    @property
    def failure(self) -> str | None:
        """What went wrong; None if nothing did."""
        if self.status == 0:
            return None
        lines = self.errors.strip().splitlines() or self.output.strip().splitlines()
        how = "was killed at its time limit" if self.status is None else f"ended with {self.status}"
        return f"{how}; it printed last: {printable(lines[-1], limit=200) if lines else 'nothing'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A visit, as the device recorded it.

    Attributes:
        job: name of the visit.
        digest: digest of the files that were run.
        round: number of the round, from 0.
        subject: key of the operation or network.
        boot: identifier of the device's boot; empty if it is unknown.
        up_s: seconds from the boot to the start of the visit.
        ended_up_s: seconds from the boot to the end of the visit.
        before: state of the device before the visit, as `state.sh` prints it.
        after: state of the device after the visit.
        parts: the processes of the visit, in order.
    """

    job: str
    digest: str
    round: int
    subject: str
    boot: str
    up_s: int | None
    ended_up_s: int | None
    before: str
    after: str
    parts: tuple[ProcessEnd, ...]


def read_result(text: str, *, where: str) -> Result:
    """Parse a result.

    Args:
        text: content of the file.
        where: name of the result, for messages.

    Raises:
        DataError: the text is truncated or damaged.
    """
    first = _FIRST.match(text)
    if first is None or not text.endswith("\n"):
        raise _damaged(where, "it does not begin and end as a result does")
    mark = first[1]
    names, bodies = _sections("\n" + text, mark)
    whole = names[:2] == ["visit", "before"] and names[-2:] == ["after", "end"]
    if not whole or bodies[-1] or text.count(mark) != len(names):
        raise _damaged(where, "its end or a part of it is missing")
    head = bodies[0].split("\n")
    if len(head) != len(_HEAD):
        raise _damaged(where, f"its head has {len(head)} lines")
    values = dict(zip(_HEAD, head, strict=True))
    if not values["round"].isascii() or not values["round"].isdigit():
        raise _damaged(where, f"its round is '{printable(values['round'], limit=20)}'")
    ended, _, after = bodies[-2].partition("\n")
    return Result(
        job=values["job"],
        digest=values["digest"],
        round=int(values["round"]),
        subject=values["subject"],
        boot=values["boot"],
        up_s=_seconds(values["up"]),
        ended_up_s=_seconds(ended),
        before=bodies[1],
        after=after,
        parts=_parts(names[2:-2], bodies[2:-2], where=where),
    )


def _seconds(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,12}", text, re.ASCII) else None


def _sections(text: str, mark: str) -> tuple[list[str], list[str]]:
    """Return the word after each mark, and the text up to the next mark."""
    names, bodies = [], []
    for piece in text.split(_MARKED.format(mark))[1:]:
        name, _, body = piece.partition("\n")
        names.append(name)
        bodies.append(body)
    return names, bodies


def _parts(names: Sequence[str], bodies: Sequence[str], *, where: str) -> tuple[ProcessEnd, ...]:
    parts: list[ProcessEnd] = []
    for name, body in zip(names, bodies, strict=True):
        status = re.fullmatch(r"status (\d{1,3})", name, re.ASCII)
        if name == "part":
            parts.append(ProcessEnd(status=None, output=body))
        elif not parts or (status is None and name != "errors"):
            raise _damaged(where, f"it holds '{printable(name, limit=40)}' in the wrong place")
        elif status is not None:
            parts[-1] = ProcessEnd(status=int(status[1]), output=parts[-1].output)
        else:
            parts[-1] = ProcessEnd(status=parts[-1].status, output=parts[-1].output, errors=body)
    if not parts:
        raise _damaged(where, "it holds no process")
    return tuple(parts)


def _damaged(where: str, why: str) -> DataError:
    return DataError(f"{where} is damaged: {why}. The visit will be repeated.")
