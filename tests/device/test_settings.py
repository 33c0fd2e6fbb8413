from dataclasses import replace

import pytest

from hwnat.device.settings import Wanted, wanted
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.local import LocalTransport
from hwnat.transport.shell import program

SPEC = {"name": "d", "transport": "adb", "serial": "x", "target": "tflite"}
SETTINGS = program("device/settings")
HOST = Host(cpu=None, cores=8, machine="aarch64", os=None)


def asked(*, api=34, root=False, **spec):
    machine = Machine(host=HOST, conditions=Conditions(at="t"), android_api=api, root=root)
    return wanted(DeviceSpec(**SPEC, **spec), machine)


@pytest.mark.parametrize(
    ("device", "settings"),
    [
        ({}, (True, True, True, "")),
        ({"api": 30}, (True, True, True, "")),
        ({"api": 29}, (False, True, True, "")),
        ({"clocks": "free"}, (False, True, True, "")),
        ({"delegate": "gpu"}, (True, True, False, "")),
        ({"delegate": "nnapi"}, (True, True, True, "")),
        ({"governor": "performance"}, (True, True, True, "")),
        ({"governor": "performance", "root": True}, (True, True, True, "performance")),
        ({"api": None}, (False, False, False, "")),
        (
            {"api": None, "governor": "performance", "root": True},
            (False, False, False, "performance"),
        ),
    ],
)
def test_a_device_gets_what_its_file_asks_for_and_it_can_have(device, settings):
    fixed, saver_off, screen_off, governor = settings
    wished = asked(**device)
    assert replace(wished, hints=()) == Wanted(
        fixed=fixed, saver_off=saver_off, screen_off=screen_off, governor=governor
    )


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
    text = f'cd "$1"; PATH=$2:$PATH; JOURNAL=$1/journal\n{SETTINGS}\nundo "$3" "$4"'
    argv = ["sh", "-c", text, "sh", str(tmp_path), str(tools), *pair]
    assert LocalTransport().run(argv, timeout_s=10).returncode == 2
    assert [each.name for each in tmp_path.iterdir()] == ["tools"]


def test_the_value_noted_first_stands(tmp_path):
    """A second command that finds a changed setting must not note the change."""
    notes = "note screen 1 && note screen 0 && note governor.3 ondemand"
    text = f"JOURNAL=$1/journal\n{SETTINGS}\n{notes}"
    LocalTransport().run(["sh", "-c", text, "sh", str(tmp_path)], timeout_s=10).check()
    found = {each.name: each.read_text() for each in (tmp_path / "journal").iterdir()}
    assert found == {"screen": "1\n", "governor.3": "ondemand\n"}
