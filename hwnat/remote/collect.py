"""Collects results from a device, checks their hashes and decides which of them count."""

import hashlib
import re
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from hwnat.device.runners.base import Timed
from hwnat.device.state import parse_state
from hwnat.device.steady import unsteady
from hwnat.errors import DataError, DeviceError, TransientDeviceError
from hwnat.records.measurement import Measurement, lower_quartile
from hwnat.remote.blocks import Work
from hwnat.remote.results import Result, read_result
from hwnat.transport.base import Transport
from hwnat.transport.shell import script
from hwnat.transport.words import printable

#: Name of a result: the job of the visit, and the SHA-256 or MD5 of the file.
_NAME: Final = re.compile(r"([0-9a-f]{24})\.([0-9a-f]{64}|[0-9a-f]{32})", re.ASCII)
_HEAD: Final = re.compile(
    r"boot=(.{0,80})\nup=(\d{0,12})\nlives=(yes|no)\nstatus=([a-z]{0,12})\nfree=(\d{0,15})\n"
)
_POLL_S: Final = 120.0
#: Clocks of whole seconds are off by up to a second, and the programs around a visit take time.
_SLACK_S: Final = 2.0
#: A visit is refused if the time of its reference model differs by this factor from the median of
#: at least `_KNOWN` other visits. Throttling changes times by much less.
_ABSURD: Final = 5.0
_KNOWN: Final = 4


class UnsteadyError(DeviceError):
    """The state of the device changed during a visit, which is common on busy devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A result on the device.

    Attributes:
        name: name of the file on the device.
        text: content of the file; None if it could not be read correctly.
        problem: why `text` is None.
    """

    name: str
    text: str | None
    problem: str = "the result that arrived does not match its hash"

    @property
    def job(self) -> str:
        """Name of the visit."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state of a block on a device, with new results.

    Attributes:
        boot: identifier of the device's current boot; empty if it is unknown.
        up_s: seconds since that boot; None if they are unknown.
        lives: whether the driver of the block is running.
        status: how the block ended: done, stopped, late, full or failing; empty if the driver is
            running or was killed.
        free_kib: free disk space; None while the driver is running, or if it is unknown.
        files: new results.
        more: whether the device has further results.
    """

    boot: str
    up_s: int | None
    lives: bool
    status: str
    free_kib: int | None
    files: tuple[File, ...]
    more: bool


def look(link: Transport, folder: str, *, token: str, done: Sequence[str] = ()) -> Seen:
    """Read the state of a block and its new results.

    Args:
        link: link to the device.
        folder: folder of the setup on the device.
        token: token of the block.
        done: names of results that are stored here, so that the device may delete them.

    Raises:
        DeviceError: the link was lost, or the output is garbage.
    """
    mark = f"hwnat-{secrets.token_hex(16)}"
    argv = script("remote/poll", *done, dir=folder, mark=mark, token=token)
    text = link.run(argv, timeout_s=_POLL_S).check().stdout
    head, *pieces = text.split(f"\n{mark} ")
    values = _HEAD.fullmatch(head + "\n" if not head.endswith("\n") else head)
    if values is None or not pieces or pieces[-1] != "end\n":
        msg = (
            "The device did not report the state of its block. Run the same command again. It "
            f"printed: {printable(text, limit=200) or 'nothing'}"
        )
        raise DeviceError(msg)
    files = []
    for piece in pieces[:-1]:
        words, _, body = piece.partition("\n")
        kind, _, title = words.partition(" ")
        name = _NAME.fullmatch(title)
        if name is None:
            continue
        if kind == "large":
            files.append(File(name=name[0], text=None, problem="the result is over 8 MiB"))
            continue
        content = _checked(body, name[2])
        files.append(_again(link, folder, name[0]) if content is None else File(
            name=name[0], text=content
        ))  # fmt: skip
    boot, up, lives, status, free = values.groups()
    return Seen(
        boot=boot,
        up_s=int(up) if up else None,
        lives=lives == "yes",
        status=status,
        free_kib=int(free) if free else None,
        files=tuple(files),
        more=any(piece == "more" or piece.startswith("more\n") for piece in pieces),
    )


def _again(link: Transport, folder: str, name: str) -> File:
    """Pull a single result whose text did not match its hash."""
    digest = name.partition(".")[2]
    with tempfile.TemporaryDirectory(prefix="hwnat-") as here:
        path = Path(here) / "result"
        try:
            link.pull(f"{folder}/results/{name}", path)
        except TransientDeviceError:
            raise
        except DeviceError:
            return File(name=name, text=None)
        return File(name=name, text=_checked(path.read_bytes(), digest))


