"""Visits on a phone and a board, with all that goes wrong meanwhile; each is counted once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.transport import adb, remote


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(adb, "WAIT_S", 1.0)
    monkeypatch.setattr(remote, "GRACE_S", 0.5)


@pytest.mark.parametrize("which", ["android_phone", "linux_board"])
@pytest.mark.slow
def test_all_visits_are_made_once_and_kept(request, elsewhere, jobs_of, which):
    place = elsewhere(request.getfixturevalue(which))
    setup = place.make(6)
    place.check(jobs_of, 6)
    assert len(place.started) == 6
    assert place.reported[-1] == ("measure", 6, 6)
    assert (setup.runner, setup.alternation, setup.runtime) == ("stub-run 1", "runs", "stub")
    assert not list(place.at(f"jobs/{setup.id}/results").iterdir())
    assert place.make(6) == setup
    assert len(place.started) == 6


def cut(place):
    """Pull the cable and put it back."""
    device = place.device
    device.adbd.drop() if hasattr(device, "adbd") else device.sshd.hang_up()


def when(count, action):
    """Return a report that acts once, at the visit of this number."""
    acted = []

    def report(stage, done, total):
        assert stage == "measure"
        assert total
        if done >= count and not acted:
            acted.append(done)
            action()

    return report


@pytest.mark.parametrize("which", ["android_phone", "linux_board"])
@pytest.mark.slow
def test_a_short_loss_of_the_link_costs_nothing(request, elsewhere, jobs_of, which):
    place = elsewhere(request.getfixturevalue(which))
    place.faults("sleep 0.2")
    place.make(9, report=when(2, lambda: cut(place)))
    place.check(jobs_of, 9)
    assert len(place.started) == 9


@pytest.mark.slow
def test_a_phone_that_stays_away_goes_on_and_its_results_are_collected_later(
    android_phone, elsewhere, jobs_of
):
    place = elsewhere(android_phone)
    place.faults("sleep 0.3")
    gone = when(1, android_phone.adbd.stop)
    with pytest.raises(TransientDeviceError, match=r"\d of 4 visits are kept, and the device"):
        place.make(4, report=gone, patience_s=1.0)
    assert "Waiting for adb 127.0.0.1:" in place.said
    until(lambda: len(place.started) == 4)
    android_phone.adbd.start()
    place.make(4)
    place.check(jobs_of, 4)
    assert len(place.started) == 4


def child(place, count):
    argv = [sys.executable, str(Path(__file__).parent / "elsewhere.py"), str(place.file)]
    argv += [str(place.folder), str(count)]
    path = os.pathsep.join(each for each in sys.path if each)
    return subprocess.Popen(
        argv, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    )


def until(true, *, limit_s=120.0):
    ends = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("started", [1, 6])
def test_a_killed_command_goes_on_where_it_was(android_phone, elsewhere, jobs_of, started):
    place, before = elsewhere(android_phone), android_phone.state.settings
    place.faults("sleep 0.3")
    process = child(place, 8)
    until(lambda: len(place.started) >= started)
    process.kill()
    process.communicate()
    place.make(8)
    place.check(jobs_of, 8)
    assert len(place.started) == 8, place.said
    assert android_phone.state.settings == before
    assert "taken over" in place.said


@pytest.mark.slow
def test_ctrl_c_ends_the_block_and_puts_the_settings_back(android_phone, elsewhere, jobs_of):
    place, before = elsewhere(android_phone), android_phone.state.settings
    place.faults("sleep 0.4")
    process = child(place, 24)
    until(lambda: len(place.started) >= 2)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate()[1]
    done = len(place.started)
    assert done < 24
    assert android_phone.state.settings == before
    time.sleep(0.6)
    assert len(place.started) == done
    place.make(24)
    place.check(jobs_of, 24)
    assert len(place.started) == 24, place.said


@pytest.mark.slow
def test_throttling_within_a_visit_discards_it(android_phone, elsewhere, jobs_of):
    place = elsewhere(android_phone)
    # The shims follow the facts; the program plays the heat.
    throttle = ". /data/fixture/device.sh; echo $1 >/data/state/clock_percent; apply"
    lines = f"throttle() {{ {throttle}; }}; "
    place.faults(f"{lines}case $count in 2) throttle 60;; 3) throttle 100;; esac")
    place.make(4)
    place.check(jobs_of, 4)
    assert "lowered a clock's limit" in place.said
    assert len(place.started) == 5


@pytest.mark.slow
def test_a_device_that_was_restarted_goes_on(android_phone, elsewhere, jobs_of):
    place = elsewhere(android_phone)
    place.faults("sleep 0.3")

    def restart():
        android_phone.userland.stop()
        android_phone.adbd.drop()
        assert android_phone.userland.start() is None

    place.make(6, report=when(2, restart))
    place.check(jobs_of, 6)
    assert "elsewhere was restarted" in place.said
    assert place.said.count("fixed-performance mode on") == 3  # for the tools, and for each start
    assert len(place.started) <= 7  # the visit under way was lost


@pytest.mark.slow
def test_a_full_disk_is_said_to_be_full_and_nothing_is_lost(a_phone, a_machine, elsewhere, jobs_of):
    phone = a_phone(inside=a_machine(disk_mib=4))
    place = elsewhere(phone)
    place.faults("sleep 0.2")
    with pytest.raises(DeviceError, match=r"disk.* is full.*visits are kept"):
        place.make(9, report=when(2, phone.userland.fill))
    assert 2 <= len(jobs_of(place.folder / "s.sqlite")) < 9
    phone.userland.free()
    place.make(9)
    place.check(jobs_of, 9)


def test_the_device_that_is_too_hot_is_named(android_phone, elsewhere):
    place = elsewhere(android_phone, gate={"load": 1000.0, "wait_s": 0.0})
    android_phone.state.set(skin_mc=60_000)
    hot = r"^Device elsewhere: .* not ready .*skin is 60.*0 of 4 visits are kept"
    with pytest.raises(DeviceError, match=hot):
        place.make(4)


@pytest.mark.slow
def test_results_of_other_files_are_not_taken(android_phone, elsewhere, jobs_of):
    place = elsewhere(android_phone)
    place.faults("sleep 0.3")
    with pytest.raises(TransientDeviceError):
        place.make(3, report=when(1, android_phone.adbd.stop), patience_s=0.5)
    until(lambda: len(place.started) == 3)
    android_phone.adbd.start()
    kept = len(jobs_of(place.folder / "s.sqlite"))
    assert kept < 3
    # The reference model, which all ratios rest on, is another one now.
    (place.folder / "model-7.stub").write_text("another\n")
    place.make(3)
    place.check(jobs_of, 3)
    assert len(place.started) == 3 + 3 - kept
