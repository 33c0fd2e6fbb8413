"""A profile on a remote device, phase by phase."""

import posixpath
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from secrets import token_hex
from time import monotonic, sleep
from typing import Final

from hwnat.device.gate import wait_until_ready
from hwnat.device.probe import read_state
from hwnat.device.runners.base import Answering
from hwnat.errors import DataError, DeviceError, TransientDeviceError
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import Conditions, Measurement, Setup, lower_quartile
from hwnat.remote.blocks import Work, start, stop
from hwnat.remote.collect import Seen, UnsteadyError, judge, look
from hwnat.remote.compare import compare
from hwnat.remote.depot import Depot
from hwnat.remote.hold import held, renew
from hwnat.remote.lease import Lease
from hwnat.remote.reach import Pace, Reached, naming, reached
from hwnat.remote.release import sweep
from hwnat.targets.visits import Due, Files, Tell, Timer
from hwnat.transport.words import printable

#: How often a failed visit is repeated.
REPEATS: Final = 3
#: How often a visit is repeated that was not steady: on a busy device one in ten may not be.
UNSTEADY_REPEATS: Final = 9
#: Blocks in a row without a result that counts; then something is wrong that does not pass.
_BARREN: Final = 3
_LOW_KIB: Final = 1024
_FIRST_PAUSE_S: Final = 0.2
#: The pause after a look is this many times as long as the look, which takes the device's time too.
_QUIET: Final = 3.0
#: A driver that makes no visit for this long beyond the time limit of its processes is frozen.
_FROZEN_S: Final = 30.0
#: Token of no block.
_NO_BLOCK: Final = "0" * 32


@contextmanager
def device_timer(
    spec: DeviceSpec, *, tell: Tell, pace: Pace | None = None
) -> Iterator["DeviceTimer"]:
    """Reach a device, bring its runner there and yield what times models with it.

    Raises:
        UsageError: it is not the device that its file describes, or cannot be used like this.
        DeviceError: it cannot be reached, or the runner does not work there.
    """
    with reached(spec, tell=tell, pace=pace) as at:
        yield DeviceTimer(at=at)


