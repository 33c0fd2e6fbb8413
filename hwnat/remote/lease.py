"""A device held by one command: nobody else measures on it, and its settings come back.

On the device it is a folder, `lease`, made by the one that holds it: `owner`, its token and host;
`beat`, when the host was last heard of; `journal`, the settings as they were; `keeper`, the process
on the device that puts them back when nothing is heard any more and no block is under way.
"""

import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final, Literal

from hwnat.device.conditions import exclusive
from hwnat.device.settings import WORDS, Wanted, wanted
from hwnat.errors import DeviceError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.transport.base import Transport
from hwnat.transport.shell import program, refused, script
from hwnat.transport.words import device_path, printable

#: A host of which nothing was heard for so long is gone.
LEASE_S: Final = 90
#: A device that puts its settings back itself needs no longer, and this is who holds it then.
_RESTORING_S: Final = 40
_ITSELF: Final = "the-device-itself"
#: No block takes longer.
_BLOCK_S: Final = 900

_HELD: Final = re.compile(r"held (\d{1,12}) (\d{1,12}) ?(.*)", re.ASCII)
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


class Lease:
    """A device that this command holds.

    Attributes:
        clocks: `fixed` while the device holds them at a level that it can sustain.
        governor: the one asked for, if all cores have it.
    """

    def __init__(
        self,
        link: Transport,
        *,
        device: str,
        folder: str,
        tell: Callable[[str], None],
        lease_s: int,
    ) -> None:
        self.clocks: Literal["free", "fixed"] = "free"
        self.governor: str | None = None
        self.token = secrets.token_hex(16)
        self._link, self._device, self._tell, self._lease_s = link, device, tell, lease_s
        self._folder = device_path(folder)
        self._step_s = max(1, lease_s // 6)
        self._renewed_at = 0.0
        self._asked = False

    def renew(self) -> None:
        """Let the device know that this host is there; call it often, it rarely sends anything.

        Raises:
            DeviceError: the device has given this host up meanwhile, or another one holds it.
            TransientDeviceError: the link is lost.
        """
        if monotonic() - self._renewed_at < self._step_s / 2:
            return
        if "renewed" not in self._ask("renew", lease_s=str(self._lease_s)):
            raise self._given_up()
        self._renewed_at = monotonic()

    def take(self, *, known: str, only_look: bool = False) -> bool:
        """Take the device, or take over what a command that is gone has left.

        Args:
            known: tokens of commands of this host that have ended.
            only_look: take over only.

        Returns:
            Whether it was taken; it always is unless `only_look`.

        Raises:
            DeviceError: another host holds it.
        """
        me = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60] or "unnamed"
        how = "look" if only_look else "take"
        self._asked = True
        said = self._request(
            host_name=me,
            lease_s=str(self._lease_s),
            known=known,
            how=how,
            keeper=program("remote/keeper"),
            step_s=str(self._step_s),
        )
        if only_look and "taken" not in said:
            self._asked = False
            if "busy" in said:
                self._say(
                    "a block of an earlier command is under way; once it has ended, the device "
                    "puts its settings back itself"
                )
            return False
        if "taken" not in said:
            raise self._odd(said)
        if "left" in said:
            self._say("an earlier command ended without restoring its settings; taken over")
        self._renewed_at = monotonic()
        return True

    def _request(self, **words: str) -> list[str]:
        """Ask for the device, and again while it puts its settings back itself."""
        ends = monotonic() + _RESTORING_S
        while True:
            said = self._ask("take", **words)
            other = self._holder(said)
            if other is None:
                return said
            if other[3] != _ITSELF or monotonic() > ends:
                self._asked = False
                raise self._taken(other)
            sleep(1)

    def prepare(self, spec: DeviceSpec, machine: Machine | None) -> None:
        """Change the settings that `spec` asks for; see `held`. Each is noted there before.

        Raises:
            DeviceError: the device has given this host up meanwhile.
        """
        asked = Wanted() if machine is None else wanted(spec, machine)
        for hint in asked.hints:
            self._say(hint)
        said, ends, told = self._ask("prepare", **asked.words), monotonic() + _BLOCK_S, False
        while "busy" in said and monotonic() < ends:
            if not told:
                self._say("the block of an earlier command is not done yet; waiting for it")
            told = True
            sleep(1.0)
            self.renew()
            said = self._ask("prepare", **asked.words)
        if "lost" in said:
            raise self._given_up()
        if "done" not in said:
            raise self._odd(said)
        done, failed = self._named(said, "set"), self._named(said, "refused")
        if done:
            self._say(f"{', '.join(WORDS[each][1] for each in done)}; put back afterwards")
        for each in failed:
            self._say(WORDS[each][2])
        if "governor" in done + self._named(said, "has") and "governor" not in failed:
            self.governor = spec.governor
        self.clocks = "fixed" if "fixed_performance" in done else "free"

    def leave(self) -> None:
        """Put every setting back and let others have the device; tell what could not be."""
        if not self._asked:
            return
        itself = f"the device puts them back itself within {self._lease_s + 2 * self._step_s} s, "
        itself += "once a block under way has ended; or run: hwnat device doctor " + self._device
        try:
            said = self._ask("leave")
        except DeviceError as lost:
            self._say(f"settings are not put back from here ({lost}); {itself}")
            return
        except KeyboardInterrupt:
            self._say(f"interrupted before settings were put back; {itself}")
            raise
        if "busy" in said:
            self._say(f"its block goes on with the settings as they are; {itself}")
        back, failed = self._named(said, "restored"), self._named(said, "failed")
        if "lost" in said:
            self._say("the device has given this host up and has put its settings back itself")
        if back:
            self._say(f"put back: {', '.join(WORDS[each][0] for each in back)}")
        if failed:
            words = ", ".join(WORDS[each][0] for each in failed)
            self._say(f"it does not let go of: {words}; {itself}")

    def _ask(self, name: str, **words: str) -> list[str]:
        argv = script(f"remote/{name}", folder=self._folder, token=self.token, **words)
        done = self._link.run(argv, timeout_s=60)
        if done.returncode:
            raise self._odd([done.stderr or done.stdout])
        return done.stdout.splitlines()

    def _odd(self, said: list[str]) -> DeviceError:
        return refused(f"Cannot hold device {self._device}", " ".join(said))

    def _holder(self, said: list[str]) -> re.Match[str] | None:
        """Return since when, how long still and by whom the device is held; None if it is not."""
        return next((_HELD.fullmatch(line) for line in said if line.startswith("held ")), None)

    def _taken(self, by: re.Match[str]) -> DeviceError:
        return DeviceError(
            f"Device {self._device} is in use by host '{printable(by[3]) or '?'}', heard of "
            f"{by[1]} s ago. Wait until it is done, or stop it there; if it is gone, the device "
            f"gives it up in {by[2]} s by itself."
        )

    def _given_up(self) -> DeviceError:
        return DeviceError(
            f"Device {self._device} heard nothing of this host for {self._lease_s} s, and has "
            "given it up. What was measured is kept; run the same command again."
        )

    def _named(self, said: list[str], how: str) -> list[str]:
        """Return the settings of which a script said something, once each."""
        found = [line.partition(" ")[2] for line in said if line.startswith(f"{how} ")]
        return [each for each in WORDS if each in found]

    def _say(self, words: str) -> None:
        self._tell(f"Device {self._device}: {words}.")


