"""What a device is asked to do for one visit, and what it wrote about it."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hwnat.errors import DataError
from hwnat.transport.words import printable

_FIRST: Final = re.compile(r"(hwnat-[0-9a-f]{32}) visit\n")
_MARKED: Final = "\n{} "
#: Words of the head, each on a line.
_HEAD: Final = ("job", "limit", "digest", "round", "subject", "boot", "up")
_NOT_LINES: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit that a device is asked to make.

    Attributes:
        job: of `Setup.job`.
        digest: of the files that it runs, so that a result is of these and no others.
        commands: one process each, in order.
    """

    job: str
    digest: str
    round: int
    subject: str
    commands: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        words = (self.subject, *(word for command in self.commands for word in command))
        if not self.commands or any(_NOT_LINES.search(word) for word in words):
            msg = f"{printable(self.subject)}: its commands are not lines of text: {self.commands}."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How one process ended.

    Attributes:
        status: exit status; None if it was killed for its time.
        output: what it printed.
        errors: the end of its stderr, where it failed.
    """

    status: int | None
    output: str
    errors: str = ""

    @property
    def failure(self) -> str | None:
        """What went wrong, in words; None if nothing did."""
        if self.status == 0:
            return None
        lines = self.errors.strip().splitlines() or self.output.strip().splitlines()
        how = "was killed for its time" if self.status is None else f"ended with {self.status}"
        return f"{how}; it said last: {printable(lines[-1], limit=200) if lines else 'nothing'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a device wrote about one visit.

    Attributes:
        boot: name of the device's run since it was switched on; empty if it does not tell.
        up_s: how long it had been on when the visit began; `ended_up_s` when it had ended.
        before: state of the device, as `state.sh` prints it; so is `after`.
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
    parts: tuple[Part, ...]


def plan_text(visits: Sequence[Visit], *, limit_s: int) -> str:
    """Return the plan of a block, for the script `driver.sh`.

    Args:
        visits: in the order they are made.
        limit_s: what a process may take.
    """
    lines = []
    for each in visits:
        head = ("visit", each.job, str(limit_s), each.digest, str(each.round), each.subject)
        lines.append(f"{shlex.join(head)} && {{")
        lines += [shlex.join(("part", *command)) for command in each.commands]
        lines.append("keep; }")
    return "".join(f"{line}\n" for line in lines)


def read_result(text: str, *, where: str) -> Result:
    """Read a result, whole or not at all.

    Raises:
        DataError: it is cut off or damaged.
    """
    first = _FIRST.match(text)
    if first is None or not text.endswith("\n"):
        raise _damaged(where, "it does not begin and end as hwnat's do")
    mark = first[1]
    names, bodies = _sections("\n" + text, mark)
    whole = names[:2] == ["visit", "before"] and names[-2:] == ["after", "end"]
    if not whole or bodies[-1] or text.count(mark) != len(names):
        raise _damaged(where, "its end or a part of it is missing")
    head = bodies[0].split("\n")
    if len(head) != len(_HEAD):
        raise _damaged(where, f"its head has {len(head)} lines")
    found = dict(zip(_HEAD, head, strict=True))
    if not found["round"].isascii() or not found["round"].isdigit():
        raise _damaged(where, f"its round is '{printable(found['round'], limit=20)}'")
    ended, _, after = bodies[-2].partition("\n")
    return Result(
        job=found["job"],
        digest=found["digest"],
        round=int(found["round"]),
        subject=found["subject"],
        boot=found["boot"],
        up_s=_seconds(found["up"]),
        ended_up_s=_seconds(ended),
        before=bodies[1],
        after=after,
        parts=_parts(names[2:-2], bodies[2:-2], where=where),
    )


def _seconds(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,12}", text, re.ASCII) else None


def _sections(text: str, mark: str) -> tuple[list[str], list[str]]:
    """Return the words behind the marks, and what follows each up to the next."""
    names, bodies = [], []
    for piece in text.split(_MARKED.format(mark))[1:]:
        name, _, body = piece.partition("\n")
        names.append(name)
        bodies.append(body)
    return names, bodies


def _parts(names: Sequence[str], bodies: Sequence[str], *, where: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    for name, body in zip(names, bodies, strict=True):
        status = re.fullmatch(r"status (\d{1,3})", name, re.ASCII)
        if name == "part":
            parts.append(Part(status=None, output=body))
        elif not parts or (status is None and name != "errors"):
            raise _damaged(where, f"it holds '{printable(name, limit=40)}' at a wrong place")
        elif status is not None:
            parts[-1] = Part(status=int(status[1]), output=parts[-1].output)
        else:
            parts[-1] = Part(status=parts[-1].status, output=parts[-1].output, errors=body)
    if not parts:
        raise _damaged(where, "it holds no process")
    return tuple(parts)


def _damaged(where: str, why: str) -> DataError:
    return DataError(f"{where} is damaged: {why}. The visit is made again.")
