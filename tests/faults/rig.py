"""A device, a profile of it, and what there has to be of both when the profile is done."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from faults import command, stubs
from played.state import AT_START, LOADAVG

from hwnat.profile.models import ExportedModels
from hwnat.records.measurement import network_key
from hwnat.remote.depot import Depot
from hwnat.transport.base import Probe
from hwnat.transport.shell import MARK

ENTRY_POINTS = """[hwnat.targets]
stub = faults.stubs:StubTarget
[hwnat.runners]
stub = faults.stubs:StubRunner
"""
#: A command that takes longer hangs.
PATIENCE_S = 60
#: The keeper of a lease that has ended looks for it once more.
LINGER_S = 4


class Rig:
    """A phone or a board, and the folder of one profile.

    Attributes:
        device: a `played.fixtures.Phone` or `Board`.
        wished: settings as they have to be in the end.
    """

    def __init__(self, device, folder: Path) -> None:
        self.device, self.machine, self.folder = device, device.userland, folder
        self.phone = hasattr(device, "adbd")
        self.link = device.adbd if self.phone else device.sshd
        self.workdir = f"{self.machine.folder}/hwnat"
        self.site = folder / "site"
        self._install()
        plan = command.small_plan()
        reference = network_key(plan.space.name, plan.reference.text, classes=10, batch=1)
        self.subjects = [plan.overhead.key, *(op.key for op in plan.ops)]
        self.models = ExportedModels(target=stubs.StubTarget(), folder=folder / "models" / "stub")
        keys = [*self.subjects, reference]
        self.base_ns = {key: 10_000_000 * (1 + place) for place, key in enumerate(keys)}
        for key, base_ns in self.base_ns.items():
            stubs.write_model(self.models.path(key), base_ns)
        self.reference = reference
        extra = {} if self.phone else {"governor": "performance"}
        self.file = device.device_file(
            folder,
            "rig",
            target="stub",
            runner="stub",
            gate={"load": 1000.0, "wait_s": 1.0},
            protocol={"rounds": command.ROUNDS, "runs": 2, "warmup": 0, "visit_ms": 0.0},
            **extra,
        )
        self.wished = self.machine.state.settings
        self.device_name = "rig"
        self.addresses = [device.serial] if self.phone else ["127.0.0.1"]
        self.running: subprocess.Popen | None = None
        self.others: list[command.Ended] = []

    def _install(self) -> None:
        info = self.site / "stubs-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(ENTRY_POINTS)

    # What is done on this machine.

    def words(self, store: str = "store") -> list[str]:
        """Return the command line of the profile; another store makes it another host's."""
        places = {"store": f"{store}.sqlite", "out": f"{store}.json", "cache": "models"}
        options = [[f"--{name}", str(self.folder / each)] for name, each in places.items()]
        words = ["profile", "--device", str(self.file), "--space", "mbv3-nano"]
        return words + [word for option in options for word in option]

    def child(self, store: str = "store", **env: str) -> subprocess.Popen:
        """Start the profile in a process of its own."""
        argv = [sys.executable, command.__file__, str(self.site), *self.words(store)]
        return subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            start_new_session=True,
        )

    def rows(self, store: str = "store") -> dict[str, dict]:
        """Return what a store holds: job -> measurement, in the order of the commits."""
        path = self.folder / f"{store}.sqlite"
        if not path.exists():
            return {}
        db = sqlite3.connect(path)
        try:
            found = db.execute("select job, body from measurements order by rowid").fetchall()
        except sqlite3.OperationalError:
            return {}  # it was ended before it had made its tables
        finally:
            db.close()
        return {job: json.loads(body) for job, body in found}

    # What is done to the device.

    def at(self, path: str) -> Path:
        return self.machine.at(f"{self.workdir}/{path}")

    def started(self) -> list[list[str]]:
        """Return job and model of every start of the runner, in order."""
        with suppress(OSError):
            return [line.split() for line in self.at("tools/log").read_text().splitlines()]
        return []

    def spoil(self, lines: str) -> None:
        """Have the runner's program run lines of shell before it says anything."""
        self._put("faults", lines)

    def hold(self, start: int | None) -> bool:
        """Have the runner's start of this number wait, and all later ones; None lets all go on.

        Return whether it is so; where the disk is full, all go on.
        """
        with suppress(OSError):
            self.at("tools/gate").unlink()
        try:
            if start is not None:
                self._put("gate", f"{start}\n")
        except OSError:
            return False
        return True

    def _put(self, name: str, text: str) -> None:
        """Write a file beside the runner's program."""
        tools = self.at("tools")
        tools.mkdir(parents=True, exist_ok=True)
        for folder in (tools, tools.parent):
            folder.chmod(0o777)
        self.at(MARK).touch()
        (tools / f"{name}.new").write_text(text)
        (tools / f"{name}.new").replace(tools / name)

    def listens(self) -> bool:
        """Whether the child handles signals itself, so that one is not lost on Python's start."""
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.running.pid}/status").read_text().splitlines()
            caught = next(line for line in lines if line.startswith("SigCgt:"))
            return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    def pids(self, word: str = "") -> list[int]:
        """Return the device's processes with this in their command line."""
        found = []
        for pid in self.machine.processes():
            with suppress(OSError):
                if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def kill(self, word: str = "") -> None:
        for pid in self.pids(word):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def calm(self) -> None:
        """Have nothing go wrong any more."""
        if self.phone:
            self.link.faults.clear()
        else:
            # A command may just look for the file, so it stays.
            self.link.disturb(times=0)
        self.link.settle()
        if not self.machine.on:
            self.machine.start()

    def reset(self, folder: Path) -> "Rig":
        """Return the same device as new, for another profile."""
        self.calm()
        if not self.phone:
            self.link.disturb()
            self.link.trust()
            shutil.copy(self.link.place / "user.pub", self.link.place / "authorized")
        self.machine.noexec(False)
        self.kill()
        for each in (self.at(""), self.at("../.filler")):
            shutil.rmtree(each, ignore_errors=True)
            each.unlink(missing_ok=True)
        state = self.machine.state
        for name in ("fixed_performance", "wakefulness", "thermal_override"):
            (state.folder / name).unlink(missing_ok=True)
        for path in (state.folder / "settings").glob("*/*"):
            path.unlink()
        self.machine._reset()
        if self.phone:
            for name in ("low_power", "airplane_mode_on", "stay_on_while_plugged_in"):
                state._write(f"settings/global/{name}", 0)
        state.online(range(state.model.cores))
        (state.proc / "loadavg").write_text(LOADAVG.format(0.2, 0.2, 0.2))
        state.set(**AT_START)
        return Rig(self.device, folder)

    # What has to be.

    def check_kept(self, before: dict[str, dict]) -> dict[str, dict]:
        """Return the store's rows; those of before are the first of them, unchanged."""
        rows = self.rows()
        kept = dict(list(rows.items())[: len(before)])
        assert kept == before, "a measurement was lost or changed"
        return rows

    def check_done(self, rows: dict[str, dict]) -> None:
        """Every visit was kept once, with its own numbers, and the table has them."""
        setups = {row["setup"] for row in rows.values()}
        assert len(setups) == 1, f"{len(setups)} setups"
        visits = [(row["subject"], row["round"]) for row in rows.values()]
        wanted = [(key, round_) for key in self.subjects for round_ in range(command.ROUNDS)]
        assert sorted(visits) == sorted(wanted)
        self.check_values(rows)
        table = json.loads((self.folder / "store.json").read_text())
        least = self.base_ns[self.subjects[0]]
        assert table["entries"].keys() == set(self.subjects[1:])
        for key, entry in table["entries"].items():
            assert abs(entry["p50_ns"] / (self.base_ns[key] - least) - 1) < 0.003, (key, entry)

    def check_values(self, rows: dict[str, dict]) -> None:
        """Each number is what the runner made for that visit, and for no other."""
        started = self.started()
        depot = Depot(None, Probe(
            address="", client=None, workdir=self.workdir, executable=True, hash="sha256",
            time_limit=True, free_bytes=None,
        ))  # fmt: skip
        counts = []
        for job, row in rows.items():
            base_ns = self.base_ns[row["subject"]]
            count = row["samples_ns"][1] - base_ns - 5000
            assert row["samples_ns"] == stubs.samples_ns(base_ns, job, count), row
            assert row["reference_ns"] == 2 * [self.base_ns[self.reference]], row
            model = Path(depot.path(self.models.path(row["subject"]))).name
            assert started[count - 1] == [job, model], (row, started)
            counts.append(count)
        assert len(set(counts)) == len(counts), "one start was counted twice"

    def check_device(self, *, cut: bool) -> None:
        """The device is as it was, and nothing is left of the profile but what saves time.

        A push that was `cut` off leaves its part, which a later one takes away.
        """
        assert cut or not list(self.at("").rglob("*.part"))
        # What the host cannot put back, for the link is lost, the device does after a while.
        self._wait(lambda: self.at("lease").exists(), command.LEASE_S + 4)
        assert not self.at("lease").exists()
        assert self.machine.state.settings == self.wished
        # A command that had nothing left to do leaves what an earlier one has kept.
        results = {path.name.partition(".")[0] for path in self.at("jobs").glob("*/results/*")}
        assert results <= self.rows().keys()
        self._wait(self.pids, LINGER_S)
        left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes()[-200:] for pid in self.pids()}
        assert not left

    def _wait(self, still: Callable[[], object], most_s: float) -> None:
        ends = time.monotonic() + most_s
        while still() and time.monotonic() < ends:
            time.sleep(0.05)
