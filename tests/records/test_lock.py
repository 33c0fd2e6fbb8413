"""Locks: one holder at a time, no file of another kind or owner is touched."""

import os
import subprocess
import sys

import pytest

from hwnat.errors import UsageError
from hwnat.records.lock import file_lock, folder_lock, run_directory

HOLD = """
import sys, time
from pathlib import Path
from hwnat.records.lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / "run"` until its stdin is closed."""
    argv = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_holds_the_folder(holder, tmp_path):
    with (
        pytest.raises(UsageError, match=rf"run is in use by process {holder.pid} \("),
        folder_lock(tmp_path / "run"),
    ):
        pytest.fail("held twice")


def test_a_lock_that_is_waited_for_says_so_once_and_is_then_held(holder, tmp_path):
    lines = []

    def waiting(line):
        lines.append(line)
        holder.stdin.close()

    with file_lock(tmp_path / "run" / ".lock", what="The core", waiting=waiting):
        assert len(lines) == 1
    assert f"The core is in use by process {holder.pid}" in lines[0]


def test_a_killed_holder_leaves_no_lock(holder, tmp_path):
    holder.kill()
    holder.wait()
    with folder_lock(tmp_path / "run"):
        pass


def test_a_lock_can_be_taken_again_and_its_file_is_private(tmp_path):
    for _ in range(2):
        with folder_lock(tmp_path / "run"):
            path = tmp_path / "run" / ".lock"
            assert path.stat().st_mode & 0o777 == 0o600
            assert str(os.getpid()) in path.read_text()
    assert path.read_text() == ""


def test_a_planted_link_or_fifo_is_refused_and_nothing_is_created(tmp_path):
    target = tmp_path / "authorized_keys"
    link, fifo, hard = (tmp_path / name for name in ("link", "fifo", "hard"))
    link.symlink_to(target)
    os.mkfifo(fifo)
    (tmp_path / "mine").write_text("kept")
    hard.hardlink_to(tmp_path / "mine")
    for path in (link, fifo, hard):
        with pytest.raises(UsageError, match=r"[Ll]ock file"), file_lock(path, what="It"):
            pytest.fail("held")
    assert not target.exists()
    assert hard.read_text() == "kept"


def test_the_run_directory_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run_directory() == tmp_path / "hwnat"
    assert run_directory().stat().st_mode & 0o777 == 0o700
    run_directory().chmod(0o777)
    with pytest.raises(UsageError, match="not a private directory"):
        run_directory()


def test_a_run_directory_that_is_a_link_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "hwnat").symlink_to(tmp_path / "theirs")
    with pytest.raises(UsageError, match="not a private directory"):
        run_directory()
