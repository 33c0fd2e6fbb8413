"""What a board's ssh server runs while something goes wrong: `disturb.py FAULTS COMMAND…`."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from played.faults import Faults, mangled


def taken(path: Path, line: str) -> Faults:
    """Return what goes wrong with a command; the file counts it."""
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        faults = Faults.read(file.read())
        harm = faults.of(line)
        file.seek(0)
        file.truncate()
        file.write(faults.text)
    return harm


def cut() -> None:
    """End the server's process that holds this connection."""
    pid = os.getpid()
    while pid > 1:
        status = Path(f"/proc/{pid}/stat").read_text()
        if status.partition("(")[2].startswith("sshd"):
            os.kill(pid, signal.SIGKILL)
            os._exit(1)
        pid = int(status.rpartition(")")[2].split()[1])


def feed(child: subprocess.Popen, limit: int) -> None:
    received = 0
    while data := os.read(0, 1 << 15):
        received += len(data)
        if received > limit:
            cut()
        child.stdin.write(data)
        child.stdin.flush()
    child.stdin.close()


def run(harm: Faults, argv: list[str]) -> int:
    pipe = subprocess.PIPE
    limit = harm.cut_received
    child = subprocess.Popen(argv, stdin=None if limit is None else pipe, stdout=pipe)
    if limit is not None:
        threading.Thread(target=feed, args=(child, limit), daemon=True).start()
    sent, mangle = 0, harm.mangle
    while data := child.stdout.read() if mangle else os.read(child.stdout.fileno(), 1 << 15):
        if mangle:
            data = mangled(data, mangle, harm.seed)
        if harm.truncate is not None:
            data = data[: max(0, harm.truncate - sent)]
        ends = harm.cut_after is not None and sent + len(data) >= harm.cut_after
        if ends:
            data = data[: max(0, harm.cut_after - sent)]
        sent += len(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        if ends:
            cut()
    status = child.wait()
    if harm.cut_after is not None:
        cut()
    return status if status >= 0 else 128 - status


def main() -> int:
    harm = taken(Path(sys.argv[1]), os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    time.sleep(harm.delay_s)
    if harm.says is not None:
        sys.stdout.buffer.write(harm.says)
        return 0
    while harm.hang:
        time.sleep(60)
    return run(harm, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
