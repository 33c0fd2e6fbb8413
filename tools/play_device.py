"""Simulate a phone or a board on this machine, to try `hwnat device` and `hwnat profile` by hand.

    python tools/play_device.py phone --arm64 --file runs/played.toml

It is the device of the tests: the real protocol of adb or a real ssh server, and a root folder of
its own with cores, clocks, temperatures and settings. With --arm64 it runs programs for arm64 in an
emulator, so their timings are the emulator's. It runs until you interrupt it.
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
    """Start the device, write its device file and wait."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["phone", "board"], help="device to simulate")
    parser.add_argument(
        "--arm64", action="store_true", help="run programs for arm64 in an emulator"
    )
    parser.add_argument(
        "--file",
        type=Path,
        default=Path("runs/played.toml"),
        help="device file to write (default: %(default)s)",
    )
    parser.add_argument("--runner", help="runner in the device file (default: the target's)")
    parser.add_argument("--precision", default="int8", help="fp32 or int8 (default: %(default)s)")
    options = parser.parse_args()
    arm64 = find_arm64() if options.arm64 else None
    if options.arm64 and arm64 is None:
        sys.exit(f"no Debian for arm64 with qemu-user here; {FETCH}")
    with ExitStack() as undo:
        place = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="played-")))
        model = "phone 4+3+1" if options.kind == "phone" else "board"
        machine = Machine(place / "inside", model, **({"arm64": arm64} if arm64 else {}))
        undo.callback(machine.close)
        if machine.reason is not None:
            sys.exit(machine.reason)
        if options.kind == "phone":
            device = Adbd(machine)
            attached = Phone(device, machine, shutil.which("adb") or "adb")
        else:
            device = Sshd(place / "ssh", machine)
            attached = Board(device, machine)
        device.start()
        undo.callback(device.stop)
        options.file.parent.mkdir(parents=True, exist_ok=True)
        keys = {"runner": options.runner} if options.runner else {}
        path = attached.device_file(
            options.file.parent, options.file.stem, precision=options.precision, **keys
        )
        if options.kind == "phone":
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
