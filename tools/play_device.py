"""Play a phone or a board on this machine, to try `hwnat device` and `hwnat profile` by hand.

    python tools/play_device.py phone --arm64 --file runs/played.toml

It is the tests' device: the real protocol of adb or a real ssh server, a root folder of its own
with cores, clocks, temperatures and settings, and, with --arm64, programs for arm64 under an
emulator. It lasts until it is interrupted; whatever it makes a runner take is the emulator's time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from played.adbd import Adbd
from played.arm64 import FETCH, find_arm64
from played.fixtures import Board, Phone
from played.machine import Machine
from played.sshd import Sshd


def main() -> None:
    """Start it, write its device file and wait."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["phone", "board"])
    parser.add_argument("--arm64", action="store_true", help="run programs for arm64")
    parser.add_argument("--file", type=Path, default=Path("runs/played.toml"))
    parser.add_argument("--runner", help="runner that the device file names")
    parser.add_argument("--precision", default="int8")
    given = parser.parse_args()
    arm64 = find_arm64() if given.arm64 else None
    if given.arm64 and arm64 is None:
        sys.exit(f"no Debian for arm64 with qemu-user here; {FETCH}")
    with ExitStack() as undo:
        place = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="played-")))
        model = "phone 4+3+1" if given.kind == "phone" else "board"
        machine = Machine(place / "inside", model, **({"arm64": arm64} if arm64 else {}))
        undo.callback(machine.close)
        if machine.reason is not None:
            sys.exit(machine.reason)
        if given.kind == "phone":
            device = Adbd(machine)
            attached = Phone(device, machine, shutil.which("adb") or "adb")
        else:
            device = Sshd(place / "ssh", machine)
            attached = Board(device, machine)
        device.start()
        undo.callback(device.stop)
        given.file.parent.mkdir(parents=True, exist_ok=True)
        keys = {"runner": given.runner} if given.runner else {}
        path = attached.device_file(
            given.file.parent, given.file.stem, precision=given.precision, **keys
        )
        if given.kind == "phone":
            subprocess.run([attached.client, "connect", attached.serial], check=True)
            undo.callback(subprocess.run, [attached.client, "disconnect", attached.serial])
        else:
            print(f"export PATH={device.client.parent}:$PATH")
        print(path, os.getpid(), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
