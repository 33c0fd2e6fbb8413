"""A device elsewhere with the stub runner, and some models that are visited there.

As a program: `elsewhere.py DEVICE_FILE FOLDER COUNT` makes the visits as `Elsewhere.make` does.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from played.fixtures import Attached

from hwnat.profile.rounds import Rounds
from hwnat.records.device import load_device
from hwnat.records.store import Store
from hwnat.remote.profile import device_timer
from hwnat.remote.reach import Pace
from hwnat.targets.base import Session
from hwnat.transport.shell import MARK

PACE = {"poll_s": 0.2, "first": 4, "block_s": 3.0, "limit_s": 2}


class Models:
    """Files of text; the stub runner's time is made of the first line's length."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        path = self.folder / f"{key}.stub"
        if not path.exists():
            path.write_text("x" * int(key.partition("-")[2]) + "\n")
        return path

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        raise NotImplementedError(key, threads)


@contextmanager
def a_timer(device_file, *, tell=lambda _: None, **pace):
    with device_timer(load_device(device_file), tell=tell, pace=Pace(**{**PACE, **pace})) as timer:
        yield timer


def make(device_file, folder, count, *, tell=lambda _: None, report=lambda *_: None, **pace):
    """Visit `count` models once each; return the setup."""
    with a_timer(device_file, tell=tell, **pace) as timer, Store(folder / "s.sqlite") as db:
        setup = timer.setup(reference="model-7", batch=1)
        Rounds(db=db, timer=timer, files=Models(folder), setup=setup, rounds=1, report=report).make(
            [f"model-{each}" for each in range(10, 10 + count)]
        )
    return setup


class ThisMachine(Attached):
    """This machine as a device: models are timed by a program beside it."""

    def __init__(self, folder: Path) -> None:
        self.userland = SimpleNamespace(folder=str(folder), at=Path)

    def address(self):
        return {"transport": "local"}


class Elsewhere:
    """One device and one store."""

    def __init__(self, device, folder: Path, **keys) -> None:
        self.device, self.folder = device, folder
        self.file = device.device_file(folder, "elsewhere", **keys)
        self.told: list[str] = []
        self.reported: list[tuple[str, int, int]] = []
        self.workdir = f"{device.userland.folder}/hwnat"

    @property
    def said(self) -> str:
        return "\n".join(self.told)

    def make(self, count, *, report=lambda *_: None, **pace):
        def both(*what):
            self.reported.append(what)
            report(*what)

        return make(self.file, self.folder, count, tell=self.told.append, report=both, **pace)

    def at(self, path: str) -> Path:
        """Return a file of the device's working folder as it is seen from here."""
        return self.device.userland.at(f"{self.workdir}/{path}")

    def faults(self, lines: str) -> None:
        """Have the stub program run some lines of shell first; $count is which start it is."""
        self.at("tools").mkdir(parents=True, exist_ok=True)
        self.at("tools").chmod(0o777)
        self.at(".").chmod(0o777)
        self.at(MARK).touch()
        self.at("tools/faults").write_text(lines)

    @property
    def started(self) -> list[str]:
        """Every model that was started on the device, in order."""
        log = self.at("tools/log")
        return [Path(each).stem for each in log.read_text().split()] if log.exists() else []

    def check(self, jobs_of, count) -> None:
        """All visits are in the store, each with the value of its own model."""
        found = [json.loads(body) for body in jobs_of(self.folder / "s.sqlite").values()]
        assert len(found) == count
        assert {each["subject"] for each in found} == {f"model-{n}" for n in range(10, 10 + count)}
        for each in found:
            n = 1000 + int(each["subject"].partition("-")[2])
            assert (each["samples_ns"], each["reference_ns"]) == ([n, n], [500, 500])
            assert each["started"] <= each["ended"]
            assert each["before"]["at"] == each["started"]


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), tell=sys.stderr.write)
