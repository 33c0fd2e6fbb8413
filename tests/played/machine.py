"""A whole device: a phone or a board with cores, clocks, temperatures, settings and a boot."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from played.models import MODELS, cpuinfo, properties, write_sys
from played.state import LOADAVG, UNTIL_RESTART, State
from played.userland import NAMES, Userland

HERE = Path(__file__).parent
SHIMS = ("am", "cmd", "dumpsys", "getprop", "input", "settings", "setprop", "svc")
#: Those that a Linux board has, too: the machine that plays the device has other cores.
CORES = ("nproc", "taskset")
PASSWD = "root:x:0:0:root:/home/root:/bin/sh\nshell:x:2000:2000:shell:/data/local/tmp:/bin/sh\n"


class Machine(Userland):
    """A `Userland` with processes of its own that can be switched off and on.

    On a phone programs run as Android's `shell`, who may change no file of /sys; on a board as
    root. `reason` says why it cannot be had; nothing else works then.

    Attributes:
        state: what it is like, and what was set.
        native: whether it runs this machine's programs.
        on: whether it has started.
    """

    def __init__(
        self,
        place: Path,
        model: str = "phone 4+3+1",
        *,
        arm64=None,
        disk_mib: int | None = None,
        binds: tuple[str, ...] = (),
    ) -> None:
        """Build and start it.

        Args:
            place: an empty folder.
            model: a name in `MODELS`.
            arm64: where its programs come from, a `device.arm64.Arm64`; None for this machine's.
            disk_mib: size of the file system of `folder`, which then is lost at a restart.
            binds: folders of this machine that it can read, at the same paths.
        """
        self.place, self.model, self.arm64 = place, MODELS[model], arm64
        self.native, self.disk_mib = arm64 is None, disk_mib
        self.root, self.binds = place / "root", binds
        self.on, self._holder = False, None
        android = self.model.android
        self.folder = "/data/local/tmp" if android else "/home/root"
        self.path = "/system/bin" if android else "/opt/bin:/usr/local/bin:/usr/bin:/bin"
        self.shell = "/bin/sh"
        self.enter, self.view = (str(place / "enter"),), self.root
        self.state = State(self, self.model)
        for name in ("sys", "proc", "beside"):
            (place / name).mkdir()
        self.reason = self._lacks()
        if self.reason is None:
            self._fill()
            self.reason = self.start()

    def _lacks(self) -> str | None:
        # Only phones have Android's shell and tools, and those of arm64 bring theirs.
        small = ("mksh", "toybox") if self.native and self.model.android else ()
        tools = ("unshare", "nsenter", *small)
        missing = [name for name in tools if shutil.which(name) is None]
        return f"{', '.join(missing)} missing; .ci/run installs it" if missing else None

    def _fill(self) -> None:
        """Make the folders and programs that stay through restarts."""
        folders = "proc dev sys usr tmp etc data/fixture data/state data/full sdcard opt/bin"
        for name in (*folders.split(), "system/bin", self.folder[1:]):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/passwd").write_text(PASSWD)
        (self.root / "etc/group").write_text("root:x:0:\nshell:x:2000:\n")
        android = self.model.android
        own = "system/bin" if android else "opt/bin"
        small = android or not self.native
        programs = self._programs() if small else {}
        for name in (*CORES, *(SHIMS if android else ())):
            programs[name] = f"/data/fixture/{name}"
        for name, program in programs.items():
            (self.root / own / name).symlink_to(program)
        (self.root / "bin").symlink_to(own if small else "usr/bin")
        usr = self.arm64.root if self.arm64 else Path("/")
        for each in ("lib", "lib64", "lib32"):
            if (usr / each).exists():
                (self.root / each).symlink_to(f"usr/{each}")
        if android:
            for name, value in properties(self.model, native=self.native).items():
                self.state.properties(**{name: value})

    def _programs(self) -> dict[str, str]:
        """Return where each program of a small system is."""
        if self.arm64:
            return self.arm64.programs
        toybox, mksh = (os.path.realpath(shutil.which(name)) for name in ("toybox", "mksh"))
        listed = subprocess.run([toybox], capture_output=True, text=True, check=True).stdout
        found = {name: shutil.which(name) for name in NAMES.split()}
        others = {name: os.path.realpath(path) for name, path in found.items() if path}
        return others | dict.fromkeys(listed.split(), toybox) | {"sh": mksh}

    def _mounts(self) -> list[tuple[str, str, str]]:
        """Return what is mounted at a start, in order, as `inside.mount` takes it."""
        usr = str(self.arm64.root / "usr") if self.arm64 else "/usr"
        place, home = str(self.place), self.folder
        files = ("cpuinfo", "loadavg", "boot_id")
        targets = ("/proc/cpuinfo", "/proc/loadavg", "/proc/sys/kernel/random/boot_id")
        found = [("ro", usr, "/usr"), ("bind", "/dev", "/dev"), ("proc", "", "/proc")]
        found += [("bind", f"{place}/proc/{a}", b) for a, b in zip(files, targets, strict=True)]
        found += [("bind", f"{place}/sys", "/sys"), ("bind", f"{place}/state", "/data/state")]
        found += [("ro", str(HERE / "shims"), "/data/fixture")]
        if self.disk_mib is None:
            found += [("bind", f"{self.root}{home}", home)]
        else:
            found += [("tmpfs", f"size={self.disk_mib}m", home)]
        if self.model.android:
            found += [("tmpfs", "noexec,size=4m", "/sdcard"), ("tmpfs", "size=256k", "/data/full")]
        for folder in self.binds:
            (self.root / folder[1:]).mkdir(parents=True, exist_ok=True)
            found += [("ro", folder, folder)]
        return found

    def start(self) -> str | None:
        """Switch it on; return why that is not possible here, None if it is."""
        self._reset()
        user = ["--map-user=2000", "--map-group=2000"] if self.model.android else ["-r"]
        namespaces = ["-U", *user, "--keep-caps", "-m", "-p", "--fork"]
        spec = {
            "root": str(self.root),
            "beside": str(self.place / "beside"),
            "mounts": self._mounts(),
            "emulator": str(self.arm64.emulator) if self.arm64 else None,
            "namespaces": namespaces,
        }
        first = ["-U", "-r", "-m"] if self.arm64 else namespaces
        self._holder = subprocess.Popen(
            ["unshare", *first, sys.executable, "-IS", str(HERE / "inside.py"), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self._holder.stdout.readline() != "ready\n":
            words = self._holder.communicate()[1].strip()
            self._holder = None
            return f"no namespaces for a device here: {words.splitlines()[-1:]}"
        outer = self._holder.pid
        self.first = int(Path(f"/proc/{outer}/task/{outer}/children").read_text())
        self.view = Path(f"/proc/{self.first}/root")
        words = f"-t {self.first} -U -m -p -r -w --preserve-credentials"
        processor = "" if self.native else "export QEMU_CPU=neoverse-n1\n"
        self._enter(f'{processor}exec {shutil.which("nsenter")} {words} -- "$@"')
        self.on = True
        self.state.follow()
        return None

    def _enter(self, line: str) -> None:
        new = self.place / "enter.new"
        new.write_text(f"#!/bin/sh\n{line}\n")
        new.chmod(0o755)
        new.replace(self.place / "enter")

    def _reset(self) -> None:
        """Bring everything that does not outlive a restart to its first value."""
        write_sys(self.place / "sys", self.model)
        cores = set(range(self.model.cores))
        text = cpuinfo(self.model, cores, native=self.native)
        boot = secrets.token_hex(16)
        boot = "-".join((boot[:8], boot[8:12], boot[12:16], boot[16:20], boot[20:]))
        for name, content in (
            ("cpuinfo", text),
            ("loadavg", LOADAVG.format(0.2, 0.2, 0.2)),
            ("boot_id", f"{boot}\n"),
        ):
            (self.place / "proc" / name).write_text(content)
        if self.model.android:
            for name, value in UNTIL_RESTART.items():
                (self.place / "state" / name).write_text(f"{value}\n")
            (self.place / "state/thermal_override").unlink(missing_ok=True)

    def stop(self) -> None:
        """Switch it off: all its processes die at once."""
        if self._holder is not None:
            self.on = False
            self._enter("exit 255")
            with suppress(ProcessLookupError):
                os.kill(self.first, signal.SIGKILL)
            self._holder.communicate()
            self._holder, self.view = None, self.root

    close = stop

    def command(self, line: str) -> list[str]:
        """Return the call that runs a line of shell inside."""
        return [*self.enter, self.shell, "-c", line]

    def run(self, line: str, *, timeout_s: float = 60) -> subprocess.CompletedProcess:
        """Run a line of shell inside, as from nowhere: not over a link."""
        argv = self.command(line)
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.env, timeout=timeout_s, check=False
        )

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": self.path, "HOME": self.folder, "TMPDIR": self.folder}

    def processes(self) -> dict[int, str]:
        """Return the numbers, of this machine, of the device's processes, and their names."""
        found, ours = {}, Path(f"/proc/{self.first}/ns/pid").readlink()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (entry / "ns/pid").readlink() == ours and int(entry.name) != self.first:
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
        return found

    def kill(self, name: str) -> int:
        """Kill all processes of this name; return how many there were."""
        pids = [pid for pid, each in self.processes().items() if each == name]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ends = time.monotonic() + 5
        while set(pids) & self.processes().keys() and time.monotonic() < ends:
            time.sleep(0.01)
        return len(pids)

    def noexec(self, on: bool) -> None:
        """Have the file system of `folder` start no programs, or start them again."""
        self._holder.stdin.write(json.dumps(["remount", on, self.folder]) + "\n")
        self._holder.stdin.flush()
        assert self._holder.stdout.readline() == "ok\n"

    def fill(self) -> None:
        """Use up the disk of `folder`, which has to have a size of its own."""
        assert self.disk_mib is not None
        with suppress(OSError), self.at(f"{self.folder}/.filler").open("wb", 0) as file:
            while file.write(bytes(1 << 12)):
                continue

    def free(self) -> None:
        """Give back what `fill` has used."""
        self.at(f"{self.folder}/.filler").unlink(missing_ok=True)
