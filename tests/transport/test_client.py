"""A program is ended when its time is up, when it prints too much, and when we are interrupted."""

import os
import sys
import time
from pathlib import Path

import pytest

from hwnat.transport.client import run_client

CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def test_a_program_that_ends_gives_all_it_printed():
    done = run_client(["sh", "-c", "echo a; echo b >&2"], timeout_s=9, limit_bytes=100)
    assert (done.returncode, done.stdout, done.stderr, done.flooded) == (0, b"a\n", b"b\n", False)
    assert done.text == "b\n\na\n"


def test_a_program_is_killed_with_its_children_when_its_time_is_up():
    line = f"{sys.executable} -c '{CHILD}'; true"
    done = run_client(["sh", "-c", line], timeout_s=0.7, limit_bytes=100)
    assert done.returncode is None
    assert not alive(int(done.stdout))


def test_a_program_that_closes_its_streams_is_still_limited():
    done = run_client(["sh", "-c", "exec >&- 2>&-; sleep 9"], timeout_s=0.2, limit_bytes=9)
    assert done.returncode is None
    assert done.elapsed_s < 5


def test_a_program_that_floods_is_killed_at_once():
    done = run_client(["yes"], timeout_s=60, limit_bytes=100_000)
    assert done.flooded
    assert done.returncode is None
    assert done.elapsed_s < 10


def test_a_daemon_that_holds_the_streams_is_not_waited_for():
    done = run_client(["sh", "-c", "sleep 2 & echo a"], timeout_s=60, limit_bytes=100)
    assert (done.returncode, done.stdout) == (0, b"a\n")
    assert done.elapsed_s < 1.9


def test_a_program_does_not_outlive_an_interrupt(monkeypatch):
    seen = []

    def interrupted(process, *_, **__):
        seen.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr("hwnat.transport.client._drain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_client(["sleep", "60"], timeout_s=60, limit_bytes=100)
    assert not alive(seen[0])


def test_a_program_has_no_terminal_to_ask_questions_on():
    done = run_client(["sh", "-c", "cat </dev/tty"], timeout_s=9, limit_bytes=1000)
    assert done.returncode != 0


def alive(pid):
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            os.kill(pid, 0)
        except (OSError, ProcessLookupError):
            return False
        time.sleep(0.02)
    return True
