"""What goes wrong between a genuine adb client and a device, and what hwnat says about it."""

import re
import secrets
import threading
from pathlib import Path

import pytest

from hwnat.errors import DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport import adb, remote
from hwnat.transport.adb import AdbTransport
from hwnat.transport.base import connect


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(adb, "WAIT_S", 2.0)
    monkeypatch.setattr(remote, "GRACE_S", 0.2)


@pytest.fixture
def a_file(tmp_path):
    def build(size=3_000_000):
        path = tmp_path / "model.bin"
        path.write_bytes(bytes(range(251)) * (size // 251))
        return path

    return build


@pytest.fixture
def a_folder():
    """Make an empty folder on a phone; the phone's files outlive a test."""

    def build(phone):
        folder = f"{phone.userland.folder}/{secrets.token_hex(4)}"
        phone.userland.at(folder).mkdir()
        return folder

    return build


def clients_of(phone):
    """Return the processes that still talk about this phone."""
    lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    return [line for line in lines if phone.serial.encode() in line and b"adb" in line]


def left_in(phone, folder):
    return sorted(each.name for each in phone.userland.at(folder).glob("*"))


@pytest.mark.slow
def test_a_phone_that_is_offline_is_said_to_be(phone):
    phone.adbd.faults.silent = True
    with pytest.raises(TransientDeviceError, match=r"is offline: unlock it") as refused:
        phone.link().run(["true"], timeout_s=15)
    assert "\n" not in str(refused.value)
    assert clients_of(phone) == []


def test_a_phone_that_has_not_allowed_this_computer_says_what_to_tap(phone):
    phone.adbd.faults.deny = True
    with pytest.raises(DeviceError, match="has not allowed this computer: unlock") as refused:
        phone.link().run(["true"], timeout_s=5)
    assert not isinstance(refused.value, TransientDeviceError)


def test_a_phone_that_accepts_the_computers_key_is_used(a_phone):
    phone = a_phone(authenticate=True)
    assert phone.link().run(["echo", "in"], timeout_s=20).stdout == "in\n"
    assert len(phone.adbd.keys) == 1


def test_a_wrong_serial_is_answered_with_how_to_find_the_right_one(a_phone):
    a_phone()
    with pytest.raises(DeviceError, match=r"No device adb R58M000: .*adb devices -l"):
        AdbTransport("R58M000").probe()


def test_without_adb_the_command_that_installs_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="'adb' is not on PATH; install it with: sudo apt"):
        AdbTransport("x")


def test_a_device_file_without_a_serial_says_how_to_find_one():
    spec = DeviceSpec(name="x", transport="plugin", target="onnx")
    with pytest.raises(UsageError, match="adb devices -l"):
        adb.connect(spec)


def test_a_device_file_leads_to_its_phone(a_phone):
    phone = a_phone()
    folder = f"{phone.userland.folder}/mine"
    spec = DeviceSpec(name="x", transport="adb", target="onnx", serial=phone.serial, workdir=folder)
    found = connect(spec).probe()
    assert (found.address, found.workdir) == (f"adb {phone.serial}", folder)
    assert re.fullmatch(r"adb 1\.0\.\d+ [\w.-]+", found.client)


def test_a_cable_pulled_during_a_push_leaves_no_file_and_the_next_push_succeeds(
    phone, a_file, a_folder
):
    link, folder = phone.link(), a_folder(phone)
    target = f"{folder}/model.bin"
    link.probe()
    phone.adbd.faults.cut_received = 500_000
    with pytest.raises(TransientDeviceError, match="run the same command again"):
        link.push(a_file(), target)
    assert "model.bin" not in left_in(phone, folder)
    assert clients_of(phone) == []
    phone.adbd.faults.clear()
    link.push(a_file(), target)
    assert phone.userland.at(target).read_bytes() == a_file().read_bytes()


def test_what_a_cut_push_left_behind_is_deleted_by_a_later_one(a_phone, a_file, a_folder):
    phone = a_phone()
    link, folder = phone.link(), a_folder(phone)
    for name in (".hwnat-old.part", ".hwnat-new.part", "mine.part"):
        link.run(["touch", f"{folder}/{name}"], timeout_s=20)
    for name in (".hwnat-old.part", "mine.part"):
        link.run(["touch", "-t", "202001010000", f"{folder}/{name}"], timeout_s=20).check()
    link.push(a_file(1000), f"{folder}/model.bin")
    kept = link.run(["ls", "-A", folder], timeout_s=20).stdout.split()
    assert sorted(kept) == [".hwnat-new.part", "mine.part", "model.bin"]


def test_a_cable_pulled_during_a_command_discards_what_it_printed(phone):
    link = phone.link()
    link.probe()
    threading.Timer(0.4, phone.adbd.drop).start()
    with pytest.raises(TransientDeviceError, match=r"was lost while sh -c .* ran") as refused:
        link.run(["sh", "-c", "echo 42; sleep 5; echo 43"], timeout_s=10)
    assert "Check cable" in str(refused.value)
    assert clients_of(phone) == []
    assert link.run(["echo", "back"], timeout_s=10).stdout == "back\n"


@pytest.mark.parametrize("kept", [0, 60, 140])
def test_truncated_output_is_never_taken_for_all_of_it(a_phone, kept):
    phone = a_phone()
    link = phone.link()
    link.probe()
    phone.adbd.faults.truncate = kept
    with pytest.raises(DeviceError, match=r"was lost while|did not run"):
        link.run(["echo", "1" * 20], timeout_s=5)


def test_output_cut_with_the_cable_is_never_taken_for_all_of_it(phone):
    link = phone.link()
    link.probe()
    phone.adbd.faults.cut_sent = 40_000
    with pytest.raises(TransientDeviceError, match="was lost while"):
        link.run(["sh", "-c", "yes | head -c 200000"], timeout_s=10)


def test_a_full_disk_is_said_to_be_full_and_nothing_is_left(phone, a_file):
    if phone.userland.reason:
        pytest.skip(phone.userland.reason)
    with pytest.raises(DeviceError, match="its disk is full; delete files there") as refused:
        phone.link().push(a_file(1_000_000), "/data/full/model.bin")
    assert not isinstance(refused.value, TransientDeviceError)
    assert list(phone.userland.at("/data/full").iterdir()) == []


def test_a_folder_that_starts_no_program_is_told_by_probe_and_by_the_program(a_phone, tmp_path):
    phone = a_phone()
    if phone.userland.reason:
        pytest.skip(phone.userland.reason)
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho no\n")
    tool.chmod(0o755)
    link = phone.link(workdir="/sdcard/hwnat")
    assert not link.probe().executable
    link.push(tool, "/sdcard/hwnat/tool")
    with pytest.raises(DeviceError, match=r"ended with 126.*set another workdir"):
        link.run(["/sdcard/hwnat/tool"], timeout_s=10).check()


@pytest.mark.slow
def test_a_device_that_never_answers_is_given_up(a_phone):
    phone = a_phone()
    link = phone.link()
    link.probe()
    phone.adbd.faults.hang = True
    with pytest.raises(TransientDeviceError, match=r"did not answer within \d+ s. Check that"):
        link.run(["true"], timeout_s=0.5)
    assert clients_of(phone) == []


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"\x1b]0;owned\x07\x1b[31m0\n\0\xff" * 3,
        b"hwnat-00000000000000000000000000000000<\n1\n\nhwnat-00000000000000000000000000000000>0\n",
        b"\nhwnat-" + b"f" * 32 + b"!ended\n",
        b"/system/bin/sh: syntax error\n",
    ],
)
def test_garbage_is_quoted_without_its_control_characters(a_phone, says):
    phone = a_phone()
    link = phone.link()
    link.probe()
    phone.adbd.faults.says = says
    with pytest.raises(DeviceError, match="did not run true in a POSIX shell") as refused:
        link.run(["true"], timeout_s=5)
    assert str(refused.value).isprintable()


