"""What goes wrong with a device or the link to it, at which moment and how often."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: The head of a program for a processor that none of these machines has.
FOREIGN = b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xf3\0\1\0\0\0" + bytes(40)


@dataclass
class Faults:
    """What goes wrong, until `clear`; all of it can change while the device is up.

    The first ones are of the link. Those after `before` are of commands: they befall those in
    which the regular expression `only` is found, but for the first `skip` of them. After so many
    `times` that a link was cut or a command suffered, it is over; None for never.
    """

    silent: bool = False  # never answers a connection: offline
    deny: bool = False  # accepts no key: unauthorized
    cut_received: int | None = None  # the cable is pulled after so many bytes of pushed data
    cut_sent: int | None = None  # … of output
    flip: bool = False  # the first byte of a pushed file arrives changed
    delay_s: float = 0.0  # each message takes so long

    only: str = ""
    skip: int = 0
    times: int | None = None
    struck: int = 0  # how often it was

    before: Callable[[str], None] | None = None  # is called with a command, before it runs
    truncate: int | None = None  # output of a command ends here, as if that were all
    says: bytes | None = None  # every command prints this and ends with 0, unrun
    hang: bool = False  # every command is accepted and never answered
    mangle: str | None = None  # its output is changed, by a name in `MANGLES`
    seed: int = 0  # of that change
    cut_after: int | None = None  # the cable is pulled after so much of its output, or at its end

    def clear(self) -> None:
        self.__init__()

    @property
    def text(self) -> str:
        """For another process; without `before`."""
        says = None if self.says is None else self.says.decode("latin-1")
        return json.dumps(asdict(replace(self, before=None)) | {"says": says})

    @classmethod
    def read(cls, text: str) -> "Faults":
        fields = json.loads(text)
        says = fields["says"]
        return cls(**fields | {"says": None if says is None else says.encode("latin-1")})

    def strikes(self) -> bool:
        """Tell whether it still befalls something; this counts it."""
        if self.times == 0:
            return False
        self.times = None if self.times is None else self.times - 1
        self.struck += 1
        return True

    def of(self, line: str) -> "Faults":
        """Return what goes wrong with a command."""
        if not re.search(self.only, line, re.DOTALL):
            return Faults()
        if self.skip > 0:
            self.skip -= 1
            return Faults()
        return replace(self) if self.strikes() else Faults()

    @property
    def of_commands(self) -> bool:
        befalls = self.says, self.truncate, self.mangle, self.cut_after, self.before
        return self.hang or any(each is not None for each in befalls)


def reordered(lines: list[bytes], rng: "np.random.Generator") -> list[bytes]:
    first, second = rng.choice(len(lines), 2, replace=False)
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def doubled(lines: list[bytes], rng: "np.random.Generator") -> list[bytes]:
    place = rng.integers(len(lines))
    return [*lines[: place + 1], *lines[place:]]


def dropped(lines: list[bytes], rng: "np.random.Generator") -> list[bytes]:
    place = rng.integers(len(lines))
    return lines[:place] + lines[place + 1 :]


def garbage(lines: list[bytes], rng: "np.random.Generator") -> list[bytes]:
    data = bytearray(b"".join(lines))
    for place in rng.choice(len(data), 1 + len(data) // 50, replace=False):
        data[place] ^= int(rng.integers(1, 256))
    return [bytes(data)]


MANGLES = {"reorder": reordered, "double": doubled, "drop": dropped, "garbage": garbage}


def mangled(data: bytes, how: str, seed: int) -> bytes:
    """Return changed output; the same for the same seed. One line is too little to change."""
    # A board's server starts this anew for each command.
    import numpy as np

    lines = data.splitlines(keepends=True)
    rng = np.random.default_rng(seed)
    return b"".join(MANGLES[how](lines, rng)) if len(lines) > 1 else data


def write_foreign(path: Path) -> Path:
    """Write an executable file that no device can run."""
    path.write_bytes(FOREIGN)
    path.chmod(0o755)
    return path


class Outages:
    """What `away` needs: a server with `cut`, `up`, `down` and a `userland`."""

    _enough = _back = None

    def away(self, seconds: float, *, restart: bool = False) -> None:
        """Cut all links now and answer none for a time; go on meanwhile.

        Programs in a session of their own go on, unless the device itself restarts.
        """
        self.settle()
        # Before the cut: who sees that may ask at once.
        self._enough, self._back = threading.Event(), threading.Event()
        self.cut()
        if restart:
            self.userland.stop()
        threading.Thread(target=self._absent, args=(seconds, restart), daemon=True).start()

    def _absent(self, seconds: float, restart: bool) -> None:
        try:
            self.down()
            self._enough.wait(seconds)
            if restart:
                self.userland.start()
            self.up()
        finally:
            self._back.set()

    def settle(self) -> None:
        """Come back, if away, without waiting for the end of the time."""
        if self._back is not None:
            self._enough.set()
            self.returned()

    def returned(self) -> None:
        """Wait until it is back."""
        assert self._back is None or self._back.wait(60)

    def start(self) -> None:
        """Come up, on the same port as before if there was one."""
        self.settle()
        self.up()

    def stop(self) -> None:
        """Go down with all connections, like a device that is switched off."""
        self.settle()
        self.down()
