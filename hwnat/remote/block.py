"""A block: some visits that a device makes by itself, whether the link holds or not."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import Final

from hwnat.errors import DeviceError
from hwnat.remote.job import Visit, plan_text
from hwnat.transport.base import Transport
from hwnat.transport.shell import program, script
from hwnat.transport.words import printable

_CALL_S: Final = 60.0
#: How long the visit under way may take to end when a block is stopped.
_STOP_S: Final = 10


@dataclass(slots=True, kw_only=True)
class Blocks:
    """Starts and stops blocks of one setup.

    Attributes:
        link: to the device.
        folder: of the setup, on the device.
        limit_s: what a process may take.
        most_s: after so long a block begins no further visit.
        tell: told what is waited for.
    """

    link: Transport
    folder: str
    limit_s: int
    most_s: int
    tell: Callable[[str], None]
    _brought: bool = False

    def start(self, visits: Sequence[Visit]) -> str:
        """Have the device make visits and return the block's token.

        A block that was left behind by another command is waited for.

        Raises:
            DeviceError: the block does not start.
        """
        token = token_hex(16)
        if not self._brought:
            self._bring("driver", program("remote/driver"))
            self._brought = True
        self._bring(f"plan-{token}", plan_text(visits, limit_s=self.limit_s))
        argv = script("remote/start", dir=self.folder, token=token, most_s=str(self.most_s))
        began, told = monotonic(), False
        while True:
            said = self.link.run(argv, timeout_s=_CALL_S).check().stdout.strip()
            if said == "started":
                return token
            if said != "busy" or monotonic() - began > self.most_s + self.limit_s:
                msg = f"The device does not start its block of {len(visits)} visits; it says "
                msg += (
                    f"'{printable(said, limit=40)}'. Restart it, then run the same command again."
                )
                raise DeviceError(msg)
            if not told:
                self.tell("Waits for the block of an earlier command to end on the device…")
                told = True
            sleep(1.0)

    def _bring(self, name: str, text: str) -> None:
        with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8", newline="\n")
            self.link.push(path, f"{self.folder}/{name}")

    def stop(self, token: str) -> None:
        """End a block after the visit under way; a device that is gone cannot be asked.

        Raises:
            DeviceError: it does not answer.
        """
        argv = script("remote/stop", dir=self.folder, token=token, wait_s=str(_STOP_S))
        self.link.run(argv, timeout_s=2 * _STOP_S)
