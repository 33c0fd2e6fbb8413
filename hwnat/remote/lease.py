"""The lease of a device, which one command holds at a time.

On the device, a lease is the folder `lease`, created by the host that holds the device. In it,
`owner` has the token and the name of the host, `beat` has the time of its last call, and `journal`
has the previous settings. `keeper` is the process on the device that restores these settings once
the host is gone and no block is running.
"""

import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Final, Literal

from hwnat.device.settings import WORDS
from hwnat.errors import DeviceError
from hwnat.transport.base import Transport
from hwnat.transport.shell import refused, script
from hwnat.transport.words import printable

#: A device takes a host for gone after this time without a call.
LEASE_S: Final = 90
_CALL_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Lease:
    """A device that this command holds, or is about to hold.

    Attributes:
        link: link to the device.
        device: name of the device file.
        folder: hwnat's folder on the device; the blocks are below it.
        tell: called with messages for the user.
        lease_s: how long the device waits for a call from this host before it releases itself.
        clock: returns seconds.
        pause: sleeps for a number of seconds.
        token: identifies this command on the device.
        clocks: `fixed` while the device holds its clocks at a level that it can sustain.
        governor: the governor of the device file, if all cores use it.
        renewed_at: time of the last renewal, by `clock`.
        asked: whether this command may have left a lease on the device.
    """

    link: Transport
    device: str
    folder: str
    tell: Callable[[str], None]
    lease_s: int = LEASE_S
    clock: Callable[[], float] = monotonic
    pause: Callable[[float], None] = sleep
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    clocks: Literal["free", "fixed"] = "free"
    governor: str | None = None
    renewed_at: float = -math.inf
    asked: bool = False

    @property
    def step_s(self) -> int:
        """Seconds between two checks of the lease by the device."""
        return max(1, self.lease_s // 6)

    def ask(self, name: str, **words: str) -> list[str]:
        """Run a script on the device and return the lines that it prints.

        Raises:
            DeviceError: the script failed.
        """
        argv = script(f"remote/{name}", folder=self.folder, token=self.token, **words)
        done = self.link.run(argv, timeout_s=_CALL_S)
        if done.returncode:
            raise self.odd([done.stderr or done.stdout])
        return done.stdout.splitlines()

    def say(self, words: str) -> None:
        """Send the user a message about the device."""
        self.tell(f"Device {self.device}: {words}.")

    def odd(self, lines: list[str]) -> DeviceError:
        """Return the error for output that cannot be interpreted."""
        return refused(f"Cannot hold device {self.device}", " ".join(lines))

    def given_up(self) -> DeviceError:
        """Return the error for a device that has released itself."""
        return DeviceError(
            f"Device {self.device} did not hear from this host for {self.lease_s} s and released "
            "itself. Everything measured so far is kept; run the same command again."
        )

    def taken(self, age_s: str, left_s: str, host: str) -> DeviceError:
        """Return the error for a device that another host holds."""
        return DeviceError(
            f"Device {self.device} is in use by host '{printable(host) or '?'}', last heard from "
            f"{age_s} s ago. Wait until that command ends or stop it there; if the host is gone, "
            f"the device releases itself in {left_s} s."
        )


def named(lines: list[str], how: str) -> list[str]:
    """Return the distinct settings that a script reports with the word `how`."""
    reported = {line.partition(" ")[2] for line in lines if re.match(rf"{how} ", line)}
    return [name for name in WORDS if name in reported]
