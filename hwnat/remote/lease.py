"""What a host and a device agree on while one command holds the device.

On the device a lease is a folder, `lease`, made by the host that holds it: `owner` has its token
and host name; `beat` says when the host was last heard of; `journal` has the previous settings;
`keeper` is the process on the device that restores them when the host is gone and no block runs.
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

#: A host that was not heard of for so long is gone.
LEASE_S: Final = 90
_CALL_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Lease:
    """A device that this command holds, or is about to hold.

    Attributes:
        link: to the device.
        device: name of the device file.
        folder: hwnat's folder on the device; the blocks are below it.
        tell: is given messages for the user.
        lease_s: how long the device waits for a sign of this host.
        clock: returns seconds; `pause` sleeps for seconds.
        token: names this command on the device.
        clocks: `fixed` while the device holds its clocks at a level that it can sustain.
        governor: the one that the device file asks for, if all cores have it.
        renewed_at: when the device last heard of this host, by `clock`.
        asked: whether the device may hold something of this command.
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
        """Seconds between two looks of the device at the lease."""
        return max(1, self.lease_s // 6)

    def ask(self, name: str, **words: str) -> list[str]:
        """Run a script of the lease on the device and return the lines that it prints.

        Raises:
            DeviceError: the script failed there.
        """
        argv = script(f"remote/{name}", folder=self.folder, token=self.token, **words)
        done = self.link.run(argv, timeout_s=_CALL_S)
        if done.returncode:
            raise self.odd([done.stderr or done.stdout])
        return done.stdout.splitlines()

    def say(self, words: str) -> None:
        """Tell the user something about the device."""
        self.tell(f"Device {self.device}: {words}.")

    def odd(self, lines: list[str]) -> DeviceError:
        """Return the error for an answer that means nothing."""
        return refused(f"Cannot hold device {self.device}", " ".join(lines))

    def given_up(self) -> DeviceError:
        """Return the error for a device that no longer knows this command."""
        return DeviceError(
            f"Device {self.device} heard nothing from this host for {self.lease_s} s and released "
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
    """Return the settings that a script reports with the word `how`, once each."""
    reported = {line.partition(" ")[2] for line in lines if re.match(rf"{how} ", line)}
    return [name for name in WORDS if name in reported]
