"""Whole devices behave like a phone and a board where a profile depends on it."""

import pytest
from played.machine import MODELS

from hwnat.records.device import load_device
from hwnat.transport.base import connect


def said(link, line):
    return link.run(["sh", "-c", line], timeout_s=20).check().stdout


@pytest.mark.parametrize("name", [name for name in MODELS if name != "board"])
def test_phone_has_its_models_cores(a_machine, name):
    machine = a_machine(name)
    done = machine.run("nproc; cat /sys/devices/system/cpu/cpufreq/policy*/related_cpus")
    assert done.stdout.split()[0] == str(machine.model.cores) == "8"
    assert sorted(done.stdout.split()[1:]) == sorted("01234567")


def test_phone_tells_its_temperatures_and_closes_one_zone(android_phone):
    link = android_phone.link()
    android_phone.state.set(thermal_status=3, skin_mc=41_500)
    status, _, fresh = said(link, "dumpsys thermalservice").partition("temperatures from HAL:")
    assert "Thermal Status: 3" in status
    assert "mValue=41.5, mType=3" not in status
    assert "mValue=41.5, mType=3" in fresh
    zones = link.run(["sh", "-c", "cat /sys/class/thermal/*/temp"], timeout_s=20)
    assert "41500" in zones.stdout
    assert "Permission denied" in zones.stderr


def test_what_is_set_shows_in_clocks_and_journal(android_phone):
    link, state = android_phone.link(), android_phone.state
    before, clocks = state.settings, state.clocks
    said(link, "cmd power set-fixed-performance-mode-enabled true; input keyevent 223")
    assert state.get("fixed_performance") == "1"
    assert [int(new) < int(old) for new, old in zip(state.clocks, clocks, strict=True)] == [
        True
    ] * 3
    assert "mWakefulness=Asleep" in said(link, "dumpsys power")
    said(link, "cmd power set-fixed-performance-mode-enabled false; input keyevent 224")
    assert state.settings == before
    assert state.journal[0] == "cmd power set-fixed-performance-mode-enabled true"
    assert len(state.journal) == 4


def test_settings_of_a_phone_are_kept_and_deleted(android_phone):
    link = android_phone.link()
    assert said(link, "settings get global some_thing") == "null\n"
    assert said(link, "settings put global some_thing 5; settings get global some_thing") == "5\n"
    assert said(link, "settings delete global some_thing") == "Deleted 1 rows\n"


def test_shell_of_a_phone_changes_no_clock(android_phone):
    governor = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    done = android_phone.link().run(["sh", "-c", f"echo performance > {governor}"], timeout_s=20)
    assert done.returncode != 0
    assert android_phone.state.policies("scaling_governor") == ["schedutil"] * 3


def test_mask_is_noted_and_one_without_cores_is_refused(android_phone):
    link = android_phone.link()
    assert said(link, "taskset f0 echo here") == "here\n"
    assert android_phone.state.affinity == ["f0 echo here"]
    android_phone.state.online({0, 1, 2, 3})
    assert link.run(["taskset", "f0", "echo"], timeout_s=20).returncode == 1


def test_restart_keeps_files_and_ends_processes(a_machine):
    machine = a_machine()
    line = "cat /proc/sys/kernel/random/boot_id; cmd power set-fixed-performance-mode-enabled true"
    boot = machine.run(f"touch $HOME/kept; setsid sleep 60 >/dev/null 2>&1 & {line}").stdout
    assert machine.processes()
    machine.stop()
    assert machine.run("true").returncode
    assert machine.start() is None
    done = machine.run("ls $HOME; cat /proc/sys/kernel/random/boot_id")
    assert done.stdout.startswith("kept\n")
    assert boot not in done.stdout
    assert not machine.processes()
    assert machine.state.get("fixed_performance") == "0"


def test_board_lets_root_set_the_governor(linux_board):
    link = linux_board.link()
    said(link, "echo performance > /sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
    assert linux_board.state.policies("scaling_governor") == ["performance"]
    assert link.run(["getprop"], timeout_s=20).returncode == 127


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "ai_edge_litert.interpreter"])
def test_board_has_a_python_with_the_runtimes(linux_board, runtime):
    pytest.importorskip(runtime)
    line = f"import {runtime}, os; print(os.cpu_count())"
    done = linux_board.link().run([linux_board.python, "-c", line], timeout_s=60)
    assert done.check().stdout == "4\n"


def test_device_files_reach_the_devices(android_phone, linux_board, tmp_path):
    for device in (android_phone, linux_board):
        path = device.device_file(tmp_path, threads=2, gate={"wait_s": 1.0})
        assert connect(load_device(path)).probe().executable
