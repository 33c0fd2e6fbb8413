"""What goes wrong does so when it should, as often as it should, and leaves what it should."""

import time

import pytest
from played.faults import MANGLES, mangled, write_foreign

from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.transport.framing import new_token

LINES = "".join(f"{number}\n" for number in range(100)).encode()

#: So long is what the transport prints before it starts a command.
FIRST_MARK = len(f"{new_token()}<\n")


def eventually(true, *, within_s=10):
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def again(phone, *argv):
    """Run a command over a new link; adb by itself waits for seconds after it has lost one."""
    phone.adb("disconnect", phone.serial)
    return phone.link().run(argv, timeout_s=20).check()


def alive(phone, name):
    return name in phone.userland.processes().values()


@pytest.mark.parametrize("how", ["setsid", "nohup"])
def test_detached_program_outlives_link_and_shell(android_phone, how):
    link, inside = android_phone.link(), android_phone.userland
    inside.at(f"{inside.folder}/long").write_text("#!/bin/sh\nsleep 30\necho $?\n")
    inside.at(f"{inside.folder}/long").chmod(0o755)
    start = f"{how} {inside.folder}/long >/dev/null 2>&1 </dev/null &"
    link.run(["sh", "-c", start], timeout_s=20).check()
    android_phone.adbd.cut()
    again(android_phone, "true")
    android_phone.adbd.faults.cut_after = FIRST_MARK
    with pytest.raises(TransientDeviceError):
        link.run(["sh", "-c", f"{start} sleep 30"], timeout_s=20)
    time.sleep(0.2)
    assert list(inside.processes().values()).count("long") == 2


def test_plain_program_ends_with_its_link(android_phone):
    link, inside = android_phone.link(), android_phone.userland
    link.run(["true"], timeout_s=20)
    android_phone.adbd.faults.cut_after = FIRST_MARK
    with pytest.raises(TransientDeviceError):
        link.run(["sleep", "30"], timeout_s=20)
    eventually(lambda: not inside.processes())


def test_adbd_away_leaves_detached_programs_and_comes_back(android_phone):
    link, inside = android_phone.link(), android_phone.userland
    link.run(["sh", "-c", "setsid sleep 30 >/dev/null 2>&1 </dev/null &"], timeout_s=20).check()
    running = inside.processes()
    android_phone.adbd.away(0.1)
    android_phone.adbd.returned()
    assert again(android_phone, "echo", "back").stdout == "back\n"
    assert inside.processes().items() >= running.items()


def test_restart_before_a_command_keeps_files_only(android_phone):
    link, inside = android_phone.link(), android_phone.userland
    link.run(["sh", "-c", "touch $HOME/kept; setsid sleep 30 >/dev/null 2>&1 &"], timeout_s=20)
    faults = android_phone.adbd.faults
    faults.before, faults.times = lambda _: android_phone.adbd.away(0.3, restart=True), 1
    with pytest.raises(DeviceError):
        link.run(["touch", f"{inside.folder}/never"], timeout_s=20)
    android_phone.adbd.returned()
    assert again(android_phone, "ls", inside.folder).stdout == "kept\n"
    assert "sleep" not in inside.processes().values()


def test_faults_befall_so_many_matching_commands(android_phone):
    link, faults = android_phone.link(), android_phone.adbd.faults
    link.run(["true"], timeout_s=20)
    faults.says, faults.only, faults.skip, faults.times = b"no\n", "echo 7", 1, 1
    outcomes = []
    for number in (7, 8, 7, 7):
        try:
            outcomes.append(link.run(["sh", "-c", f"echo {number}"], timeout_s=20).stdout)
        except DeviceError:
            outcomes.append("lost")
    assert outcomes == ["7\n", "8\n", "lost", "7\n"]
    assert faults.struck == 1


def test_full_disk_and_its_end(a_phone, a_machine, tmp_path):
    phone = a_phone(inside=a_machine(disk_mib=1))
    (tmp_path / "some").write_bytes(bytes(50_000))
    target = f"{phone.userland.folder}/some"
    phone.userland.fill()
    with pytest.raises(DeviceError, match="disk is full"):
        phone.link().push(tmp_path / "some", target)
    phone.userland.free()
    phone.link().push(tmp_path / "some", target)
    assert phone.userland.at(target).stat().st_size == 50_000


def test_folder_starts_no_programs_for_a_while(android_phone):
    android_phone.userland.noexec(True)
    assert not android_phone.link().probe().executable
    android_phone.userland.noexec(False)
    assert android_phone.link().probe().executable


def test_foreign_program_is_refused(android_phone, tmp_path):
    target = f"{android_phone.userland.folder}/foreign"
    android_phone.link().push(write_foreign(tmp_path / "foreign"), target)
    done = android_phone.link().run([target], timeout_s=20)
    assert done.returncode
    assert "not executable" in done.stderr


def test_killed_program_is_gone(android_phone):
    link = android_phone.link()
    program = "printf '#!/bin/sh\\nread -r x <>/dev/null; sleep 30\\n' >$HOME/runner"
    link.run(["sh", "-c", f"{program}; chmod 755 $HOME/runner"], timeout_s=20).check()
    link.run(["sh", "-c", "setsid $HOME/runner >/dev/null 2>&1 </dev/null &"], timeout_s=20)
    eventually(lambda: alive(android_phone, "runner"))
    assert android_phone.userland.kill("runner") == 1
    assert not alive(android_phone, "runner")


@pytest.mark.parametrize("how", MANGLES)
def test_output_is_changed_in_the_same_way_for_a_seed(how):
    assert mangled(LINES, how, 3) == mangled(LINES, how, 3) != LINES
    assert mangled(LINES, how, 3) != mangled(LINES, how, 4)


@pytest.mark.parametrize(
    "fault", [{"cut_after": FIRST_MARK}, {"truncate": FIRST_MARK}, {"says": b"no\n"}]
)
def test_board_suffers_once(linux_board, fault):
    link, sshd = linux_board.link(), linux_board.sshd
    link.run(["true"], timeout_s=20)
    sshd.disturb(only="echo", times=1, **fault)
    with pytest.raises(DeviceError):
        link.run(["echo", "words"], timeout_s=20)
    assert linux_board.link().run(["echo", "words"], timeout_s=20).stdout == "words\n"
    assert sshd.struck == 1


def test_board_is_cut_off_in_a_push_and_restarts(linux_board, tmp_path):
    link, sshd = linux_board.link(), linux_board.sshd
    (tmp_path / "some").write_bytes(bytes(500_000))
    sshd.disturb(only="cat", times=1, cut_received=100_000)
    target = f"{linux_board.userland.folder}/some"
    with pytest.raises(TransientDeviceError):
        link.push(tmp_path / "some", target)
    sshd.away(0.2, restart=True)
    sshd.returned()
    link.push(tmp_path / "some", target)
    assert linux_board.userland.at(target).read_bytes() == bytes(500_000)
