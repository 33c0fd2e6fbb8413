"""The inside of a device: a root folder of its own where the system allows it.

With user namespaces, commands see a small Android-like tree: toybox and mksh in /system/bin,
/sdcard without execution, /data/full with hardly any space. Without them they run on the host, in a
folder, with the same programs first on PATH.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

NAMES = """
cat chmod cp cut df echo env false find grep head id kill ln ls md5sum mkdir mv nproc printf ps pwd
readlink rm sed seq sha256sum sleep sort stat tail tee timeout touch tr true uname wc yes
"""
FOLDERS = (
    "data/local/tmp",
    "data/full",
    "sdcard",
    "proc",
    "dev",
    "sys",
    "usr",
    "system/bin",
    "tmp",
)
#: $1 is the root. It ends when its stdin does, which is when the tests' process ends.
ENTER = """
set -e
cd "$1"
for each in usr proc dev sys; do mount --rbind /$each $each; done
for each in lib lib64 lib32; do
  if [ -L /$each ]; then ln -sfn usr/$each $each
  elif [ -d /$each ]; then mkdir -p $each; mount --rbind /$each $each; fi
done
mount -t tmpfs -o noexec,size=4m none sdcard
mount -t tmpfs -o size=256k none data/full
echo ready
exec chroot . /system/bin/cat
"""


class Userland:
    """One device's files and programs; `close` ends it.

    Attributes:
        enter: words before a command that is to run inside.
        view: the device's root folder as seen from here.
        folder: path, on the device, of a folder that takes files and starts programs.
        shell: path, on the device, of its shell.
        reason: why it has no root of its own; None if it has.
    """

    def __init__(self, place: Path) -> None:
        root = place / "root"
        for name in FOLDERS:
            (root / name).mkdir(parents=True)
        self._holder = None
        self.tools = root / "system/bin"
        self.reason = self._isolate(root)
        if self.reason is None:
            pid = str(self._holder.pid)
            self.enter = (
                shutil.which("nsenter"),
                "-t",
                pid,
                "-U",
                "-m",
                "-r",
                "-w",
                "--preserve-credentials",
            )
            self.view, self.folder = Path(f"/proc/{pid}/root"), "/data/local/tmp"
            self.path = "/system/bin"
        else:
            self.enter, self.view = (), Path("/")
            self.folder, self.path = str(root / "data/local/tmp"), str(self.tools)
        self.shell = f"{self.path}/sh"

    def _isolate(self, root):
        shell = shutil.which("mksh") or shutil.which("dash") or "/bin/sh"
        toybox = shutil.which("toybox")
        listed = subprocess.run([toybox], capture_output=True, text=True) if toybox else None
        applets = set(listed.stdout.split()) if listed else set()
        for tool in NAMES.split():
            program = toybox if tool in applets else shutil.which(tool)
            if program:
                (self.tools / tool).symlink_to(os.path.realpath(program))
        (self.tools / "sh").symlink_to(os.path.realpath(shell))
        (root / "bin").symlink_to("system/bin")
        if not all(map(shutil.which, ("unshare", "nsenter", "mount", "chroot"))):
            return "util-linux is missing"
        argv = ["unshare", "-U", "-r", "-m", "--propagation", "private", "sh", "-c", ENTER, "sh"]
        self._holder = subprocess.Popen(
            [*argv, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self._holder.stdout.readline() != b"ready\n":
            words = self._holder.communicate()[1].decode()
            self._holder = None
            return f"no user namespaces here: {words.strip()}"
        return None

    def at(self, path: str) -> Path:
        """Return where a file of the device is seen from here; symlinks stay in the device."""
        here, left = self.view, [part for part in path.split("/") if part not in ("", ".")]
        hops = 0
        while left:
            part, left = left[0], left[1:]
            if part == "..":
                here = here if here == self.view else here.parent
                continue
            here = here / part
            if here.is_symlink() and (hops := hops + 1) < 40:
                to = str(here.readlink())
                here = self.view if to.startswith("/") else here.parent
                left = [*(each for each in to.split("/") if each not in ("", ".")), *left]
        return here

    def command(self, line: str) -> list[str]:
        """Return the call that runs a line of shell inside."""
        return [*self.enter, self.shell, "-c", line]

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": self.path, "HOME": self.folder, "TMPDIR": self.folder}

    def close(self) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None


def end_session(leader: int, number: int, *, spare: bool = False) -> None:
    """Send a signal to all processes of a session, whatever group they have moved to.

    Those that `nohup` has started can be spared: they take no notice of a lost terminal.
    """
    # Programs inherit that from whoever runs the tests.
    spare = spare and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and not (spare and ignores_hangup(entry.parent)):
                os.kill(int(entry.parent.name), number)
        except (OSError, ValueError):
            continue


def ignores_hangup(process: Path) -> bool:
    status = (process / "status").read_text()
    return bool(int(status.partition("SigIgn:\t")[2].split()[0], 16) & 1)
