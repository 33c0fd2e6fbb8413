"""`hwnat device`, from a person's side, on this machine, a phone and a board."""

import json
import signal
import subprocess
import sys

import pytest
from played.sshd import free_port

from hwnat.device.probe import probe_machine
from hwnat.records.device import load_device
from hwnat.remote.hold import held

#: Holds a device until it is ended, as a profile does.
HOLD = """
import sys
from hwnat.device.probe import probe_machine
from hwnat.remote.hold import held
from hwnat.records.device import load_device
from hwnat.transport.base import connect
spec = load_device(sys.argv[1])
link = connect(spec)
with held(link, spec, probe_machine(link), folder=link.probe().workdir, tell=print, lease_s=600):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def device_json(hwnat):
    """Run `hwnat device ARGS --json`; return what it printed."""

    def run(*args):
        code, out, err = hwnat("device", *args, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def test_the_shipped_devices_are_listed(hwnat, device_json):
    devices = {row["name"]: row for row in device_json("list")}
    assert {"host-onnx", "host-tflite", "host-openvino"} <= devices.keys()
    code, out, _ = hwnat("device", "list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert "verified" in lines["device"]
    for name, row in devices.items():
        shown = lines[name].rstrip().removesuffix(row["about"] or "").split()
        assert shown[-2:] == [row["precision"], "yes" if row["verified"] else "no"]
        assert lines[name].rstrip().endswith(row["about"] or "")


def test_the_doctor_reads_this_machine(hwnat, device_json):
    printed = device_json("doctor", "host-onnx")
    assert printed["runtime"].startswith("onnxruntime ")
    assert printed["cores"] >= 1
    assert "runtime         onnxruntime" in hwnat("device", "doctor", "host-onnx")[1]


def test_the_doctor_names_the_npu_that_is_estimated(device_json):
    pytest.importorskip("ethosu", reason="no Vela; pip install hwnat[ethosu]")
    printed = device_json("doctor", "ethos-u55-128")
    assert printed["runtime"].startswith("ethos-u-vela ")
    assert printed["memory"] == "Shared_Sram"
    assert "cores" not in printed


def test_this_machine_is_probed(hwnat, device_json):
    printed = device_json("probe", "host-onnx")
    assert printed["host"]["cores"] >= 1
    assert printed["android_api"] is None
    code, out, _ = hwnat("device", "probe", "host-onnx")
    assert code == 0
    assert f"instructions    {printed['abi']}" in out
    assert "battery" not in out


def test_a_phone_is_probed(hwnat, device_json, android_phone, tmp_path):
    path = android_phone.device_file(tmp_path)
    android_phone.state.set(skin_mc=31_200, cpu_mc=44_000)
    printed = device_json("probe", path)
    assert [row["part"] for row in printed["clusters"]] == [
        "Cortex-A55",
        "Cortex-A78",
        "Cortex-X1",
    ]
    assert printed["conditions"]["skin_c"] == 31.2
    code, out, _ = hwnat("device", "probe", path)
    assert code == 0
    for line in (
        "board           Fixture 8",
        "hottest zone    44.0 °C",
        "skin            31.2 °C",
        "battery         90 %, 27.0 °C",
        "battery saver   off",
        "screen          on",
    ):
        assert line in out.splitlines()
    rows = [line.split() for line in out.splitlines()]
    assert ["7", "Cortex-X1", "2850", "2850", "2850", "1024"] in rows


def test_the_doctor_reaches_a_phone(device_json, a_phone, tmp_path):
    phone = a_phone()
    printed = device_json("doctor", phone.device_file(tmp_path, "phone"))
    assert printed["address"] == f"adb {phone.serial}"
    assert printed["executable"]
    assert printed["cores"] >= 1
    assert printed["runner"] == "litert"
    if phone.userland.reason is None:
        printed = device_json("doctor", phone.device_file(tmp_path, "phone", workdir="/sdcard/x"))
        assert "No program starts in /sdcard/x: set another workdir." in printed["advice"]
        assert printed["runner"] is None


def test_the_doctor_says_what_is_wrong_with_a_phone(hwnat, android_phone, tmp_path):
    path = android_phone.device_file(tmp_path, clocks="free", threads=6)
    android_phone.state.set(battery_percent=12, thermal_status=2, clock_percent=60)
    code, out, err = hwnat("device", "doctor", path)
    assert code == 0
    assert "pinned_to       2, 3, 4, 5, 6, 7" in out
    for words in (
        "Not now: the battery holds 12 %, the gate requires at least 30",
        "Not now: thermal status is 2 (moderate)",
        'set clocks = "fixed"',
        "A clock is limited to 1081.8 of 1803 MHz",
        "6 threads run on cores of different speed (clusters of 1, 3, 4)",
        "hwnat device setup device --litert",
        "Use a USB cable",
    ):
        assert words in err, err


def test_the_doctor_says_what_is_wrong_with_a_board(hwnat, linux_board, tmp_path):
    cpufreq = linux_board.state.sys / "devices/system/cpu/cpufreq/policy0"
    (cpufreq / "scaling_governor").write_text("ondemand\n")
    path = linux_board.device_file(tmp_path, target="onnx")
    code, _, err = hwnat("device", "doctor", path)
    assert code == 0
    assert "Governor 'ondemand' follows the load" in err
    assert 'set governor = "performance" in the device file' in err
    (cpufreq / "scaling_governor").write_text("powersave\n")
    path = linux_board.device_file(tmp_path, target="onnx", affinity=[9])
    err = hwnat("device", "doctor", path)[2]
    assert "measured at the slowest clock" in err
    assert "Cores [9] are not available" in err


def test_the_doctor_cannot_reach_a_board_that_is_off(hwnat, board, tmp_path):
    path = board.device_file(tmp_path, port=free_port())
    code, out, err = hwnat("device", "doctor", path)
    assert (code, out) == (4, "")
    assert "no ssh server answers on its port" in err


def test_the_doctor_puts_back_what_a_killed_command_left(hwnat, android_phone, tmp_path):
    path = android_phone.device_file(tmp_path)
    before = android_phone.state.settings
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert any(line == "held\n" for line in child.stdout)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert android_phone.state.settings != before
    code, _, err = hwnat("device", "doctor", path)
    assert code == 0
    assert android_phone.state.settings == before
    assert "an earlier command ended without restoring its settings" in err
    assert "restored: fixed-performance mode, screen" in err
    assert "restored" not in hwnat("device", "doctor", path)[2]


def test_the_doctor_leaves_a_device_alone_that_is_in_use(hwnat, android_phone, tmp_path):
    path = android_phone.device_file(tmp_path)
    spec, link = load_device(path), android_phone.link()
    folder = link.probe().workdir
    with held(link, spec, probe_machine(link), folder=folder, tell=print):
        during = android_phone.state.settings
        code, _, err = hwnat("device", "doctor", path)
        assert android_phone.state.settings == during
    assert code == 0
    assert "is in use by process" in err


def test_one_unreadable_file_does_not_break_the_list(hwnat, tmp_path):
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices/broken.toml").write_text("threads =")
    (tmp_path / "devices/odd.toml").write_bytes(b"\xff\xfe")
    code, out, err = hwnat("device", "list")
    assert code == 0
    assert "host-onnx" in out
    assert "broken: unreadable: devices/broken.toml: not a TOML file" in err
    assert "odd: unreadable: devices/odd.toml" in err
    code, out, _ = hwnat("device", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert "not a TOML file" in rows["broken"]["unreadable"]
    assert "transport" in rows["host-onnx"]


def test_a_new_device_is_written_listed_and_used(hwnat, device_json, tmp_path):
    code, out, err = hwnat("device", "new", "mine", "--local", "--target", "onnx")
    assert (code, out) == (0, "devices/mine.toml\n")
    assert "hwnat profile --device mine --space mbv3-nano" in err
    assert {"mine"} <= {row["name"] for row in device_json("list")}
    assert device_json("doctor", "mine")["runtime"].startswith("onnxruntime")
    text = (tmp_path / "devices/mine.toml").read_text()
    code, _, err = hwnat("device", "new", "mine", "--local")
    assert (code, "devices/mine.toml exists and is not overwritten" in err) == (2, True)
    assert (tmp_path / "devices/mine.toml").read_text() == text


def test_a_new_phone_is_found_on_its_cable(hwnat, android_phone, tmp_path):
    code, out, err = hwnat("device", "new", "phone", "--serial", android_phone.serial)
    assert (code, out) == (0, "devices/phone.toml\n")
    assert "hwnat device setup phone" in err
    assert f'serial = "{android_phone.serial}"' in (tmp_path / "devices/phone.toml").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a", "--local", "--ssh", "pi"], "--ssh and --local name different devices"),
        (["a", "--user", "pi"], "Name the board with --ssh HOST"),
        (["../a", "--local"], "is not"),
        (["a", "--ssh", "-oProxyCommand=x"], "host is"),
        (["a", "--local", "--target", "onyx"], "Did you mean onnx?"),
    ],
)
def test_a_new_device_that_cannot_be_is_refused(hwnat, tmp_path, args, words):
    code, out, err = hwnat("device", "new", *args)
    assert (code, out) == (2, "")
    assert words in err
    assert not list(tmp_path.rglob("*.toml"))


def test_no_python_values_are_printed(hwnat, android_phone, tmp_path):
    path = android_phone.device_file(tmp_path)
    for args in (("doctor", "host-onnx"), ("doctor", path), ("probe", path)):
        out = hwnat("device", *args)[1]
        for value in ("None", "True", "False", "(", "["):
            words = [line for line in out.splitlines() if line[16:].startswith(value)]
            assert words == [], words
