import pytest

from hwnat.device.settings import SETTINGS, wanted
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.local import LocalTransport

SPEC = {"name": "d", "transport": "adb", "serial": "x", "target": "tflite"}
HOST = Host(cpu=None, cores=8, machine="aarch64", os=None)


def asked(*, api=34, root=False, **spec):
    machine = Machine(host=HOST, conditions=Conditions(at="t"), android_api=api, root=root)
    return wanted(DeviceSpec(**SPEC, **spec), machine)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({}, ("1", "1", "1", "")),
        ({"api": 30}, ("1", "1", "1", "")),
        ({"api": 29}, ("0", "1", "1", "")),
        ({"clocks": "free"}, ("0", "1", "1", "")),
        ({"delegate": "gpu"}, ("1", "1", "0", "")),
        ({"delegate": "nnapi"}, ("1", "1", "1", "")),
        ({"governor": "performance"}, ("1", "1", "1", "")),
        ({"governor": "performance", "root": True}, ("1", "1", "1", "performance")),
        ({"api": None}, ("0", "0", "0", "")),
        ({"api": None, "governor": "performance", "root": True}, ("0", "0", "0", "performance")),
    ],
)
def test_a_device_gets_what_its_file_asks_for_and_it_can_have(device, words):
    assert asked(**device).words == words


def test_what_it_cannot_have_is_said():
    assert asked().hints == ()
    assert asked(api=None).hints == ()
    assert "API 28 has no fixed-performance mode" in asked(api=28).hints[0]
    assert "only root may set governor 'performance'" in asked(governor="performance").hints[0]


@pytest.mark.parametrize(
    "pair",
    [
        ("fixed_performance", "1"),
        ("fixed_performance", "0; touch BAD"),
        ("low_power", "2"),
        ("low_power", ""),
        ("screen", "0"),
        ("governor.", "performance"),
        ("governor.0/../0", "performance"),
        ("governor.0", "a b"),
        ("governor.0", "../x"),
        ("governor.0", ""),
        ("airplane_mode_on", "1"),
        ("", ""),
        ("$(touch BAD)", "`touch BAD`"),
    ],
)
def test_only_known_names_and_valid_values_are_put_back(tmp_path, pair):
    """Programs of the same names as Android's would note that they were called."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cmd", "settings", "input"):
        (tools / name).write_text(f"#!/bin/sh\n: >{tmp_path}/BAD\n")
        (tools / name).chmod(0o755)
    text = f'cd "$1"; PATH=$2:$PATH; J=$1/journal; {SETTINGS}\nundo "$3" "$4"'
    argv = ["sh", "-c", text, "sh", str(tmp_path), str(tools), *pair]
    assert LocalTransport().run(argv, timeout_s=10).returncode == 2
    assert [each.name for each in tmp_path.iterdir()] == ["tools"]


def test_the_value_noted_first_stands(tmp_path):
    """A second command that finds a changed setting must not note the change."""
    text = f"J=$1/journal; {SETTINGS}\nnote screen 1 && note screen 0 && note governor.3 ondemand"
    LocalTransport().run(["sh", "-c", text, "sh", str(tmp_path)], timeout_s=10).check()
    found = {each.name: each.read_text() for each in (tmp_path / "journal").iterdir()}
    assert found == {"screen": "1\n", "governor.3": "ondemand\n"}
