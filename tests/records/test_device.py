from dataclasses import replace
from pathlib import Path

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records import device
from hwnat.records.device import DeviceSpec, Npu, TimingProtocol, device_names, load_device

ADB = 'transport = "adb"\ntarget = "tflite"\n'
SSH = 'transport = "ssh"\ntarget = "tflite"\n'
GOOD = 'transport = "local"\ntarget = "onnx"\n'


@pytest.mark.parametrize("target", ["onnx", "tflite", "openvino"])
def test_the_shipped_devices_are_found_from_any_folder(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load_device(f"host-{target}")
    assert (spec.target, spec.transport, spec.threads) == (target, "local", 1)
    assert f"host-{target}" in device_names()


@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u65-512", "ethos-u85-256"])
def test_npus_name_accelerator_system_and_memory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load_device(name)
    assert (spec.target, spec.precision, spec.npu.accelerator) == ("ethosu", "int8", name)
    assert spec.npu.system.startswith("Ethos_" + name.split("-")[1].upper())
    assert len(spec.npu.id) == 12
    assert replace(spec.npu, memory="Sram_Only").id != spec.npu.id


@pytest.mark.parametrize("value", ["", "-x", "a b", "a;b", "a\nb", "$(x)"])
@pytest.mark.parametrize("field", ["accelerator", "system", "memory", "config"])
def test_an_npu_is_described_by_plain_names(field, value):
    with pytest.raises(DataError, match=f"npu.{field} is"):
        Npu(**({"accelerator": "a", "system": "b", "memory": "c"} | {field: value}))


def test_a_file_of_the_working_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("devices").mkdir()
    Path("devices/host-onnx.toml").write_text(GOOD + "threads = 3\naffinity = [0, 2]\n")
    spec = load_device("host-onnx")
    assert (spec.threads, spec.affinity) == (3, (0, 2))


def test_a_path_is_read_as_it_stands(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "[protocol]\nrounds = 2\n")
    assert load_device(path) == DeviceSpec(
        name="mine", transport="local", target="onnx", protocol=TimingProtocol(rounds=2)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "thread = 1", "mine.toml: unknown key 'thread'. Did you mean 'threads'?"),
        (GOOD + "[protocol]\nround = 1", "protocol: unknown key 'round'. Did you mean 'rounds'?"),
        ('target = "onnx"', "key 'transport' is missing"),
        (GOOD + "threads = 0", "threads is 0"),
        (GOOD + 'affinity = "fast"', "affinity: expected"),
        (GOOD + "affinity = []", "not a list of distinct core numbers"),
        (GOOD + "affinity = [1, 1]", "not a list of distinct core numbers"),
        (GOOD + 'precision = "int4"', "expected one of fp32, int8"),
        (GOOD + '[npu]\naccelerator = "a"\nsystem = "b"', "npu: key 'memory' is missing"),
        (GOOD + "[protocol]\nruns = 0", "at least one round and one run"),
        (GOOD + 'name = "other"', "name is 'other'"),
        (GOOD + 'serial = "R58"', "serial is for transport 'adb', not for 'local'"),
        (ADB, "transport 'adb' needs the key 'serial'"),
        (ADB + 'serial = ""', "transport 'adb' needs the key 'serial'"),
        (ADB + 'serial = "a;b"', "serial is 'a;b'; it can hold letters, digits"),
        (ADB + 'serial = "-s"', "serial is '-s'"),
        (ADB + 'serial = "R58"\nhost = "b"', "host is for transport 'ssh', not for 'adb'"),
        (ADB + 'serial = "R58"\nworkdir = "tmp"', "workdir is 'tmp'; it must be the full path"),
        (ADB + 'serial = "R58"\nworkdir = "/a/../b"', "without '..'"),
        (SSH, "transport 'ssh' needs the key 'host'"),
        (SSH + 'host = "-oProxyCommand=x"', "host is '-oProxyCommand=x'"),
        (SSH + 'host = "b"\nuser = "a b"', "user is 'a b'"),
        (SSH + 'host = "b"\nport = 0', "port is 0; it must be from 1 to 65535"),
        (SSH + 'host = "b"\nport = "22"', "port: expected int"),
        (SSH + 'host = "b"\nworkdir = "~/x"', "workdir is '~/x'"),
        (SSH + 'host = "b"\nworkdir = "/"', "workdir is '/'"),
        ('transport = "replay"\ntarget = "onnx"\n', "needs the key 'transcript'"),
        ("transport = ", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_a_usage_error_in_one_line(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        load_device(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value).split("not a TOML file")[0]


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UsageError, match="Did you mean host-onnx"):
        load_device("host-onn")


def test_a_device_without_cores_cannot_be_built():
    with pytest.raises(DataError):
        DeviceSpec(name="x", transport="local", target="onnx", affinity=())


def test_the_package_carries_the_repository_files():
    repository = Path(__file__).parents[2] / "devices"
    shipped = device.FOLDERS[-1]
    assert {p.name: p.read_text() for p in repository.glob("*.toml")} == {
        p.name: p.read_text() for p in shipped.glob("*.toml")
    }


@pytest.mark.parametrize(
    "serial",
    [
        "R58M12ABCDE",
        "emulator-5554",
        "192.168.1.5:5555",
        "[fe80::1%eth0]:5555",
        "adb-R58M-x1Yz (2)._adb-tls-connect._tcp",
    ],
)
def test_every_kind_of_serial_is_taken(serial):
    spec = DeviceSpec(name="x", transport="adb", target="tflite", serial=serial)
    assert spec.serial == serial


@pytest.mark.parametrize("host", ["pi5", "pi5.local", "10.0.0.7", "fe80::1%eth0", "board_1"])
def test_every_kind_of_host_is_taken(host):
    spec = DeviceSpec(name="x", transport="ssh", target="tflite", host=host, port=2222, user="pi")
    assert (spec.host, spec.port, spec.user) == (host, 2222, "pi")


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "..", "a b", "a\nb", "a\x1b[m", "a.toml"])
def test_a_name_that_is_no_plain_file_name_is_refused(name):
    with pytest.raises(DataError, match="is not the name of a device"):
        DeviceSpec(name=name, transport="local", target="onnx")


def test_a_plugin_may_use_any_address():
    spec = DeviceSpec(name="x", transport="serial-line", target="onnx", host="b", serial="s")
    assert (spec.host, spec.serial) == ("b", "s")


@pytest.mark.parametrize(
    "path", sorted(device.FOLDERS[1].glob("*.toml")), ids=lambda path: path.stem
)
def test_every_shipped_device_says_what_it_is_and_how_it_was_tried(path):
    spec = load_device(path)
    assert spec.about
    assert (spec.verified is None) == ("Never tried" in path.read_text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gate]\nskin = 30", "gate: unknown key 'skin'. Did you mean 'skin_c'?"),
        ("[gate]\nskin_c = 0", "needs temperatures above 0"),
        ("[gate]\nbattery_percent = 101", "a charge from 0 to 100"),
        ('delegate = "gpu;reboot"', "delegate is 'gpu;reboot'"),
        ('governor = "performance$(x)"', "governor is"),
        ('python = "-c"', "python is '-c'"),
    ],
)
def test_what_would_become_a_command_or_a_senseless_gate_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + text)
    with pytest.raises(UsageError) as error:
        load_device(path)
    assert message in str(error.value)
