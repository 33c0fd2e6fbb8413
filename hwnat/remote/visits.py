"""Which visits are still to be made on a device, and which of its results count."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from hwnat.device.probe import parse_state
from hwnat.device.runners.base import Order, Runner, Timed
from hwnat.device.steady import unsteady
from hwnat.errors import DataError, DeviceError
from hwnat.records.device import Gate
from hwnat.records.measurement import Measurement, Setup
from hwnat.remote.collect import File, Seen
from hwnat.remote.depot import Depot
from hwnat.remote.job import Result, Visit, read_result
from hwnat.targets.visits import Due, Files
from hwnat.transport.words import printable

#: How often a visit is made again that failed.
REPEATS: Final = 3
#: How often one is that was not steady: of a busy device's visits a tenth may be that each time.
SWAYS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Turns visits into commands of a runner, and results into measurements.

    Attributes:
        pin: words before a command that keep it on its cores.
        tools: folder of the runner's programs on the device.
        name: of the device, for messages.
        gate: what the device has to be like.
    """

    runner: Runner
    depot: Depot
    files: Files
    setup: Setup
    pin: tuple[str, ...]
    tools: str
    name: str
    gate: Gate

    def visit(self, due: Due) -> Visit:
        """Return what the device is asked to do for a visit."""
        round_, subject = due
        setup, (model, reference) = self.setup, self._paths(subject)
        if setup.alternation == "runs":
            pairs: tuple[tuple[str, str | None], ...] = ((model, reference),)
        else:
            pairs = ((reference, None), (model, None), (reference, None))
        orders = [
            Order(
                model=first,
                reference=second,
                threads=setup.threads,
                runs=setup.runs,
                warmup=setup.warmup,
                visit_ms=setup.visit_ms,
            )
            for first, second in pairs
        ]
        return Visit(
            job=setup.job(subject, round_),
            digest=self._digest(subject),
            round=round_,
            subject=subject,
            commands=tuple(
                (*self.pin, *self.runner.argv(each, folder=self.tools)) for each in orders
            ),
        )

    def belongs(self, file: File, result: Result) -> bool:
        """Whether a result is of this setup and of the files that are timed."""
        if self.setup.job(result.subject, result.round) != file.job or result.job != file.job:
            return False
        return (
            self.files.path(result.subject).is_file()
            and self._digest(result.subject) == result.digest
        )

    def measurement(self, result: Result, *, started: str, ended: str) -> Measurement:
        """Return what was measured.

        Raises:
            DeviceError: a process failed.
            DataError: what one printed is not what the runner prints.
        """
        for part in result.parts:
            if part.failure is not None:
                msg = f"{self.name}: {self.setup.runner} {part.failure}"
                raise DeviceError(msg)
        where = f"{self.name}, {printable(result.subject)}"
        timed = [self.runner.read(each.output, where=where) for each in result.parts]
        samples, reference = self._series(timed)
        return Measurement(
            job=result.job,
            setup=self.setup.id,
            subject=result.subject,
            round=result.round,
            samples_ns=samples,
            reference_ns=reference,
            disturbed=sum(each.disturbed for each in timed),
            started=started,
            ended=ended,
            before=parse_state(result.before, at=started),
            after=parse_state(result.after, at=ended),
        )

    def _series(self, timed: Sequence[Timed]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the runs of the model and those of the reference model.

        Raises:
            DataError: there are not as many processes as the setup has.
        """
        if self.setup.alternation == "runs" and len(timed) == 1:
            return timed[0].samples_ns, timed[0].reference_ns
        if self.setup.alternation == "processes" and len(timed) == 3:
            first, model, last = timed
            return model.samples_ns, (*first.samples_ns, *last.samples_ns)
        msg = f"{self.name}: {len(timed)} processes made one visit; run the same command again."
        raise DataError(msg)

    def _paths(self, subject: str) -> tuple[str, str]:
        model, reference = (self.files.path(key) for key in (subject, self.setup.reference))
        return self.depot.path(model), self.depot.path(reference)

    def _digest(self, subject: str) -> str:
        paths = [self.files.path(key) for key in (subject, self.setup.reference)]
        return "-".join(self.depot.digest(each)[:16] for each in paths)


@dataclass(slots=True, kw_only=True)
class Queue:
    """The visits that are still to be made, and why some had to be made again.

    Attributes:
        due: job -> visit, in order; those to be repeated come last.
        failed: job -> why it failed last.
        given_up: the same, of those that are not tried again.
        made: how many were.
    """

    due: dict[str, Due]
    tell: Callable[[str], None]
    failed: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    made: int = 0
    _tries: Counter[str] = field(default_factory=Counter)
    _yielded: set[str] = field(default_factory=set)
    _swayed: list[str] = field(default_factory=list)

    def take(self, seen: Seen, maker: Maker) -> tuple[list[Measurement], list[str]]:
        """Judge what a device had.

        Returns:
            Measurements to keep, none a second time; and the names of all files judged.
        """
        found = []
        for file in seen.files:
            try:
                if file.text is None:
                    self._repeat(file.job, f"{maker.name}: what arrived differs from its hash")
                elif (each := self._judged(file, file.text, seen, maker)) is not None:
                    found.append(each)
            except (DeviceError, DataError) as problem:
                self._repeat(file.job, str(problem))
        if self._swayed:
            count, last = len(self._swayed), self._swayed[-1]
            such = last if count == 1 else f"{count} visits, such as {last}"
            self.tell(f"Makes again: {such}")
            self._swayed.clear()
        return found, [file.name for file in seen.files]

    def _judged(self, file: File, text: str, seen: Seen, maker: Maker) -> Measurement | None:
        result = read_result(text, where=f"result {file.job} of {maker.name}")
        if file.job in self._yielded or not maker.belongs(file, result):
            return None
        started, ended = _times(result, seen)
        measured = maker.measurement(result, started=started, ended=ended)
        reason = unsteady(measured, gate=maker.gate, setup=maker.setup)
        if reason is not None:
            if self._again(file.job, f"{maker.name} was not steady: {reason}", most=SWAYS):
                self._swayed.append(self.failed[file.job])  # a block may have many
            return None
        self._yielded.add(file.job)
        self.made += self.due.pop(file.job, None) is not None
        return measured

    def _repeat(self, job: str, reason: str) -> None:
        if self._again(job, reason):
            self.tell(f"Makes again: {self.failed[job]}")

    def _again(self, job: str, reason: str, *, most: int = REPEATS) -> bool:
        """Put a visit last, or give it up; tell whether it is made again."""
        if job not in self.due:
            return False
        due = self.due.pop(job)
        self._tries[job] += 1
        self.failed[job] = f"{printable(due[1])}: {reason}"
        if self._tries[job] > most:
            self.given_up[job] = self.failed[job]
            return False
        self.due[job] = due
        return True


def _times(result: Result, seen: Seen) -> tuple[str, str]:
    """Return when a visit began and ended, by this machine's clock: a board may not know the day.

    Of one that was made before the device was restarted, only the order is known.
    """
    now = datetime.now(UTC)

    def at(up_s: int | None) -> str:
        known = result.boot == seen.boot and up_s is not None and seen.up_s is not None
        ago = seen.up_s - up_s if known and up_s is not None and seen.up_s is not None else 0
        return (now - timedelta(seconds=max(0, ago))).isoformat(timespec="milliseconds")

    return at(result.up_s), at(result.ended_up_s)


def due_jobs(due: Sequence[Due], setup: Setup) -> dict[str, Due]:
    """Return visits by their jobs."""
    return {setup.job(subject, round_): (round_, subject) for round_, subject in due}
