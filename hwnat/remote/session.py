"""A setup on a device, block by block, until all of its visits are made."""

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from time import monotonic, sleep
from typing import Final

from hwnat.device.gate import wait_until_ready
from hwnat.device.probe import read_state
from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Measurement
from hwnat.remote.block import Blocks
from hwnat.remote.collect import Seen, look
from hwnat.remote.lease import Lease, held
from hwnat.remote.visits import Maker, Queue
from hwnat.targets.visits import Tell
from hwnat.transport.base import Transport

#: Blocks in a row without a result that counts; then something is wrong that does not pass.
_BARREN: Final = 3
_LOW_KIB: Final = 1024
_FIRST_PAUSE_S: Final = 0.2
#: The pause after a look is so many times as long as the look.
_QUIET: Final = 3.0
#: Of no block.
_NO_TOKEN: Final = "0" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a device is asked, and how long it works by itself.

    Attributes:
        patience_s: how long a lost link is waited for.
        poll_s: between two looks at a device that is at work, at most.
        block_s: what the visits of a block should take; the first one is short.
        first: visits of the first block.
        limit_s: what one process may take.
    """

    patience_s: float = 300.0
    poll_s: float = 1.5
    block_s: float = 40.0
    first: int = 8
    limit_s: int = 60


@dataclass(slots=True, kw_only=True)
class Session:
    """Visits of one setup on one device.

    Attributes:
        link: to the device, patient.
        bare: the same link, for what must not be repeated by itself.
        folder: of the setup, on the device.
        first: done before the first block.
        last: done after the last one, while the device is still held.
    """

    link: Transport
    bare: Transport
    spec: DeviceSpec
    machine: Machine
    workdir: str
    folder: str
    maker: Maker
    queue: Queue
    pace: Pace
    tell: Tell
    first: Callable[[], None]
    last: Callable[[], None]
    _lease: Lease = field(init=False)
    _anew: bool = False
    _boot: str = ""
    _blocks: Blocks | None = None
    _visit_s: float | None = None

    def visits(self) -> Generator[Measurement, None, None]:
        """Make all visits of the queue; see `hwnat.profile.timer.Timer.visits`."""
        begun, barren = False, 0
        while not begun or self.queue.due:
            # A restart undoes the settings of the device, and one that has not heard of this host
            # for long undoes them itself; so they are made anew.
            with held(
                self.bare, self.spec, self.machine, folder=self.workdir, tell=self.tell
            ) as self._lease:
                self._anew, self._blocks = False, None
                self.maker.depot.forget()
                if self._lease.clocks != self.maker.setup.clocks:
                    raise self._other_clocks()
                if not begun:
                    yield from self._collect(_NO_TOKEN)
                    self.first()
                    begun = True
                while self.queue.due and not self._anew:
                    had = self.queue.made
                    yield from self._block()
                    barren = 0 if self.queue.made > had else barren + 1
                    if barren >= _BARREN:
                        raise self._hopeless()
                if not self.queue.due and not self._anew:
                    self.last()
        if self.queue.given_up:
            raise self._hopeless()

    def _block(self) -> Generator[Measurement, None, None]:
        """Have the device make some visits by itself, and yield what came of them."""
        wait_until_ready(self._state, self.spec.gate, cores=self.spec.threads, tell=self.tell)
        some = list(islice(self.queue.due.values(), self._size()))
        files = self.maker.files
        subjects = dict.fromkeys((self.maker.setup.reference, *(subject for _, subject in some)))
        paths = (files.path(each) for each in subjects)
        self.maker.depot.place(paths, between=self._renew)
        blocks = self._blocks or Blocks(
            link=self.link,
            folder=self.folder,
            limit_s=self.pace.limit_s,
            most_s=round(10 * self.pace.block_s),
            tell=self.tell,
        )
        self._blocks = blocks
        self._renew()
        if self._anew:
            return  # the device may be another host's by now
        token = blocks.start([self.maker.visit(each) for each in some])
        began = monotonic()
        try:
            seen = yield from self._collect(token)
        except TransientDeviceError:
            raise  # the device goes on, and the next command finds what it made
        except BaseException:
            with suppress(DeviceError):
                replace(blocks, link=self.bare).stop(token)
            raise
        self._visit_s = (monotonic() - began) / len(some)
        self._judge(seen)

    def _size(self) -> int:
        """Return how many visits the next block has."""
        if self._visit_s is None:
            return self.pace.first
        return max(1, round(self.pace.block_s / self._visit_s))

    def _state(self) -> Conditions:
        self._renew()
        return read_state(self.link)

    def _renew(self) -> None:
        """Say that this host is there; a device that has given it up is taken anew."""
        try:
            self._lease.renew()
        except TransientDeviceError:
            return  # who asks the device next waits for its link
        except DeviceError as given_up:
            if not self._anew:
                self.tell(str(given_up))
            self._anew = True

    def _collect(self, token: str) -> Generator[Measurement, None, Seen]:
        """Yield what counts of all that is new until the block has ended; return the last look."""
        done: list[str] = []
        pause = _FIRST_PAUSE_S
        while True:
            began = monotonic()
            seen = look(self.link, self.folder, token=token, done=done)
            looked = monotonic()
            found, done = self.queue.take(seen, self.maker)
            # What is yielded is kept once the next is asked for; only then may it go there.
            yield from found
            if self._boot not in ("", seen.boot):
                self.tell(f"{self.spec.name} was restarted; what it had made is kept.")
                self._anew = True
            self._boot = seen.boot
            if not seen.lives and not seen.files:
                return seen
            self._renew()
            if not seen.more:
                # A look takes some of the device's time, too.
                sleep(max(pause, _QUIET * (looked - began)))
            pause = min(1.5 * pause, self.pace.poll_s)

    def _judge(self, seen: Seen) -> None:
        """Say how a block ended that did not come to its end.

        Raises:
            DeviceError: the disk is full.
        """
        low = seen.free_kib is not None and seen.free_kib < _LOW_KIB
        if seen.status == "full" or (not seen.status and low):
            left = "" if seen.free_kib is None else f" ({seen.free_kib} KiB are left)"
            msg = f"The disk of {self.spec.name} is full{left}: delete files there, or set another "
            raise DeviceError(msg + f"workdir than {self.workdir} in the device file.")
        if not seen.status:
            self.tell(f"{self.spec.name} ended the block before all was done; makes the rest.")

    def _other_clocks(self) -> DeviceError:
        was, now = self.maker.setup.clocks, self._lease.clocks
        return DeviceError(
            f"{self.spec.name} was measured with {was} clocks and has {now} ones now; restart it, "
            "or profile it anew with `clocks` set in the device file."
        )

    def _hopeless(self) -> DeviceError:
        """Return the error for visits that cannot be made."""
        lost = self.queue.given_up or self.queue.failed
        if not lost:
            return DeviceError(
                f"{self.spec.name} ends every block before a visit is made; something there kills "
                f"it. See: hwnat device doctor {self.spec.name}"
            )
        which = list(lost.values())[-1]
        return DeviceError(
            f"{len(lost)} visits cannot be made, however often they are tried, such as "
            f"{which.rstrip('.')}. See what stands in the way: hwnat device doctor {self.spec.name}"
        )
