"""Fixtures: a device elsewhere whose runner is a shell script, and visits for it."""

import sqlite3
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENTRY_POINTS = """[hwnat.targets]
stub = stub_target:StubTarget
[hwnat.runners]
stub = stub_runner:StubRunner
stub-processes = stub_runner:StubProcesses
stub-answers = stub_runner:StubAnswers
"""
#: This machine may be as busy as it likes.
GATE = {"load": 1000.0, "wait_s": 5.0}
PROTOCOL = {"rounds": 2, "runs": 2, "warmup": 0, "visit_ms": 0.0}


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """Install target and runners `stub`; returns what a process of its own needs on its path."""
    info = tmp_path / "stubs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    folders = [str(tmp_path), str(HERE), str(HERE.parent / "profile")]
    monkeypatch.setattr(sys, "path", [*folders, *sys.path])
    return folders


@pytest.fixture
def jobs_of():
    """Read a store: job -> body, in the order of the commits."""

    def read(store):
        db = sqlite3.connect(store)
        found = dict(db.execute("select job, body from measurements order by rowid"))
        db.close()
        return found

    return read


@pytest.fixture
def elsewhere(plugged, tmp_path):
    """Build an `Elsewhere`: `elsewhere(android_phone, runner="stub-processes")`."""
    assert plugged

    def build(device, **keys):
        from elsewhere import Elsewhere

        keys = {"target": "stub", "runner": "stub", "gate": GATE, "protocol": PROTOCOL, **keys}
        return Elsewhere(device, tmp_path, **keys)

    return build


@pytest.fixture
def this_machine(plugged, tmp_path_factory):
    """Return this machine as a device."""
    assert plugged
    from elsewhere import ThisMachine

    return ThisMachine(tmp_path_factory.mktemp("work"))
