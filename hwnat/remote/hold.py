"""Holds a device, so that no other command measures on it, and changes its settings."""

import hashlib
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hwnat.device.settings import WORDS, Wanted, wanted
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.lock import file_lock, run_directory
from hwnat.records.machine import Machine
from hwnat.remote.lease import LEASE_S, Lease, named
from hwnat.remote.release import leave
from hwnat.transport.base import Transport
from hwnat.transport.shell import program
from hwnat.transport.words import device_path

#: Longest time that a device takes to restore its settings. It holds itself meanwhile, under the
#: name below.
_RESTORING_S: Final = 40
_ITSELF: Final = "the-device-itself"
#: Longest time that a block takes.
_BLOCK_S: Final = 900

_HELD: Final = re.compile(r"held (\d{1,12}) (\d{1,12}) ?(.*)", re.ASCII)
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


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
    """Hold a device with the settings of its device file; restore its own settings at the end.

    Wait if another command of this machine holds the device. If this process dies or the link is
    lost, the device restores its settings by itself.

    Args:
        link: link to the device.
        spec: the device file.
        machine: description of the device; None leaves its settings unchanged.
        folder: hwnat's folder on the device.
        tell: called with messages for the user.
        lease_s: how long the device waits for a call from this host before it releases itself.

    Raises:
        DeviceError: another host holds the device, or it cannot be reached.
        UsageError: no lock file can be created on this machine.
    """
    lease = _lease(link, spec, folder=folder, tell=tell, lease_s=lease_s)
    with file_lock(_lock(link, "lock"), what=f"Device {spec.name}", waiting=tell):
        try:
            take(lease, known=_known(link, lease.token))
            prepare(lease, spec, machine)
            yield lease
        finally:
            leave(lease)


def recover(link: Transport, spec: DeviceSpec, *, folder: str, tell: Callable[[str], None]) -> bool:
    """Restore the settings that a killed command left changed, or report who holds the device.

    Returns:
        Whether there were settings to restore.
    """
    lease = _lease(link, spec, folder=folder, tell=tell)
    try:
        with file_lock(_lock(link, "lock"), what=f"Device {spec.name}"):
            if not take(lease, known=_known(link, lease.token), only_look=True):
                return False
            leave(lease)
            return True
    except (DeviceError, UsageError) as in_use:
        tell(str(in_use))
        return False


def take(lease: Lease, *, known: str, only_look: bool = False) -> bool:
    """Take the device, or take over the lease of a killed command.

    Args:
        lease: lease of this command.
        known: tokens of commands of this host that have ended.
        only_look: whether to do nothing unless a killed command has left a lease.

    Returns:
        Whether the device was taken; False is possible only with `only_look`.

    Raises:
        DeviceError: another host holds the device.
    """
    lease.asked = True
    lines = _request(lease, known=known, how="look" if only_look else "take")
    if only_look and "taken" not in lines:
        lease.asked = False
        if "busy" in lines:
            lease.say(
                "a block of an earlier command is still running; the device restores its settings "
                "when that ends"
            )
        return False
    if "taken" not in lines:
        raise lease.odd(lines)
    if "left" in lines:
        lease.say("an earlier command ended without restoring its settings; taken over")
    lease.renewed_at = lease.clock()
    return True


def _request(lease: Lease, *, known: str, how: str) -> list[str]:
    """Request the device; repeat the request while it restores its settings by itself."""
    ends = lease.clock() + _RESTORING_S
    while True:
        lines = lease.ask(
            "take",
            host_name=re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60] or "unnamed",
            lease_s=str(lease.lease_s),
            known=known,
            how=how,
            keeper=program("remote/keeper"),
            step_s=str(lease.step_s),
        )
        holder = next((match for match in map(_HELD.fullmatch, lines) if match), None)
        if holder is None:
            return lines
        if holder[3] != _ITSELF or lease.clock() > ends:
            lease.asked = False
            raise lease.taken(holder[1], holder[2], holder[3])
        lease.pause(1.0)


def prepare(lease: Lease, spec: DeviceSpec, machine: Machine | None) -> None:
    """Change the settings that `spec` names. The device records each previous value first.

    Raises:
        DeviceError: the device has released itself meanwhile.
    """
    asked = Wanted() if machine is None else wanted(spec, machine)
    for hint in asked.hints:
        lease.say(hint)
    lines, ends, told = lease.ask("prepare", **asked.words), lease.clock() + _BLOCK_S, False
    while "busy" in lines and lease.clock() < ends:
        if not told:
            lease.say("waiting for the block of an earlier command to end")
        told = True
        lease.pause(1.0)
        renew(lease)
        lines = lease.ask("prepare", **asked.words)
    if "lost" in lines:
        raise lease.given_up()
    if "done" not in lines:
        raise lease.odd(lines)
    done, failed = named(lines, "set"), named(lines, "refused")
    if done:
        lease.say(f"{', '.join(WORDS[name][1] for name in done)}; restored at the end")
    for name in failed:
        lease.say(WORDS[name][2])
    if "governor" in done + named(lines, "has") and "governor" not in failed:
        lease.governor = spec.governor
    lease.clocks = "fixed" if "fixed_performance" in done else "free"


def renew(lease: Lease) -> None:
    """Renew the lease if it is time to; call this often, because most calls send nothing.

    Raises:
        DeviceError: the device has released itself meanwhile, or another host holds it.
        TransientDeviceError: the link was lost.
    """
    if lease.clock() - lease.renewed_at < lease.step_s / 2:
        return
    if "renewed" not in lease.ask("renew", lease_s=str(lease.lease_s)):
        raise lease.given_up()
    lease.renewed_at = lease.clock()


def _lease(
    link: Transport,
    spec: DeviceSpec,
    *,
    folder: str,
    tell: Callable[[str], None],
    lease_s: int = LEASE_S,
) -> Lease:
    return Lease(
        link=link, device=spec.name, folder=device_path(folder), tell=tell, lease_s=lease_s
    )


def _lock(link: Transport, suffix: str) -> Path:
    """Return the path of a file about a device on this machine; it depends on the address only."""
    name = hashlib.sha256(link.address.encode("utf-8", "replace")).hexdigest()[:16]
    return run_directory() / f"device-{name}.{suffix}"


def _known(link: Transport, token: str) -> str:
    """Return the tokens of the last commands of this machine, and record the token of this one.

    The lock proves that those commands have ended, so their leases can be taken over at once.
    """
    path, known = _lock(link, "tokens"), list[str]()
    with suppress(OSError, UnicodeDecodeError):
        if path.is_file():
            known = _TOKEN.findall(path.read_text("ascii")[:200])[:2]
        path.write_text(f"{token} {' '.join(known[:1])}", "ascii")
    return " ".join(known)