def test_an_answer_of_nothing_may_be_a_lost_link(a_phone):
    phone = a_phone()
    link = phone.link()
    link.probe()
    phone.adbd.faults.says, phone.adbd.faults.times = b"", 1
    with pytest.raises(TransientDeviceError, match="the link may have been lost"):
        link.run(["true"], timeout_s=5)
    link.run(["true"], timeout_s=5).check()


def test_a_command_that_something_kills_had_its_time(a_phone):
    killer = ["sh", "-c", 'kill -9 "$PPID"; sleep 1']
    with pytest.raises(TransientDeviceError, match=r"ended early on"):
        a_phone().link().run(killer, timeout_s=30)


def test_a_file_that_arrives_damaged_is_not_kept(a_phone, a_file, a_folder):
    phone = a_phone()
    link, folder = phone.link(), a_folder(phone)
    phone.adbd.faults.flip = True
    with pytest.raises(TransientDeviceError, match="what arrived differs from what was sent"):
        link.push(a_file(1000), f"{folder}/model.bin")
    assert left_in(phone, folder) == []


@pytest.mark.parametrize("which", ["debian", pytest.param("google", marks=pytest.mark.slow)])
def test_an_old_device_without_separate_streams_still_gives_the_status(
    which, a_phone, a_file, a_folder
):
    phone = a_phone(which, features="cmd")
    link, folder = phone.link(), a_folder(phone)
    done = link.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\nerr\n", "")
    link.push(a_file(1000), f"{folder}/model.bin")
    link.pull(f"{folder}/model.bin", a_file(1000).with_name("back"))
    assert a_file(1000).with_name("back").read_bytes() == a_file(1000).read_bytes()