@contextmanager
def held(
    link: Transport,
    spec: DeviceSpec,
    machine: Machine | None,
    *,
    folder: str,
    tell: Callable[[str], None],
    lease_s: int = LEASE_S,
) -> Iterator[Lease]:
    """Hold a device with the settings that its file asks for; they are put back on leaving.

    Another command of this machine is waited for. If this one dies or the link is lost, the device
    puts them back itself.

    Args:
        link: to the device.
        spec: its file.
        machine: what it is; None leaves its settings alone.
        folder: of the device, for hwnat; the blocks are below it.
        tell: is given lines of words.
        lease_s: how long the device waits for a sign of this host.

    Raises:
        DeviceError: another host holds it, or it cannot be reached.
    """

    def waiting() -> None:
        tell(f"Device {spec.name} is in use by another command on this machine; waiting for it.")

    with exclusive(_lock(link), waiting=waiting) as lock:
        lease = Lease(link, device=spec.name, folder=folder, tell=tell, lease_s=lease_s)
        known = _known(lock, lease.token)
        try:
            lease.take(known=known)
            lease.prepare(spec, machine)
            yield lease
        finally:
            lease.leave()


def recover(link: Transport, spec: DeviceSpec, *, folder: str, tell: Callable[[str], None]) -> bool:
    """Put back what a command that is gone has left changed; say who holds the device otherwise.

    Returns:
        Whether there was something to put back.
    """

    def waiting() -> None:
        msg = f"Device {spec.name} is in use by another command on this machine"
        raise DeviceError(msg)

    try:
        with exclusive(_lock(link), waiting=waiting) as lock:
            lease = Lease(link, device=spec.name, folder=folder, tell=tell, lease_s=LEASE_S)
            if not lease.take(known=_known(lock, lease.token), only_look=True):
                return False
            lease.leave()
            return True
    except DeviceError as other:
        tell(str(other))
        return False


def _lock(link: Transport) -> str:
    """Name the lock of a device on this machine; equal addresses have equal ones."""
    return f"hwnat-device-{hashlib.sha256(link.address.encode()).hexdigest()[:16]}"


def _known(lock: Path, token: str) -> str:
    """Return the tokens of the last commands here, which have ended; note this one's.

    Whoever holds the lock knows that they have, so what they left is taken over at once.
    """
    known: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        # Never through a link that somebody else put where everybody may write.
        file = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(file, "r+", encoding="ascii") as text:
            known = _TOKEN.findall(text.read(200))[:2]
            text.seek(0)
            text.truncate()
            text.write(f"{token} {' '.join(known[:1])}")
    return " ".join(known)
