"""Blocks: visits that a device makes by itself, even while the link is lost."""

import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import Final

from hwnat.device.runners.base import Order
from hwnat.errors import DataError, DeviceError
from hwnat.records.measurement import Setup
from hwnat.remote.depot import Depot
from hwnat.remote.reach import Reached
from hwnat.targets.visits import Due, Files
from hwnat.transport.shell import program, script
from hwnat.transport.words import printable

_CALL_S: Final = 60.0
#: How long the current visit may take to end when a block is stopped.
_STOP_S: Final = 10
_NOT_LINES: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A visit for a device to make.

    Attributes:
        job: name of the visit, as `Setup.job` returns it.
        digest: digest of the files that the visit runs; a result must have the same one.
        round: number of the round, from 0.
        subject: key of the operation or network.
        commands: commands in order, one for each process.
    """

    job: str
    digest: str
    round: int
    subject: str
    commands: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        words = (self.subject, *(word for command in self.commands for word in command))
        if not self.commands or any(_NOT_LINES.search(word) for word in words):
            msg = f"{printable(self.subject)}: a command is not a line of text: {self.commands}."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The models to time on a device with one setup.

    Attributes:
        at: the device.
        folder: folder of the setup on the device.
        setup: the setup of every visit.
        files: the model files on this machine.
        depot: the model files on the device.
    """

    at: Reached
    folder: str
    setup: Setup
    files: Files
    depot: Depot

    def digest(self, subject: str) -> str:
        """Return a digest of the files of a model and of the reference model."""
        paths = [self.files.path(key) for key in (subject, self.setup.reference)]
        return "-".join(self.depot.digest(path)[:16] for path in paths)

    def visit(self, due: Due) -> Visit:
        """Return the commands of a visit."""
        round_, subject = due
        keys = (subject, self.setup.reference)
        model, reference = (self.depot.path(self.files.path(key)) for key in keys)
        pairs: tuple[tuple[str, str | None], ...] = ((model, reference),)
        if self.setup.alternation == "processes":
            pairs = ((reference, None), (model, None), (reference, None))
        commands = []
        for first, second in pairs:
            order = Order(
                model=first,
                reference=second,
                threads=self.setup.threads,
                runs=self.setup.runs,
                warmup=self.setup.warmup,
                visit_ms=self.setup.visit_ms,
            )
            commands.append((*self.at.pin, *self.at.runner.argv(order, folder=self.at.tools)))
        return Visit(
            job=self.setup.job(subject, round_),
            digest=self.digest(subject),
            round=round_,
            subject=subject,
            commands=tuple(commands),
        )


def plan_text(visits: Sequence[Visit], *, limit_s: int) -> str:
    """Return the plan of a block, for the script `driver.sh`.

    Args:
        visits: in the order in which they are made.
        limit_s: time limit of each process.
    """
    lines = []
    for visit in visits:
        head = ("visit", visit.job, str(limit_s), visit.digest, str(visit.round), visit.subject)
        lines.append(f"{shlex.join(head)} && {{")
        lines += [shlex.join(("part", *command)) for command in visit.commands]
        lines.append("keep; }")
    return "".join(f"{line}\n" for line in lines)


def start(work: Work, visits: Sequence[Visit]) -> str:
    """Start a block of visits on the device and return its token.

    If an earlier command left a block running, wait for it to end first.

    Raises:
        DeviceError: the block does not start.
    """
    at, pace, token = work.at, work.at.pace, token_hex(16)
    most_s = round(10 * pace.block_s)
    _send(work, "driver", program("remote/driver"))
    _send(work, f"plan-{token}", plan_text(visits, limit_s=pace.limit_s))
    argv = script("remote/start", dir=work.folder, token=token, most_s=str(most_s))
    began, told = monotonic(), False
    while True:
        answer = at.link.run(argv, timeout_s=_CALL_S).check().stdout.strip()
        if answer == "started":
            return token
        if answer != "busy" or monotonic() - began > most_s + pace.limit_s:
            msg = (
                f"Device {at.spec.name} did not start a block of {len(visits)} visits; it "
                f"printed '{printable(answer, limit=40)}'. Restart the device, then run the same "
                "command again."
            )
            raise DeviceError(msg)
        if not told:
            at.tell(f"Device {at.spec.name}: waiting for the block of an earlier command to end.")
            told = True
        sleep(1.0)


def _send(work: Work, name: str, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8", newline="\n")
        work.at.link.push(path, f"{work.folder}/{name}")


def stop(work: Work, token: str, *, wait_s: int | None = None) -> None:
    """Stop a block after its current visit; a lost link is not waited for.

    Args:
        work: the models that the block times.
        token: token of the block.
        wait_s: how long the current visit may still take; None allows `_STOP_S`.

    Raises:
        DeviceError: the device does not answer.
    """
    wait_s = _STOP_S if wait_s is None else wait_s
    argv = script("remote/stop", dir=work.folder, token=token, wait_s=str(wait_s))
    work.at.bare.run(argv, timeout_s=2 * _STOP_S)