@pytest.mark.slow
def test_a_phone_that_restarts_is_gone_for_a_while_and_then_used_again(phone, monkeypatch):
    link = phone.link()
    link.probe()
    phone.adbd.stop()
    with pytest.raises(TransientDeviceError, match=r"run the same command again|plug it in"):
        link.run(["true"], timeout_s=5)
    with pytest.raises(TransientDeviceError):
        link.run(["true"], timeout_s=5)
    phone.adbd.start()
    monkeypatch.setattr(adb, "WAIT_S", 15.0)
    assert link.run(["echo", "up"], timeout_s=10).stdout == "up\n"


def test_a_device_without_a_time_limit_is_refused(a_phone, a_folder, monkeypatch):
    phone = a_phone()
    few = a_folder(phone)
    for tool in ("sh", "printf"):
        phone.userland.at(few).joinpath(tool).symlink_to(f"{phone.userland.path}/{tool}")
    link = phone.link()
    link.probe()
    monkeypatch.setattr(type(phone.userland), "env", {"PATH": few})
    with pytest.raises(DeviceError, match=r"has no program 'timeout'.*install toybox"):
        link.run(["true"], timeout_s=5)


@pytest.mark.parametrize(
    ("printed", "transient", "words"),
    [
        ("error: device unauthorized.\nThis adb server's …", False, "has not allowed"),
        ("error: no permissions (user in plugdev group …); see […]", False, "may not open"),
        ("error: insufficient permissions for device", False, "plugdev"),
        ("error: device offline", True, "is offline"),
        ("error: device still connecting", True, "is offline"),
        ("error: device 'R58' not found", False, "adb devices -l"),
        ("error: no devices/emulators found", False, "adb devices -l"),
        ("adb: error: failed to start daemon\nerror: cannot connect to daemon", False, "server"),
        ("error: closed", True, "was lost"),
        ("adb: error: failed to read: Connection reset by peer", True, "was lost"),
    ],
)
def test_every_error_of_adb_has_a_cause_and_a_next_step(a_phone, printed, transient, words):
    error = a_phone().link()._explain(printed)
    assert words in str(error)
    assert isinstance(error, TransientDeviceError) == transient
    assert str(error).isprintable()


