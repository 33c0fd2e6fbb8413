"""A device file names no program or folder unless it came with hwnat or the user trusts it."""

import json
import os

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.device import DeviceSpec, load_device, named_device, powers, read_device
from hwnat.records.trust import trusted_path

LOCAL = {"transport": "local", "target": "onnx"}
SSH = {"transport": "ssh", "host": "board", "target": "onnx"}
ADB = {"transport": "adb", "serial": "auto", "target": "tflite"}
REPLAY = {"transport": "replay", "target": "onnx"}
NPU = {"accelerator": "ethos-u55-128", "system": "s", "memory": "m"}


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def write(path, **keys):
    path.parent.mkdir(exist_ok=True)
    npu = keys.pop("npu", None)
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    if npu:
        lines += ["[npu]", *(f"{key} = {json.dumps(value)}" for key, value in npu.items())]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({**LOCAL, "runner": "agent"}, "starts runner 'agent' on this machine"),
        ({**LOCAL, "python": "/tmp/payload"}, "starts the program '/tmp/payload'"),
        ({**LOCAL, "workdir": "/home/me"}, "writes to folder '/home/me'"),
        ({**SSH, "python": "/tmp/payload"}, "starts the program '/tmp/payload'"),
        ({**SSH, "python": "payload"}, "starts the program 'payload'"),
        ({**SSH, "workdir": "/home/pi"}, "writes to folder '/home/pi'"),
        ({**ADB, "workdir": "/data/local/tmp/x"}, "writes to folder '/data/local/tmp/x'"),
        ({**REPLAY, "transcript": "/etc/passwd"}, "reads '/etc/passwd'"),
        ({**REPLAY, "transcript": "a/../../b"}, "reads 'a/../../b'"),
        ({**LOCAL, "npu": {**NPU, "config": "/etc/passwd"}}, "reads '/etc/passwd'"),
        ({**LOCAL, "npu": {**NPU, "config": "../x.ini"}}, "reads '../x.ini'"),
    ],
)
def test_a_received_file_that_names_a_program_or_a_folder_is_not_followed(tmp_path, keys, says):
    path = write(tmp_path / "received" / "phone.toml", **keys)
    with pytest.raises(DataError) as refused:
        load_device(path)
    assert says in str(refused.value)
    assert str(refused.value).endswith(f"hwnat device trust {path}")
    read_device(path).trust()
    assert load_device(path) == read_device(path).spec
    path.write_text(path.read_text() + "\n# edited")
    with pytest.raises(DataError, match="device trust"):
        load_device(path)


@pytest.mark.parametrize(
    "keys",
    [
        LOCAL,
        {**LOCAL, "npu": NPU},
        {**LOCAL, "npu": {**NPU, "config": "mine.ini"}},
        {**SSH, "runner": "agent"},
        {**SSH, "python": "python3.11"},
        {**ADB, "runner": "benchmark_model", "delegate": "gpu"},
        {**REPLAY, "transcript": "calls.jsonl"},
    ],
)
def test_a_file_that_uses_only_the_installation_needs_no_trust(tmp_path, keys):
    path = write(tmp_path / "phone.toml", **keys)
    assert load_device(path) == read_device(path).spec
    assert not trusted_path().exists()


def test_every_key_of_a_device_file_is_either_judged_or_known_to_be_harmless():
    # A new key that may hold a program or a path has to be added to `powers`.
    harmless = {
        *("name", "transport", "target", "threads", "affinity", "priority", "precision"),
        *("protocol", "serial", "host", "port", "user", "delegate", "clocks", "governor"),
        *("gate", "about", "verified", "soc", "board"),
    }
    judged = {"workdir", "transcript", "npu", "runner", "python"}
    assert set(DeviceSpec.__dataclass_fields__) == harmless | judged


@pytest.mark.parametrize("python", ["devices/payload", "./payload", "../payload"])
def test_a_program_never_depends_on_the_working_folder(tmp_path, python):
    path = write(tmp_path / "phone.toml", **LOCAL, runner="agent", python=python)
    with pytest.raises(UsageError, match="name of a program or its full path"):
        read_device(path)


@pytest.mark.parametrize("name", ["received/phone.toml", "../x", "/etc/x", "phone.toml", "", "-x"])
def test_a_name_in_a_file_is_never_a_path(tmp_path, name):
    write(tmp_path / "received" / "phone.toml", **LOCAL)
    write(tmp_path / "phone.toml", **LOCAL)
    with pytest.raises(DataError, match="not the name of a device file"):
        named_device(name, where="Table t.json")


def test_a_name_in_a_file_leads_to_a_device_of_the_user(tmp_path):
    write(tmp_path / "devices" / "phone.toml", **LOCAL, threads=3)
    assert named_device("phone", where="t.json").threads == 3
    write(tmp_path / "devices" / "phone.toml", **LOCAL, runner="agent")
    with pytest.raises(DataError, match="device trust"):
        named_device("phone", where="t.json")


def test_a_shipped_device_needs_no_trust_but_a_file_of_its_name_does(tmp_path):
    assert read_device("host-onnx").is_shipped
    write(tmp_path / "devices" / "host-onnx.toml", **LOCAL, runner="agent")
    with pytest.raises(DataError, match="device trust"):
        load_device("host-onnx")


def test_the_record_is_private_and_must_stay_so(tmp_path):
    path = write(tmp_path / "phone.toml", **LOCAL, runner="agent")
    read_device(path).trust()
    assert trusted_path() == tmp_path / "config/hwnat/trusted.json"
    assert trusted_path().stat().st_mode & 0o777 == 0o600
    for mode in (0o620, 0o602):
        trusted_path().chmod(mode)
        with pytest.raises(UsageError, match="chmod 600"):
            load_device(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"devices": {"a": 1}}'])
def test_a_damaged_record_trusts_nothing(tmp_path, text):
    path = write(tmp_path / "phone.toml", **LOCAL, runner="agent")
    read_device(path).trust()
    trusted_path().write_text(text)
    with pytest.raises(DataError, match=r"trusted\.json"):
        load_device(path)


def test_trusting_a_second_file_keeps_the_first(tmp_path):
    paths = [write(tmp_path / f"{n}.toml", **LOCAL, runner="agent", threads=n) for n in (1, 2)]
    for path in paths:
        read_device(path).trust()
    assert [load_device(path).threads for path in paths] == [1, 2]


def test_a_relative_configuration_folder_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "received")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert trusted_path() == tmp_path / "home/.config/hwnat/trusted.json"


def test_what_has_no_powers_is_said_to_have_none():
    assert powers(DeviceSpec(name="x", transport="local", target="onnx")) == ()


def test_a_fifo_is_no_device_file(tmp_path):
    os.mkfifo(tmp_path / "phone.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        load_device(tmp_path / "phone.toml")
