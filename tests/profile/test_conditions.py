import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from hwnat.errors import UsageError
from hwnat.profile.conditions import (
    ConditionsReader,
    advice,
    choose_cores,
    may_run_realtime,
    pinned,
    read_conditions,
    read_host,
)
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.base import Completed
from hwnat.transport.local import LocalTransport

PHONE = {
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000",
    "/sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq": "2850000",
    "/sys/class/thermal/thermal_zone0/temp": "41500",
    "/sys/class/thermal/thermal_zone3/temp": "-274000",
    "/sys/class/thermal/thermal_zone4/temp": "broken",
    "/proc/loadavg": "1.25 0.80 0.40 2/1234 5678",
    "/proc/cpuinfo": "processor\t: 0\nprocessor\t: 1\nHardware\t: Some SoC \n",
    "/etc/os-release": 'NAME="X"\nPRETTY_NAME="Some OS 12"\n',
}


class FileTransport:
    """Answers what a machine with these files answers; it has no other commands."""

    def __init__(self, files, names=None):
        self.files, self.names, self.calls = files, names or {}, 0

    def run(self, argv, *, timeout_s):
        assert timeout_s > 0
        self.calls += 1
        known = [path for path in argv if path in self.files]
        if argv[0] == "cat":
            text = "".join(self.files[path] for path in known)
        elif argv[0] == "grep":
            text = "".join(f"{path}:{self.files[path]}\n" for path in known)
        else:
            text = self.names.get(argv[1], "") + "\n"
        return Completed(argv=tuple(argv), returncode=0, stdout=text, stderr="")


def test_a_phone_tells_its_state():
    found = read_conditions(FileTransport(PHONE))
    assert found.governor == "schedutil"
    assert found.clocks_hz == (1_800_000_000, 2_850_000_000)
    assert found.temperature_c == 41.5
    assert found.load_1m == 1.25


def test_a_phone_tells_what_it_is():
    names = {"-m": "aarch64", "-sr": "Linux 6.1"}
    assert read_host(FileTransport(PHONE, names)) == Host(
        cpu="Some SoC", cores=2, machine="aarch64", os="Some OS 12, Linux 6.1"
    )


def test_what_a_machine_does_not_tell_is_none():
    silent = FileTransport({})
    found = read_conditions(silent)
    assert (found.governor, found.clocks_hz, found.temperature_c, found.load_1m) == (
        None,
        (),
        None,
        None,
    )
    assert read_host(silent) == Host(cpu=None, cores=None, machine=None, os=None)


def test_this_machine_can_be_read():
    link = LocalTransport()
    assert read_host(link).cores == os.cpu_count()
    assert read_conditions(link).load_1m >= 0


def test_a_reading_is_reused_until_it_is_too_old():
    link = FileTransport(PHONE)
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
        "from hwnat.profile.conditions import pinned\n"
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


def test_a_lock_that_another_user_made_is_only_read(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    core = max(os.sched_getaffinity(0))
    with pinned([core]):
        (made,) = tmp_path.iterdir()
    assert made.stat().st_mode & 0o444 == 0o444

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    # What a kernel with fs.protected_regular says of another user's file in /tmp.
    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pinned([core]):
        assert os.sched_getaffinity(0) == {core}


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
