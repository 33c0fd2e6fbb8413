"""A device comes back as it was, whatever ends the command that held it."""

import copy
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hwnat.device.probe import probe_machine
from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.records.device import load_device
from hwnat.remote.hold import held, recover, renew
from hwnat.remote.lease import Lease, named
from hwnat.transport.adb import AdbTransport
from hwnat.transport.local import LocalTransport
from hwnat.transport.shell import script

#: A command of its own; it holds the device until it is ended.
HOLD = """
import sys
from hwnat.device.probe import probe_machine
from hwnat.remote.hold import held
from hwnat.remote.lease import Lease, named
from hwnat.records.device import load_device
from hwnat.transport.base import connect
spec = load_device(sys.argv[1])
link = connect(spec)
link.probe()
folder, lease_s = sys.argv[2], int(sys.argv[3])
with held(link, spec, probe_machine(link), folder=folder, tell=print, lease_s=lease_s):
    print("held", flush=True)
    sys.stdin.readline()
print("left", flush=True)
"""
#: After which a device helps itself, where a test waits for that; else it must not, however slow
#: the machine that runs the tests.
SHORT_S, LONG_S = 2, 120


class Device:
    """A phone or a board with the folder, file and link that tests of it share."""

    def __init__(self, attached, tmp_path, **keys):
        self.attached, self.state = attached, attached.state
        self.path = attached.device_file(tmp_path, **keys)
        self.spec = load_device(self.path)
        self.link = attached.link()
        self.folder = f"{attached.userland.folder}/hwnat"
        self.link.probe()
        self.told: list[str] = []

    def held(self, *, lease_s=LONG_S, **more):
        spec = replace(self.spec, **more)
        machine = probe_machine(self.link)
        return held(
            self.link, spec, machine, folder=self.folder, tell=self.told.append, lease_s=lease_s
        )

    def hold_elsewhere(self, lease_s=LONG_S):
        """Start another command that holds the device."""
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(self.path), self.folder, str(lease_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert any(line == "held\n" for line in child.stdout)
        return child

    def lease(self) -> Path:
        return self.attached.userland.at(f"{self.folder}/lease")

    def comes_back(self, before, within_s=20.0):
        """Wait until the settings are `before` and the lease is gone; the device does it itself."""
        ends = time.monotonic() + within_s
        while time.monotonic() < ends:
            if self.state.settings == before and not self.lease().exists():
                return True
            time.sleep(0.1)
        return False


@pytest.fixture
def in_use(android_phone, tmp_path):
    """Return a phone in the state its user left it in: awake, saving power."""
    android_phone.state.setting("low_power", 1)
    return Device(android_phone, tmp_path)


@pytest.fixture
def root_board(linux_board, tmp_path):
    """Return a board whose file asks for a governor."""
    return Device(linux_board, tmp_path, governor="performance")


def end(child, how=signal.SIGKILL):
    child.send_signal(how)
    child.communicate(timeout=30)


def test_settings_hold_while_models_are_timed(in_use):
    before = in_use.state.settings
    with in_use.held() as lease:
        assert in_use.state.get("fixed_performance") == "1"
        assert in_use.state.get("settings/global/low_power") == "0"
        assert in_use.state.get("wakefulness") == "Asleep"
        assert lease.clocks == "fixed"
        renew(lease)
    assert in_use.state.settings == before
    assert not in_use.lease().exists()
    assert in_use.told == [
        "Device device: fixed-performance mode on, battery saver off, screen off; "
        "restored at the end.",
        "Device device: restored: fixed-performance mode, battery saver, screen.",
    ]


def test_settings_come_back_after_an_error(in_use):
    before = in_use.state.settings

    def fail():
        with in_use.held():
            assert in_use.state.settings != before
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert in_use.state.settings == before


def test_what_is_already_as_wanted_is_left_alone(android_phone, tmp_path):
    phone = Device(android_phone, tmp_path, clocks="free")
    phone.link.run(["input", "keyevent", "223"], timeout_s=20)
    journal = phone.state.journal
    with phone.held() as lease:
        assert lease.clocks == "free"
    assert phone.state.journal == journal


def test_a_setting_that_was_never_set_is_deleted_again(in_use):
    """`null` is no value that Android would keep."""
    in_use.link.run(["settings", "delete", "global", "low_power"], timeout_s=20)
    before = in_use.state.settings
    with in_use.held():
        pass
    assert in_use.state.settings == before


def test_a_phone_without_fixed_performance_mode_says_so(in_use):
    in_use.state.set(fixed_performance_supported=0)
    before = in_use.state.settings
    with in_use.held() as lease:
        assert lease.clocks == "free"
    assert "no fixed-performance mode, so clocks stay free" in in_use.told[1]
    assert in_use.state.settings == before


def test_root_sets_the_governor_of_a_board(root_board):
    before = root_board.state.settings
    with root_board.held() as lease:
        assert root_board.state.policies("scaling_governor") == ["performance"]
        assert (lease.clocks, lease.governor) == ("free", "performance")
    assert root_board.state.settings == before


def test_a_governor_that_is_there_already_counts_as_one_that_was_set(root_board):
    """An interrupted command may have left it; what the next one measures is of the same setup."""
    governors = root_board.state.policies("scaling_governor")
    with root_board.held(governor=governors[0]) as lease:
        assert lease.governor == governors[0]
    assert root_board.told == []


def test_who_is_not_root_is_told_that_the_governor_stays(in_use):
    with in_use.held(governor="performance") as lease:
        assert lease.governor is None
    assert "only root may set governor 'performance', so it stays as it is" in in_use.told[0]


class Cut(AdbTransport):
    """A link on which the answer of one call is lost; the device has done what it was asked."""

    def __init__(self, serial, *, call, error, **more):
        super().__init__(serial, **more)
        self.left, self.error = call, error

    def run(self, argv, *, timeout_s):
        done = super().run(argv, timeout_s=timeout_s)
        self.left -= 1
        if self.left == 0:
            raise self.error
        return done


@pytest.mark.parametrize(("call", "error"), [(1, KeyboardInterrupt()), (2, TransientDeviceError())])
def test_an_error_while_preparing_leaves_nothing_changed(in_use, call, error):
    """The first call takes the device, the second one changes its settings."""
    before, machine = in_use.state.settings, probe_machine(in_use.link)
    link = Cut(in_use.attached.serial, call=call, error=error)
    again = held(link, in_use.spec, machine, folder=in_use.folder, tell=in_use.told.append)
    with pytest.raises(type(error)), again:
        pass
    assert in_use.state.settings == before
    assert not in_use.lease().exists()
    # It was changed, and came back.
    assert (len(in_use.state.journal) > 4) == (call == 2)


@pytest.mark.slow
def test_a_device_that_is_restoring_itself_is_waited_for(in_use):
    before = in_use.state.settings
    with in_use.held():
        lease = in_use.lease()
        (lease / "owner").write_text("restoring the-device-itself\n")
        tick = (lease / "beat").read_text().split()
        (lease / "beat").write_text(f"{tick[0]} 2 {tick[2]}\n")
    assert "released itself and restored its settings" in in_use.told[-1]
    with in_use.held():
        pass
    assert in_use.state.settings == before


@pytest.mark.slow
def test_a_killed_command_leaves_the_device_to_itself(in_use):
    before = in_use.state.settings
    end(in_use.hold_elsewhere(SHORT_S))
    assert in_use.state.settings != before
    assert in_use.comes_back(before)


@pytest.mark.slow
def test_a_killed_command_leaves_the_governor_to_the_board(root_board):
    before = root_board.state.settings
    end(root_board.hold_elsewhere(SHORT_S))
    assert root_board.state.settings != before
    assert root_board.comes_back(before)


@pytest.mark.slow
def test_control_c_puts_everything_back_at_once(in_use):
    before = in_use.state.settings
    end(in_use.hold_elsewhere(), signal.SIGINT)
    assert in_use.state.settings == before
    assert not in_use.lease().exists()


@pytest.mark.slow
def test_the_next_command_takes_over_from_a_killed_one(in_use):
    """At once, for whoever has this machine's lock knows that the other is dead."""
    before = in_use.state.settings
    end(in_use.hold_elsewhere())
    with in_use.held():
        assert in_use.state.settings != before
        assert "ended without restoring its settings" in in_use.told[0]
    assert in_use.state.settings == before


@pytest.mark.slow
def test_a_follower_that_wants_less_puts_the_rest_back(in_use):
    before = in_use.state.settings
    end(in_use.hold_elsewhere())
    with in_use.held(clocks="free", delegate="gpu"):
        assert in_use.state.get("fixed_performance") == "0"
        assert in_use.state.get("wakefulness") == "Awake"
        assert in_use.state.get("settings/global/low_power") == "0"
    assert in_use.state.settings == before


@pytest.mark.slow
def test_a_lost_link_is_said_and_the_device_helps_itself(in_use):
    before = in_use.state.settings
    with in_use.held(lease_s=SHORT_S):
        in_use.attached.adbd.stop()
    assert "settings were not restored from here" in in_use.told[-1]
    assert "hwnat device doctor device" in in_use.told[-1]
    assert in_use.comes_back(before)
    in_use.attached.adbd.start()


@pytest.mark.slow
def test_a_host_that_was_given_up_is_told_so(in_use):
    before = in_use.state.settings

    def come_late():
        with in_use.held(lease_s=SHORT_S) as lease:
            assert in_use.comes_back(before)
            renew(lease)

    with pytest.raises(DeviceError, match="released itself"):
        come_late()
    assert "released itself and restored its settings" in in_use.told[-1]


def test_a_device_hears_of_its_host_several_times_in_the_time_it_waits(in_use):
    with in_use.held(lease_s=LONG_S) as lease:
        now_s = lease.renewed_at
        lease.clock = lambda: now_s
        beat = in_use.lease() / "beat"
        beat.unlink()
        now_s += LONG_S / 100
        renew(lease)
        assert not beat.exists()  # it has just been heard of
        now_s += LONG_S / 10
        renew(lease)
        assert beat.read_text().split()[1] == str(LONG_S)
        assert lease.renewed_at == now_s


def test_a_device_that_another_host_has_taken_over_is_not_used_any_more(in_use):
    with in_use.held() as lease:
        owner = in_use.lease() / "owner"
        mine = owner.read_text()
        owner.write_text("00ff other-host\n")
        lease.renewed_at = -LONG_S
        with pytest.raises(DeviceError, match="released itself"):
            renew(lease)
        owner.write_text(mine)
        renew(lease)


@pytest.mark.parametrize(("old_s", "held_still"), [(LONG_S - 60, True), (LONG_S + 1, False)])
def test_the_device_counts_how_long_a_host_has_been_silent(in_use, old_s, held_still):
    """Another host is refused until then, and told how long it has to wait."""
    told: list[str] = []
    with in_use.held(lease_s=LONG_S):
        beat = in_use.lease() / "beat"
        at, most, boot = beat.read_text().split()
        beat.write_text(f"{max(0, int(at) - old_s)} {most} {boot}\n")
        if int(at) < old_s:
            pytest.skip("this machine was switched on a moment ago")
        assert (
            recover(
                from_elsewhere(in_use.link), in_use.spec, folder=in_use.folder, tell=told.append
            )
            is not held_still
        )
    assert any("releases itself in" in line for line in told) is held_still


@pytest.mark.slow
def test_a_block_under_way_is_not_disturbed(in_use):
    """Its visits would be thrown away, for clocks change within them."""
    before, child = in_use.state.settings, in_use.hold_elsewhere(SHORT_S)
    start = 'mkdir -p "$1/s/block-0abc" && cd "$1/s/block-0abc" || exit 1; '
    start += "setsid sh -c 'echo $$ >pid; until [ -e done ]; do sleep 0.2; done' block-0abc "
    start += "</dev/null >/dev/null 2>&1 &"
    in_use.link.run(["sh", "-c", start, "sh", in_use.folder], timeout_s=20).check()
    end(child)
    assert not in_use.comes_back(before, within_s=3.5)
    in_use.link.run(["touch", f"{in_use.folder}/s/block-0abc/done"], timeout_s=20).check()
    assert in_use.comes_back(before)


def from_elsewhere(link):
    """Return a link that another host could have: the lock of this machine does not know it."""
    other = copy.copy(link)
    other.address = "adb elsewhere:1"
    return other


def test_another_host_is_refused_by_name(in_use):
    machine, link = probe_machine(in_use.link), from_elsewhere(in_use.link)
    told: list[str] = []
    second = held(link, in_use.spec, machine, folder=in_use.folder, tell=told.append)
    with in_use.held(), pytest.raises(DeviceError) as refused, second:
        pass
    words = str(refused.value)
    assert f"in use by host '{os.uname().nodename}', last heard from" in words
    assert re.search(r"releases itself in 1\d\d s", words)
    assert told == []  # it never had the device, so there was nothing to give up


def test_another_command_here_waits_and_says_so(in_use):
    child = in_use.hold_elsewhere()
    entered = threading.Event()

    def enter():
        with in_use.held():
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    try:
        ends = time.monotonic() + 30
        while not in_use.told and time.monotonic() < ends:
            time.sleep(0.05)
        assert re.fullmatch(
            r"Device device is in use by process \d+ \(.*\); waiting for it to end\.",
            "\n".join(in_use.told),
        )
        assert not entered.wait(0.3)
    finally:
        child.communicate("\n", timeout=30)
        waiting.join(60)
    assert entered.is_set()


def test_nothing_in_a_journal_is_run(in_use):
    """A journal is a file on a device, and anybody may have written it."""
    before = in_use.state.settings
    with in_use.held():
        journal = in_use.lease() / "journal"
        odd = {
            "low_power": "1; touch /data/local/tmp/bad",
            "$(touch bad)": "1",
            "governor.0": "../../../../data/local/tmp/bad",
            "governor.x": "performance",
            "screen": "$(touch /data/local/tmp/bad)",
            "fixed_performance": "true",
        }
        for name, value in odd.items():
            (journal / name).write_text(f"{value}\n")
    userland = in_use.attached.userland
    assert not list(userland.at("/data/local/tmp").rglob("*bad*"))
    changed = in_use.state.settings
    assert changed["scaling_governor"] == before["scaling_governor"]
    assert changed["settings/global/low_power"] == "0"
    assert not in_use.lease().exists()


def test_what_cannot_be_noted_is_not_touched(in_use):
    """A full disk must not leave a phone changed."""
    if not in_use.attached.userland.at("/data/full").exists():
        pytest.skip("this device has no small file system")
    in_use.folder = "/data/full/hwnat"
    fill = "mkdir -p /data/full/hwnat; cat /dev/zero >/data/full/zero 2>/dev/null; exit 0"
    in_use.link.run(["sh", "-c", fill], timeout_s=20)
    before = in_use.state.settings
    with pytest.raises(DeviceError, match="disk is full"), in_use.held():
        pass
    assert in_use.state.settings == before


def test_recovery_waits_for_the_living(in_use):
    """Only what a command that is gone has left is put back."""
    spec, link = in_use.spec, from_elsewhere(in_use.link)
    told: list[str] = []
    assert not recover(link, spec, folder=in_use.folder, tell=told.append)
    with in_use.held():
        changed = in_use.state.settings
        assert not recover(link, spec, folder=in_use.folder, tell=told.append)
        assert not recover(in_use.link, in_use.spec, folder=in_use.folder, tell=told.append)
        assert in_use.state.settings == changed
    assert "in use by host" in told[0]
    assert "Device device is in use by process" in told[1]


@pytest.mark.slow
def test_recovery_after_a_restart_of_the_phone(in_use):
    """Battery saver stays as it was set; no keeper has survived."""
    before = in_use.state.settings
    end(in_use.hold_elsewhere())
    machine = in_use.attached.userland
    machine.stop()
    assert machine.start() is None
    assert in_use.state.settings != before
    assert recover(in_use.link, in_use.spec, folder=in_use.folder, tell=in_use.told.append)
    assert in_use.state.settings == before
    assert "restored: " in in_use.told[-1]
    assert not in_use.lease().exists()


def test_only_one_of_many_takes_over(tmp_path):
    """Of those that find the owner gone at the same moment."""
    lease = tmp_path / "hwnat" / "lease"
    for _ in range(5):
        lease.mkdir(parents=True)
        (lease / "owner").write_text("00ff old-host\n")
        (lease / "beat").write_text("0 1 other-boot\n")
        argv = [
            script(
                "remote/take",
                folder=f"{tmp_path}/hwnat",
                token=f"{n:032x}",
                host_name=f"h{n}",
                lease_s="60",
                known="",
                how="take",
                keeper="exit 0",
                step_s="1",
            )
            for n in range(8)
        ]
        pipe = subprocess.PIPE
        running = [subprocess.Popen(each, stdout=pipe, text=True) for each in argv]
        said = [each.communicate()[0] for each in running]
        winners = [n for n, each in enumerate(said) if "taken" in each]
        assert len(winners) == 1
        assert (lease / "owner").read_text() == f"{winners[0]:032x} h{winners[0]}\n"
        assert all(each.startswith("held ") for n, each in enumerate(said) if n not in winners)
        LocalTransport().run(["rm", "-rf", f"{tmp_path}/hwnat"], timeout_s=10)


def test_a_keeper_of_nobody_ends(tmp_path):
    done = LocalTransport().run(
        script("remote/keeper", folder=str(tmp_path), token="0" * 32, step_s="0"), timeout_s=10
    )
    assert done.returncode == 0


def a_block(folder, token):
    """Start a process that is a block's driver as far as others can see."""
    block = folder / "setup" / f"block-{token}"
    block.mkdir(parents=True)
    driver = subprocess.Popen(["sh", "-c", "sleep 60; true", f"driver-{token}"])
    (block / "pid").write_text(f"{driver.pid}\n")
    return driver


def test_settings_are_not_changed_while_a_block_of_an_earlier_command_runs(tmp_path):
    """Its visits would be measured with other clocks than they began with."""
    folder, token = tmp_path / "hwnat", "f" * 32
    (folder / "lease").mkdir(parents=True)
    (folder / "lease/owner").write_text(f"{token} me\n")
    words = {"fixed": "no", "saver_off": "no", "screen_off": "no", "governor": ""}
    argv = script("remote/prepare", folder=str(folder), token=token, **words)
    driver = a_block(folder, "0abc")
    try:
        assert LocalTransport().run(argv, timeout_s=20).stdout == "busy\n"
    finally:
        driver.kill()
        driver.wait()
    assert LocalTransport().run(argv, timeout_s=20).stdout == "done\n"


def test_a_block_is_started_once_however_often_it_is_asked_for(tmp_path):
    """The answer to the first call may be lost."""
    folder, token = tmp_path / "setup", "0abd"
    folder.mkdir()
    (folder / "driver").write_text('echo $$ >"$1/block-$2/pid"; echo >>"$1/count"\n')
    argv = script("remote/start", dir=str(folder), token=token, most_s="9")
    for _ in range(3):
        (folder / f"plan-{token}").write_text("")
        assert LocalTransport().run(argv, timeout_s=20).stdout == "started\n"
    assert (folder / "count").read_text() == "\n"


def test_only_a_line_that_begins_with_the_whole_word_names_a_setting():
    lines = ["set governor", "settled screen", "set screen\t", "set unknown", "set governor"]
    assert named(lines, "set") == ["governor"]
    assert named(["set governor", "set screen"], "set") == ["screen", "governor"]


@pytest.mark.parametrize(("lease_s", "step_s"), [(90, 15), (5, 1), (1, 1)])
def test_a_device_looks_at_its_lease_six_times_before_it_ends(lease_s, step_s, tmp_path):
    lease = Lease(
        link=LocalTransport(), device="d", folder=str(tmp_path), tell=print, lease_s=lease_s
    )
    assert lease.step_s == step_s
