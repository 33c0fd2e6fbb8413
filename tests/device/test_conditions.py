import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwnat.device.conditions import (
    ConditionsReader,
    advice,
    choose_cores,
    may_run_realtime,
    pinned,
    read_host,
)
from hwnat.errors import UsageError
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.local import LocalTransport


class CountingTransport(LocalTransport):
    """Counts its calls."""

    calls = 0

    def run(self, argv, *, timeout_s):
        self.calls += 1
        return super().run(argv, timeout_s=timeout_s)


def test_this_machine_can_be_read():
    assert read_host(LocalTransport()).cores == os.cpu_count()


def test_a_reading_is_reused_until_it_is_too_old():
    link = CountingTransport()
    reader = ConditionsReader(link, max_age_s=60)
    assert reader.read() is reader.read()
    assert link.calls == 1
    fresh = ConditionsReader(link, max_age_s=-1)
    fresh.read()
    fresh.read()
    assert link.calls == 3


def test_pinning_ends_with_the_block_even_if_it_fails():
    before = os.sched_getaffinity(0)
    core = max(before)

    def fail():
        with pinned([core]):
            assert os.sched_getaffinity(0) == {core}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.sched_getaffinity(0) == before
    with pinned(()):
        assert os.sched_getaffinity(0) == before


def test_two_processes_take_turns_on_a_core():
    core = max(os.sched_getaffinity(0))
    code = (
        "from hwnat.device.conditions import pinned\n"
        f"with pinned([{core}]):\n    print('in', flush=True)\n    input()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "in\n"
    entered = threading.Event()

    def enter():
        with pinned([core]):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.2)
    other.communicate("\n")
    assert entered.wait(10)
    waiting.join()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_lock_file_that_somebody_planted_is_refused_and_named(monkeypatch, tmp_path, kind):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    core = max(os.sched_getaffinity(0))
    planted = tmp_path / "hwnat" / f"core-{core}.lock"
    planted.parent.mkdir(mode=0o700)
    victim = tmp_path / "authorized_keys"
    {"link": lambda: planted.symlink_to(victim), "fifo": lambda: os.mkfifo(planted)}.get(
        kind, planted.mkdir
    )()
    with pytest.raises(UsageError, match=f"core-{core}.lock"), pinned([core]):
        pass
    assert not victim.exists()


def test_who_waits_for_a_core_says_for_whom(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    core, told, entered = max(os.sched_getaffinity(0)), [], threading.Event()

    def wait():
        with pinned([core], tell=told.append):
            entered.set()

    with pinned([core]):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not told:
            time.sleep(0.01)
        assert not entered.is_set()
    waiting.join()
    assert f"CPU core {core} is in use by process {os.getpid()} (" in told[0]
    assert entered.is_set()


@pytest.mark.skipif(not may_run_realtime(), reason="real-time scheduling is not permitted here")
def test_real_time_lasts_while_models_are_timed():
    before = os.sched_getscheduler(0)

    def fail():
        with pinned((), realtime=True):
            assert os.sched_getscheduler(0) == os.SCHED_RR
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.sched_getscheduler(0) == before


def test_auto_takes_as_many_cores_as_there_are_threads():
    usable = os.sched_getaffinity(0)
    assert choose_cores("auto", threads=1) == (max(usable),)
    assert set(choose_cores("auto", threads=10_000)) == usable
    assert choose_cores([min(usable)], threads=1) == (min(usable),)


def test_a_core_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match=r"Cores \[100000\] are not available"):
        choose_cores([100_000], threads=1)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"governor": "powersave", "clocks_hz": (1,)}, "powersave"),
        ({"load_1m": 3.5, "clocks_hz": (1,)}, "Load is 3.5 on 2 cores"),
        ({"cpu_quota": 0.25, "clocks_hz": (1,)}, "A CPU quota of 0.25 cores"),
        ({}, "Clocks are not readable"),
    ],
)
def test_advice_says_what_to_do(state, word):
    host = Host(cpu=None, cores=2, machine=None, os=None)
    (found,) = advice(host, Conditions(at="t", **state), threads=1, realtime=True)
    assert word in found
    assert ":" in found


def test_a_calm_machine_needs_no_advice():
    host = Host(cpu=None, cores=8, machine=None, os=None)
    calm = Conditions(at="t", governor="performance", clocks_hz=(1,), load_1m=0.3)
    assert advice(host, calm, threads=1, realtime=True) == ()
    (found,) = advice(host, calm, threads=1, realtime=False)
    assert "ulimit -r" in found


def test_root_is_not_advised_to_become_root():
    host = Host(cpu=None, cores=8, machine=None, os=None)
    calm = Conditions(at="t", clocks_hz=(1,))
    (hint,) = advice(host, calm, threads=1, realtime=False, root=True)
    assert "run as root" not in hint
    assert "SYS_NICE" in hint


def test_more_threads_than_cores_are_doubted():
    host = Host(cpu=None, cores=8, machine=None, os=None)
    calm = Conditions(at="t", clocks_hz=(1,))
    (hint,) = advice(host, calm, threads=4, realtime=True, cores=(0, 1))
    assert hint.startswith("4 threads share 2 cores: set threads = 2")
    assert advice(host, calm, threads=2, realtime=True, cores=(0, 1)) == ()


@pytest.fixture
def quota_group():
    """Yield the folder of a control group with a quota of a quarter of a core."""
    folder = Path("/sys/fs/cgroup/cpu", f"hwnat-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text("25000")
    except OSError:
        pytest.skip("this machine lets no test create a control group of version 1 with a quota")
    yield folder
    folder.rmdir()


def test_a_quota_is_read_inside_its_control_group(quota_group):
    """Everything real: the kernel stops a busy loop, and the state says for how long."""
    code = """
import sys, time
from pathlib import Path
from hwnat.device.probe import read_state
from hwnat.transport.local import LocalTransport
Path(sys.argv[1], "tasks").write_text("0")
stop = time.process_time() + 0.2
while time.process_time() < stop:
    pass
state = read_state(LocalTransport())
print(state.cpu_quota, state.stopped_ns)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(quota_group)], capture_output=True, text=True, check=True
    )
    quota, stopped_ns = done.stdout.split()
    assert float(quota) == 0.25
    assert int(stopped_ns) > 0
