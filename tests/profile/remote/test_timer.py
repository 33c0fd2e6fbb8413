"""Visits on a phone and a board, with all that goes wrong meanwhile; each is counted once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.transport import adb, remote


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(adb, "WAIT_S", 1.0)
    monkeypatch.setattr(remote, "GRACE_S", 0.5)


def check_all(place, jobs_of, count):
    """All visits are in the store, each with the value of its own model."""
    found = [json.loads(body) for body in jobs_of(place.folder / "s.sqlite").values()]
    assert len(found) == count
    assert {each["subject"] for each in found} == {f"model-{n}" for n in range(10, 10 + count)}
    for each in found:
        n = 1000 + int(each["subject"].partition("-")[2])
        assert (each["samples_ns"], each["reference_ns"]) == ([n, n], [500, 500])
        assert each["started"] <= each["ended"]
        assert each["before"]["at"] == each["started"]


@pytest.mark.parametrize("which", ["android_phone", "linux_board"])
@pytest.mark.slow
def test_all_visits_are_made_once_and_kept(request, elsewhere, jobs_of, which):
    place = elsewhere(request.getfixturevalue(which))
    setup = place.make(6)
    check_all(place, jobs_of, 6)
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
    check_all(place, jobs_of, 9)
    assert len(place.started) == 9


@pytest.mark.slow
def test_a_phone_that_stays_away_goes_on_and_its_results_are_collected_later(
    android_phone, elsewhere, jobs_of
):
    place = elsewhere(android_phone)
    place.faults("sleep 0.3")
    gone = when(1, android_phone.adbd.stop)
    with pytest.raises(TransientDeviceError, match=r"1 of 4 visits are kept, and the device goes"):
        place.make(4, report=gone, patience_s=1.0)
    assert "Waits for adb 127.0.0.1:" in place.said
    ends = time.monotonic() + 10
    while len(place.started) < 4 and time.monotonic() < ends:
        time.sleep(0.05)
    android_phone.adbd.start()
    place.make(4)
    check_all(place, jobs_of, 4)
    assert len(place.started) == 4


def child(place, count):
    argv = [sys.executable, str(Path(__file__).parent / "elsewhere.py"), str(place.file)]
    argv += [str(place.folder), str(count)]
    path = os.pathsep.join(each for each in sys.path if each)
    return subprocess.Popen(
        argv, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    )


def until(true, *, limit_s=20.0):
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
    check_all(place, jobs_of, 8)
    assert len(place.started) == 8, place.said
    assert android_phone.state.settings == before
    assert "taken over" in place.said


@pytest.mark.slow
def test_ctrl_c_ends_the_block_and_puts_the_settings_back(android_phone, elsewhere, jobs_of):
    place, before = elsewhere(android_phone), android_phone.state.settings
    place.faults("sleep 0.4")
    process = child(place, 8)
    until(lambda: len(place.started) >= 2)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate()[1]
    done = len(place.started)
    assert done < 8
    assert android_phone.state.settings == before
    time.sleep(0.6)
    assert len(place.started) == done
    place.make(8)
    check_all(place, jobs_of, 8)
    assert len(place.started) == 8, place.said


def test_a_hung_a_killed_and_a_failed_program_are_started_again(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("case $count in 2) sleep 30;; 3) kill -SEGV $$;; 5) exit 7;; esac")
    place.make(4, limit_s=1)
    check_all(place, jobs_of, 4)
    assert len(place.started) == 7
    for words in ("was killed for its time", "ended with 139", "ended with 7"):
        assert words in place.said


def test_a_model_that_cannot_be_run_is_named_and_all_others_are_kept(
    this_machine, elsewhere, jobs_of
):
    place = elsewhere(this_machine)
    place.faults("case $(wc -c <\"$1\") in 13) echo 'no kernel for FOO' >&2; exit 3;; esac")
    words = r"1 visits cannot be made.* model-12: .*ended with 3; it said last: no kernel for FOO"
    with pytest.raises(DeviceError, match=rf"{words}.*hwnat device doctor elsewhere.* 5 of 6"):
        place.make(6)
    assert len(jobs_of(place.folder / "s.sqlite")) == 5
    place.faults("")
    place.make(6)
    check_all(place, jobs_of, 6)


def test_a_program_that_never_works_is_not_tried_for_ever(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("exit 127")
    with pytest.raises(DeviceError, match=r"ended with 127; it said last: nothing.*0 of 40"):
        place.make(40)
    assert len(place.started) == 9
    assert not jobs_of(place.folder / "s.sqlite")


def test_a_visit_that_was_not_steady_is_made_again_last(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("[ $count = 2 ] && second=700")
    place.make(4)
    check_all(place, jobs_of, 4)
    assert place.started[1] == place.started[-1]
    assert "was not steady: the reference model's time changed by 40%" in place.said


@pytest.mark.slow
def test_throttling_within_a_visit_discards_it(android_phone, elsewhere, jobs_of):
    place = elsewhere(android_phone)
    # The shims follow the facts; the program plays the heat.
    throttle = ". /data/fixture/device.sh; echo $1 >/data/state/clock_percent; apply"
    lines = f"throttle() {{ {throttle}; }}; "
    place.faults(f"{lines}case $count in 2) throttle 60;; 3) throttle 100;; esac")
    place.make(4)
    check_all(place, jobs_of, 4)
    assert "lowered a clock's limit" in place.said
    assert len(place.started) == 5


def test_a_device_that_is_never_steady_stops_the_profile(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("second=700")
    with pytest.raises(DeviceError, match=r"visits cannot be made.*was not steady.*0 of 3 visits"):
        place.make(3)
    assert not jobs_of(place.folder / "s.sqlite")


@pytest.mark.slow
def test_a_device_that_was_restarted_goes_on(android_phone, elsewhere, jobs_of):
    place = elsewhere(android_phone)
    place.faults("sleep 0.3")

    def restart():
        android_phone.userland.stop()
        android_phone.adbd.drop()
        assert android_phone.userland.start() is None

    place.make(6, report=when(2, restart))
    check_all(place, jobs_of, 6)
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
    check_all(place, jobs_of, 9)


def test_the_device_that_is_too_hot_is_named(android_phone, elsewhere):
    place = elsewhere(android_phone, gate={"load": 1000.0, "wait_s": 0.0})
    android_phone.state.set(skin_mc=60_000)
    hot = r"^Device elsewhere: .* not fit .*skin is 60.*0 of 4 visits are kept"
    with pytest.raises(DeviceError, match=hot):
        place.make(4)


def test_a_damaged_result_is_not_counted(this_machine, elsewhere, jobs_of):
    from elsewhere import a_timer

    place = elsewhere(this_machine)
    with a_timer(place.file) as timer:
        setup = timer.setup(reference="model-7", batch=1)
    results = place.at(f"jobs/{setup.id}/results")
    results.mkdir(parents=True)
    for each in (results.parent.parent, results.parent, results):
        each.chmod(0o777)
    whole = f"{setup.job('model-11', 0)}.{'0' * 64}"
    (results / whole).write_bytes(b"\xff" * 100)
    (results / "model; rm -rf.0").write_text("no result")
    place.make(3)
    check_all(place, jobs_of, 3)
    assert "what arrived differs from its hash" in place.said


@pytest.mark.slow
def test_results_of_other_files_are_not_taken(android_phone, elsewhere, jobs_of):
    place = elsewhere(android_phone)
    place.faults("sleep 0.3")
    with pytest.raises(TransientDeviceError):
        place.make(3, report=when(1, android_phone.adbd.stop), patience_s=0.5)
    until(lambda: len(place.started) == 3)
    android_phone.adbd.start()
    # The reference model, which all ratios rest on, is another one now.
    (place.folder / "model-7.stub").write_text("another\n")
    place.make(3)
    check_all(place, jobs_of, 3)
    assert len(place.started) == 5


def test_a_program_that_holds_one_model_takes_turns_by_processes(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine, runner="stub-processes")
    setup = place.make(2)
    assert setup.alternation == "processes"
    assert len(place.started) == 6
    assert place.started[0] == place.started[2] == place.started[3] == place.started[5]
    found = [json.loads(body) for body in jobs_of(place.folder / "s.sqlite").values()]
    assert sorted(each["samples_ns"] for each in found) == [[1010] * 2, [1011] * 2]
    assert [each["reference_ns"] for each in found] == [[1007] * 4] * 2


def test_two_commands_for_one_device_take_turns(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("sleep 0.1")
    failed = []

    def other():
        try:
            place.make(4)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=other) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    check_all(place, jobs_of, 4)