def test_a_phone_in_another_state_is_not_waited_for_as_a_device(tmp_path, monkeypatch):
    (tmp_path / "adb").write_text("#!/bin/sh\n[ $1 = start-server ] || echo recovery\n")
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(adb, "WAIT_S", 0.2)
    with pytest.raises(DeviceError, match=r"adb reports its state as 'recovery'. Start Android"):
        AdbTransport("R58").run(["true"], timeout_s=5)


def test_an_adb_server_that_does_not_start_is_named(tmp_path, monkeypatch):
    (tmp_path / "adb").write_text("#!/bin/sh\necho cannot bind >&2; exit 1\n")
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DeviceError, match=r"server does not start.*printed: cannot bind"):
        AdbTransport("R58").run(["true"], timeout_s=5)


def test_the_server_of_the_user_is_never_stopped(tmp_path, monkeypatch):
    (tmp_path / "adb").write_text(
        f'#!/bin/sh\nprintf "%s\\0" "$*" >>{tmp_path}/calls\necho device\n'
    )
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    link = AdbTransport("R58")
    for call in (lambda: link.run(["true"], timeout_s=5), link.probe):
        with pytest.raises(DeviceError):
            call()
    link.close()
    calls = (tmp_path / "calls").read_text().rstrip("\0").split("\0")
    assert not any("kill-server" in call for call in calls)
    ours = ("start-server", "version")
    assert all(call.startswith("-s R58 ") for call in calls if not call.startswith(ours))


def auto(**keys):
    return DeviceSpec(name="x", transport="adb", target="tflite", serial="auto", **keys)


def test_the_only_phone_attached_needs_no_serial(a_phone, monkeypatch):
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    phone = a_phone()
    phone.adb("disconnect")
    with pytest.raises(DeviceError, match="Device x: no phone is attached"):
        connect(auto())
    phone.adb("connect", phone.serial)
    folder = f"{phone.userland.folder}/auto"
    assert connect(auto(workdir=folder)).probe().address == f"adb {phone.serial}"


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Have a program in adb's place list devices: `listed("R58", state="recovery")`."""
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(adb, "WAIT_S", 0.2)

    def install(*serials, state="device"):
        lines = ["* daemon started successfully", "List of devices attached"]
        lines += [f"{serial}\t{state}" for serial in serials]
        text = "\n".join(lines)
        script = f"#!/bin/sh\ncase $* in devices) cat <<'E'\n{text}\n\nE\n;;\n"
        script += f"*get-state) echo {state};; esac\n"
        (tmp_path / "adb").write_text(script)
        (tmp_path / "adb").chmod(0o755)

    return install


@pytest.mark.parametrize(
    "serial", ["adb-R5CT10ABCDE-x9YzAb (2)._adb-tls-connect._tcp", "R58M", "192.168.1.5:5555"]
)
def test_the_serial_of_the_only_phone_is_taken_whole(listed, serial):
    listed(serial)
    assert connect(auto()).address == f"adb {serial}"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("recovery", "adb reports its state as 'recovery'"),
        ("sideload", "adb reports its state as 'sideload'"),
        ("authorizing", "has not allowed this computer"),
        ("connecting", "is offline"),
    ],
)
def test_a_phone_that_is_not_ready_is_attached_all_the_same(listed, state, words):
    listed("R58 (2)", state=state)
    with pytest.raises(DeviceError, match=words):
        connect(auto()).probe()


def test_of_several_phones_the_user_says_which(a_phone, monkeypatch):
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    phones = a_phone(), a_phone()
    phones[0].adb("disconnect")
    for each in phones:
        each.adb("connect", each.serial)
    with pytest.raises(UsageError, match=r"2 phones are attached.*set `serial`"):
        connect(auto())
    monkeypatch.setenv("ANDROID_SERIAL", phones[1].serial)
    assert connect(auto()).address == f"adb {phones[1].serial}"