@dataclass(slots=True, kw_only=True)
class DeviceTimer:
    """Times models on a remote device; see `hwnat.targets.visits.Timer`."""

    at: Reached
    _compared: set[str] = field(default_factory=set)

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Describe the device and its runner; see `Timer.setup`."""
        return self.at.setup(reference=reference, batch=batch)

    def visits(
        self, due: Sequence[Due], *, files: Files, setup: Setup, rounds: int, kept: bool = True
    ) -> Generator[Measurement, None, None]:
        """Make visits in blocks on the device; see `Timer.visits`.

        Results that an earlier command left there with this setup are collected first.
        """
        del rounds  # each visit loads its models anew
        name = setup.id if kept else f"{setup.id}-{token_hex(4)}"
        folder = posixpath.join(self.at.jobs, name)
        depot = Depot(self.at.link, self.at.probe)
        profile = RemoteProfile(
            work=Work(at=self.at, folder=folder, setup=setup, files=files, depot=depot),
            due={setup.job(subject, round_): (round_, subject) for round_, subject in due},
            kept=kept,
            compared=self._compared,
        )
        try:
            yield from profile.visits()
        except DeviceError as failed:
            words = naming(str(failed), self.at.spec.name, self.at.probe.address)
            running = isinstance(failed, TransientDeviceError)
            kept_words = (
                f"{profile.made} of {len(due)} visits are kept"
                f"{', and the device continues its block' if running else ''}: run the same "
                "command again to measure the rest."
            )
            next_step = kept_words if kept else "Then run the same command again."
            msg = f"{words.rstrip('.')}. {next_step}"
            raise type(failed)(msg) from failed


@dataclass(slots=True, kw_only=True)
class RemoteProfile:
    """Visits of one setup on one device: hold, collect, compare, make blocks, release.

    Attributes:
        work: what is measured where.
        due: job -> visit, in order; repeated ones come last.
        kept: whether a later command with this setup may take over what is left on the device.
        compared: reference models whose answers have been compared.
        made: how many visits are done.
        failed: job -> why it failed last; `given_up` has those that are not repeated.
    """

    work: Work
    due: dict[str, Due]
    kept: bool
    compared: set[str]
    made: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    _tries: Counter[str] = field(default_factory=Counter)
    _yielded: set[str] = field(default_factory=set)
    _references_ns: list[float] = field(default_factory=list)
    _lease: Lease = field(init=False)
    _lost: bool = False
    _barren: int = 0
    _boot: str = ""
    _visit_s: float | None = None

    def visits(self) -> Generator[Measurement, None, None]:
        """Make all visits that are due."""
        at, begun = self.work.at, False
        while not begun or self.due:
            # A restart undoes the settings of a device, and a device that has not heard from this
            # host for long restores them itself. Then it is held again.
            workdir = at.probe.workdir
            with held(at.bare, at.spec, at.machine, folder=workdir, tell=at.tell) as self._lease:
                self._hold()
                if not begun:
                    yield from self._collect(_NO_BLOCK, ())
                    sweep(at.link, at.jobs)  # an earlier command may have been killed
                    self._compare()
                    begun = True
                yield from self._blocks()
                if not self.kept and not self.due and not self._lost:
                    sweep(at.link, at.jobs)
        if self.given_up:
            raise self._hopeless()

    def _hold(self) -> None:
        """Make sure that the device is held as it was before.

        Raises:
            DeviceError: it no longer holds its clocks, or holds them now.
        """
        self._lost = False
        self.work.depot.forget()
        was, now, name = self.work.setup.clocks, self._lease.clocks, self.work.at.spec.name
        if was != now:
            msg = (
                f"{name} was measured with {was} clocks and has {now} clocks now; restart it, or "
                "set `clocks` in the device file and profile it again."
            )
            raise DeviceError(msg)

    def _compare(self) -> None:
        """Check once that the device computes what this machine does.

        Raises:
            DeviceError: it does not.
        """
        setup, work, runner = self.work.setup, self.work, self.work.at.runner
        if setup.reference in self.compared or not isinstance(runner, Answering):
            return
        model = work.files.path(setup.reference)
        work.depot.place([model])
        session, _ = work.files.load(setup.reference, threads=setup.threads)
        compare(work.at, runner, session, work.depot.path(model))
        self.compared.add(setup.reference)

    def _blocks(self) -> Generator[Measurement, None, None]:
        """Make blocks until nothing is due or the device has to be held again.

        Raises:
            DeviceError: the device is unfit or its disk is full, or several blocks in a row had no
                result that counts.
        """
        while self.due and not self._lost:
            made = self.made
            yield from self._block()
            self._barren = 0 if self.made > made else self._barren + 1
            if self._barren >= _BARREN:
                raise self._hopeless()

    def _block(self) -> Generator[Measurement, None, None]:
        """Have the device make some visits by itself, and yield their measurements."""
        work, pace = self.work, self.work.at.pace
        spec = work.at.spec
        wait_until_ready(self._state, spec.gate, cores=spec.threads, tell=work.at.tell)
        size = pace.first if self._visit_s is None else round(pace.block_s / self._visit_s)
        jobs = list(islice(self.due, max(1, size)))
        subjects = dict.fromkeys((work.setup.reference, *(self.due[job][1] for job in jobs)))
        paths = (work.files.path(subject) for subject in subjects)
        work.depot.place(paths, between=self._renew)
        self._renew()
        if self._lost:
            return  # another host may hold the device by now
        token = start(work, [work.visit(self.due[job]) for job in jobs])
        began = monotonic()
        try:
            seen = yield from self._collect(token, jobs)
        except TransientDeviceError:
            raise  # the device continues, and the next command collects what it made
        except BaseException:
            with suppress(DeviceError):
                stop(work, token)
            raise
        self._visit_s = (monotonic() - began) / len(jobs)
        self._require_room(seen)

    def _state(self) -> Conditions:
        self._renew()
        return read_state(self.work.at.link)

    def _renew(self) -> None:
        """Say that this host is there; a device that has released itself is held again."""
        try:
            renew(self._lease)
        except TransientDeviceError:
            return  # the next call waits for the link
        except DeviceError as given_up:
            if not self._lost:
                self.work.at.tell(str(given_up))
            self._lost = True

    def _collect(self, token: str, jobs: Sequence[str]) -> Generator[Measurement, None, Seen]:
        """Yield what counts of all new results until the block has ended; return the last look.

        Args:
            token: of the block.
            jobs: of its visits, in order.
        """
        at, done, waiting = self.work.at, list[str](), dict.fromkeys(jobs)
        pause_s, heard = _FIRST_PAUSE_S, monotonic()
        while True:
            began = monotonic()
            seen = look(at.link, self.work.folder, token=token, done=done)
            looked = monotonic()
            measurements, done = self._take(seen)
            # A measurement is stored once the next one is asked for; only then its file may go.
            yield from measurements
            if self._boot not in ("", seen.boot):
                at.tell(f"{at.spec.name} was restarted; what it had measured is kept.")
                self._lost = True
            self._boot = seen.boot
            if not seen.lives and not seen.files:
                return seen
            for file in seen.files:
                waiting.pop(file.job, None)
            # Waiting for a lost link is not the driver's fault.
            heard = monotonic() if seen.files else heard + (looked - began)
            if seen.lives and monotonic() - heard > self._longest_s():
                self._thaw(token, next(iter(waiting), None), monotonic() - heard)
                return seen
            self._renew()
            if not seen.more:
                sleep(max(pause_s, _QUIET * (looked - began)))
            pause_s = min(1.5 * pause_s, at.pace.poll_s)

    def _longest_s(self) -> float:
        """Return how long a visit can take."""
        processes = 1 if self.work.setup.alternation == "runs" else 3
        return processes * (self.work.at.pace.limit_s + 2) + _FROZEN_S

    def _thaw(self, token: str, job: str | None, silent_s: float) -> None:
        """End a block whose driver makes no more visits; the visit under way is repeated last."""
        name = self.work.at.spec.name
        stop(self.work, token, wait_s=0)
        reason = f"{name} finished no visit for {silent_s:.0f} s, so its block was stopped"
        if job is None:
            self.work.at.tell(f"{reason}.")
        else:
            self._repeat(job, reason, most=REPEATS)

    def _take(self, seen: Seen) -> tuple[list[Measurement], list[str]]:
        """Judge the results of a look.

        Returns:
            Measurements to keep, none a second time; and the names of all files judged.
        """
        measurements, swayed = [], list[str]()
        for file in seen.files:
            if file.job in self._yielded:
                continue
            try:
                measurement = judge(self.work, file, seen, self._references_ns)
            except UnsteadyError as reason:  # a block may have many, so they are told together
                if self._again(file.job, str(reason), most=UNSTEADY_REPEATS):
                    swayed.append(self.failed[file.job])
                continue
            except (DeviceError, DataError) as problem:
                self._repeat(file.job, str(problem), most=REPEATS)
                continue
            if measurement is None:
                continue
            self._yielded.add(file.job)
            self._references_ns.append(lower_quartile(measurement.reference_ns))
            self.made += self.due.pop(file.job, None) is not None
            measurements.append(measurement)
        if swayed:
            count, last = len(swayed), swayed[-1]
            self.work.at.tell(
                f"Repeating {last}" if count == 1 else f"Repeating {count} visits, such as {last}"
            )
        return measurements, [file.name for file in seen.files]

    def _repeat(self, job: str, reason: str, *, most: int) -> None:
        if self._again(job, reason, most=most):
            self.work.at.tell(f"Repeating {self.failed[job]}")

    def _again(self, job: str, reason: str, *, most: int) -> bool:
        """Put a visit last, or give it up; return whether it is repeated."""
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

    def _require_room(self, seen: Seen) -> None:
        """Say if a block stopped early.

        Raises:
            DeviceError: the disk is full.
        """
        name, workdir = self.work.at.spec.name, self.work.at.probe.workdir
        low = seen.free_kib is not None and seen.free_kib < _LOW_KIB
        if seen.status == "full" or (not seen.status and low):
            left = "" if seen.free_kib is None else f" ({seen.free_kib} KiB left)"
            msg = (
                f"The disk of {name} is full{left}: delete files there, or set another workdir "
                f"than {workdir} in the device file."
            )
            raise DeviceError(msg)
        if not seen.status and not seen.lives:
            self.work.at.tell(f"{name} stopped early; continuing with the remaining visits.")

    def _hopeless(self) -> DeviceError:
        """Return the error for visits that cannot be made."""
        name, lost = self.work.at.spec.name, self.given_up or self.failed
        if not lost:
            return DeviceError(
                f"{name} ends every block before a visit is made; something there kills it. Find "
                f"out why with: hwnat device doctor {name}"
            )
        example = list(lost.values())[-1].rstrip(".")
        count = f"{len(lost)} visit{'s' if len(lost) > 1 else ''}"
        return DeviceError(
            f"{count} failed every time, such as {example}. Find out why with: hwnat device "
            f"doctor {name}"
        )


_CHECK: type[Timer] = DeviceTimer
