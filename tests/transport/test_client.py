"""A program is ended when its time is up, when it prints too much, and when we are interrupted."""

import os
import signal
import time
from pathlib import Path

import pytest

from hwnat.transport.client import run_client


def test_a_program_that_ends_gives_all_it_printed():
    done = run_client(["sh", "-c", "echo a; echo b >&2"], timeout_s=9, limit_bytes=100)
    assert (done.returncode, done.stdout, done.stderr, done.flooded) == (0, b"a\n", b"b\n", False)
    assert done.text == "b\n\na\n"


def test_a_program_is_killed_with_its_children_when_its_time_is_up():
    line = "sh -c 'echo $$; exec sleep 600'; true"
    for timeout_s in (0.3, 3, 30):
        done = run_client(["sh", "-c", line], timeout_s=timeout_s, limit_bytes=100)
        assert done.returncode is None
        if done.stdout:  # a busy machine may not have started the child yet
            break
    wait_for_end(int(done.stdout))


def test_a_program_that_closes_its_streams_is_still_limited():
    done = run_client(["sh", "-c", "exec >&- 2>&-; sleep 9"], timeout_s=0.2, limit_bytes=9)
    # It was killed: with its time, it would have ended with 0.
    assert done.returncode is None


def test_a_program_that_floods_is_killed_at_once():
    done = run_client(["yes"], timeout_s=60, limit_bytes=100_000)
    assert done.flooded
    assert done.returncode is None
    # Nothing was read once the limit was passed, or the streams would hold gigabytes.
    assert len(done.stdout) < 300_000


def test_a_daemon_that_holds_the_streams_is_not_waited_for():
    done = run_client(["sh", "-c", "sleep 60 & echo $!"], timeout_s=120, limit_bytes=100)
    daemon = int(done.stdout)
    # It still holds the streams, and it is not ours to kill.
    assert is_running(daemon)
    os.kill(daemon, signal.SIGKILL)
    assert done.returncode == 0


def test_a_program_does_not_outlive_an_interrupt(monkeypatch):
    seen = []

    def interrupted(process, *_, **__):
        seen.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr("hwnat.transport.client._drain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_client(["sleep", "600"], timeout_s=60, limit_bytes=100)
    wait_for_end(seen[0])


def test_a_program_has_no_terminal_to_ask_questions_on():
    done = run_client(["sh", "-c", "cat </dev/tty"], timeout_s=9, limit_bytes=1000)
    assert done.returncode != 0


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for_end(pid):
    """Wait until a process that was killed is gone; pytest's time limit ends this."""
    while is_running(pid):
        time.sleep(0.02)
