"""Releases a device: restores its settings and deletes results that no store will read."""

from hwnat.device.settings import WORDS
from hwnat.errors import DeviceError
from hwnat.remote.lease import Lease, named
from hwnat.transport.base import Transport
from hwnat.transport.shell import script


def leave(lease: Lease) -> None:
    """Restore every setting, release the device, and report what could not be restored."""
    if not lease.asked:
        return
    itself = (
        f"the device restores them itself within {lease.lease_s + 2 * lease.step_s} s, after any "
        f"running block; or run: hwnat device doctor {lease.device}"
    )
    try:
        lines = lease.ask("leave")
    except DeviceError as lost:
        lease.say(f"settings were not restored from here ({lost}); {itself}")
        return
    except KeyboardInterrupt:
        lease.say(f"interrupted before settings were restored; {itself}")
        raise
    if "busy" in lines:
        lease.say(f"its block continues with the changed settings; {itself}")
    back, failed = named(lines, "restored"), named(lines, "failed")
    if "lost" in lines:
        lease.say("the device released itself and restored its settings")
    if back:
        lease.say(f"restored: {', '.join(WORDS[name][0] for name in back)}")
    if failed:
        lease.say(f"not restored: {', '.join(WORDS[name][0] for name in failed)}; {itself}")


def sweep(link: Transport, jobs: str) -> None:
    """Delete results that no store will read; call this only while you hold the device."""
    link.run(script("remote/sweep", jobs=jobs), timeout_s=60)
