"""The phases of a profile on a remote device."""

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
#: How often an unsteady visit is repeated; on a busy device, one visit in ten is unsteady.
UNSTEADY_REPEATS: Final = 9
#: After this number of blocks in a row without a valid result, the profile fails.
_BARREN: Final = 3
_LOW_KIB: Final = 1024
_FIRST_PAUSE_S: Final = 0.2
#: A pause is at least this many times as long as the call before it, which loads the device.
_QUIET: Final = 3.0
#: A driver counts as frozen after this time beyond the time limits of a visit's processes.
_FROZEN_S: Final = 30.0
#: A token that no block has.
_NO_BLOCK: Final = "0" * 32


@contextmanager
def device_timer(
    spec: DeviceSpec, *, tell: Tell, pace: Pace | None = None
) -> Iterator["DeviceTimer"]:
    """Connect to a device, install its runner and yield a timer for it.

    Raises:
        UsageError: the device is not the one that its file describes, or lacks what the file needs.
        DeviceError: the device cannot be reached, or the runner does not work on it.
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

        Results that an earlier command with this setup left on the device are collected first.
        """
        del rounds  # every visit reloads its models
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
    """The visits of one setup on one device: hold, collect, compare, make blocks, release.

    Attributes:
        work: the models to time, and the device.
        due: job -> visit, in order; repeated visits come last.
        kept: whether a later command with this setup may collect results that are left on the
            device.
        compared: reference models whose outputs have been compared.
        made: number of visits that are done.
        failed: job -> reason for its last failure.
        given_up: job -> reason, for visits that are not repeated any more.
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
            # A device loses its settings when it restarts, and restores them when it has not heard
            # from this host for a while. Then it must be held again.
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
        """Check that the clocks of the device are held as they were in the setup.

        Raises:
            DeviceError: the device no longer holds its clocks, or has begun to hold them.
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
        """Compare the output of the reference model with this machine's, once.

        Raises:
            DeviceError: the outputs differ.
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
            DeviceError: the device does not get ready, its disk is full, or several blocks in a row
                had no valid result.
        """
        while self.due and not self._lost:
            made = self.made
            yield from self._block()
            self._barren = 0 if self.made > made else self._barren + 1
            if self._barren >= _BARREN:
                raise self._hopeless()

    def _block(self) -> Generator[Measurement, None, None]:
        """Run one block of visits on the device and yield their measurements."""
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
            raise  # the device continues its block, and the next command collects the results
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
        """Renew the lease; if the device has released itself, note that it must be held again."""
        try:
            renew(self._lease)
        except TransientDeviceError:
            return  # the next call waits for the link
        except DeviceError as given_up:
            if not self._lost:
                self.work.at.tell(str(given_up))
            self._lost = True

    def _collect(self, token: str, jobs: Sequence[str]) -> Generator[Measurement, None, Seen]:
        """Yield the valid new measurements until the block has ended; return its last state.

        Args:
            token: token of the block.
            jobs: jobs of the block's visits, in order.
        """
        at, done, waiting = self.work.at, list[str](), dict.fromkeys(jobs)
        pause_s, heard = _FIRST_PAUSE_S, monotonic()
        while True:
            began = monotonic()
            seen = look(at.link, self.work.folder, token=token, done=done)
            looked = monotonic()
            measurements, done = self._take(seen)
            # The caller stores a measurement before it requests the next one, so the device may
            # delete the files only after the loop.
            yield from measurements
            if self._boot not in ("", seen.boot):
                at.tell(f"{at.spec.name} was restarted; its measurements are kept.")
                self._lost = True
            self._boot = seen.boot
            if not seen.lives and not seen.files:
                return seen
            for file in seen.files:
                waiting.pop(file.job, None)
            # The time spent on a lost link does not count against the driver.
            heard = monotonic() if seen.files else heard + (looked - began)
            if seen.lives and monotonic() - heard > self._longest_s():
                self._thaw(token, next(iter(waiting), None), monotonic() - heard)
                return seen
            self._renew()
            if not seen.more:
                sleep(max(pause_s, _QUIET * (looked - began)))
            pause_s = min(1.5 * pause_s, at.pace.poll_s)

    def _longest_s(self) -> float:
        """Return the longest time that a visit can take."""
        processes = 1 if self.work.setup.alternation == "runs" else 3
        return processes * (self.work.at.pace.limit_s + 2) + _FROZEN_S

    def _thaw(self, token: str, job: str | None, silent_s: float) -> None:
        """Stop a block whose driver is frozen; its current visit is repeated last."""
        name = self.work.at.spec.name
        stop(self.work, token, wait_s=0)
        reason = f"{name} finished no visit for {silent_s:.0f} s, so its block was stopped"
        if job is None:
            self.work.at.tell(f"{reason}.")
        else:
            self._repeat(job, reason, most=REPEATS)

    def _take(self, seen: Seen) -> tuple[list[Measurement], list[str]]:
        """Judge the new results.

        Returns:
            The measurements to keep, without those that were yielded before; and the names of all
            judged files.
        """
        measurements, swayed = [], list[str]()
        for file in seen.files:
            if file.job in self._yielded:
                continue
            try:
                measurement = judge(self.work, file, seen, self._references_ns)
            except UnsteadyError as reason:  # a block may have many, so one message reports all
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
        """Move a visit to the end, or give it up; return whether it will be repeated."""
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
        """Check the disk after a block, and report a block that stopped early.

        Raises:
            DeviceError: the disk of the device is full.
        """
        name, workdir = self.work.at.spec.name, self.work.at.probe.workdir
        low = seen.free_kib is not None and seen.free_kib < _LOW_KIB
        if seen.status == "full" or (not seen.status and low):
            left = "" if seen.free_kib is None else f" ({seen.free_kib} KiB left)"
            msg = (
                f"The disk of {name} is full{left}: delete files there, or set a workdir other "
                f"than {workdir} in the device file."
            )
            raise DeviceError(msg)
        if not seen.status and not seen.lives:
            self.work.at.tell(f"{name} stopped early; continuing with the remaining visits.")

    def _hopeless(self) -> DeviceError:
        """Return the error for visits that failed for good."""
        name, lost = self.work.at.spec.name, self.given_up or self.failed
        if not lost:
            return DeviceError(
                f"Every block on {name} ended before its first visit; something there kills the "
                f"blocks. Find out why with: hwnat device doctor {name}"
            )
        example = list(lost.values())[-1].rstrip(".")
        count = f"{len(lost)} visit{'s' if len(lost) > 1 else ''}"
        return DeviceError(
            f"{count} failed every time, such as {example}. Find out why with: hwnat device "
            f"doctor {name}"
        )


_CHECK: type[Timer] = DeviceTimer