def _checked(content: str | bytes, digest: str) -> str | None:
    """Return the content as text if its hash is `digest`; None otherwise."""
    raw = content.encode() if isinstance(content, str) else content
    kind = "sha256" if len(digest) == 64 else "md5"
    if hashlib.new(kind, raw, usedforsecurity=False).hexdigest() != digest:
        return None
    return raw.decode("utf-8", "replace")


def judge(
    work: Work, file: File, seen: Seen, references_ns: Sequence[float] = ()
) -> Measurement | None:
    """Return the measurement of a result; None if it belongs to another setup or other files.

    Args:
        work: the models that are timed.
        file: the result.
        seen: the state of the device that came with the result.
        references_ns: typical time of the reference model in each earlier visit.

    Raises:
        UnsteadyError: the state of the device changed during the visit.
        DeviceError: a process failed.
        DataError: the result is damaged, or its times are impossible.
    """
    name = work.at.spec.name
    if file.text is None:
        msg = f"{name}: {file.problem}"
        raise DataError(msg)
    result = read_result(file.text, where=f"result {file.job} of {name}")
    if not _belongs(work, file, result):
        return None
    measurement = _measurement(work, result, seen)
    _require_possible(work, result, measurement, references_ns)
    reason = unsteady(measurement, gate=work.at.spec.gate, setup=work.setup)
    if reason is not None:
        msg = f"{name} was not steady: {reason}"
        raise UnsteadyError(msg)
    return measurement


def _belongs(work: Work, file: File, result: Result) -> bool:
    """Return whether a result belongs to this setup and to the current model files."""
    if work.setup.job(result.subject, result.round) != file.job or result.job != file.job:
        return False
    exists = work.files.path(result.subject).is_file()
    return exists and work.digest(result.subject) == result.digest


def _measurement(work: Work, result: Result, seen: Seen) -> Measurement:
    name, setup = work.at.spec.name, work.setup
    for part in result.parts:
        if part.failure is not None:
            msg = f"{name}: {setup.runner} {part.failure}"
            raise DeviceError(msg)
    where = f"{name}, {printable(result.subject)}"
    timed = [work.at.runner.read(part.output, where=where) for part in result.parts]
    samples, reference = _series(work, timed)
    started, ended = _times(result, seen)
    return Measurement(
        job=result.job,
        setup=setup.id,
        subject=result.subject,
        round=result.round,
        samples_ns=samples,
        reference_ns=reference,
        disturbed=sum(process.disturbed for process in timed),
        started=started,
        ended=ended,
        before=parse_state(result.before, at=started),
        after=parse_state(result.after, at=ended),
    )


def _series(work: Work, timed: Sequence[Timed]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the times of the model's runs and those of the reference model's runs."""
    if work.setup.alternation == "runs" and len(timed) == 1:
        return timed[0].samples_ns, timed[0].reference_ns
    if work.setup.alternation == "processes" and len(timed) == 3:
        first, model, last = timed
        return model.samples_ns, (*first.samples_ns, *last.samples_ns)
    msg = f"{work.at.spec.name}: {len(timed)} processes made one visit; run the same command again."
    raise DataError(msg)


def _require_possible(
    work: Work, result: Result, measurement: Measurement, references_ns: Sequence[float]
) -> None:
    """Refuse a visit whose times are impossible.

    Raises:
        DataError: the runs add up to more than the visit, or the time of the reference model is far
            from that in other visits.
    """
    name = work.at.spec.name
    claimed_s = (sum(measurement.samples_ns) + sum(measurement.reference_ns)) / 1e9
    lasted_s = float(len(result.parts) * work.at.pace.limit_s)
    if result.up_s is not None and result.ended_up_s is not None:
        lasted_s = max(0.0, result.ended_up_s - result.up_s) + _SLACK_S
    if claimed_s > lasted_s:
        msg = f"{name}: its runs add up to {claimed_s:g} s in a visit of {lasted_s:g} s"
        raise DataError(msg)
    if len(references_ns) >= _KNOWN:
        typical, own = median(references_ns), lower_quartile(measurement.reference_ns)
        if not typical / _ABSURD <= own <= typical * _ABSURD:
            msg = (
                f"{name}: the reference model took {own / 1e6:g} ms, but {typical / 1e6:g} ms in "
                "other visits"
            )
            raise DataError(msg)


def _times(result: Result, seen: Seen) -> tuple[str, str]:
    """Return the start and the end of a visit, by the clock of this machine.

    The clock of a board may be wrong by years. The times of a visit that was made before the device
    restarted are unknown, so they are set to now.
    """
    now = datetime.now(UTC)

    def at(up_s: int | None) -> str:
        ago_s = 0
        if result.boot == seen.boot and up_s is not None and seen.up_s is not None:
            ago_s = max(0, seen.up_s - up_s)
        return (now - timedelta(seconds=ago_s)).isoformat(timespec="milliseconds")

    return at(result.up_s), at(result.ended_up_s)
