"""What a received file names is not run: the device file, the table, and `device trust`."""

import json
from dataclasses import replace

import pytest

from hwnat.records.trust import trusted_path


@pytest.fixture
def payload(tmp_path):
    """A program that leaves a mark if it is started."""
    path = tmp_path / "payload"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/PWNED\n")
    path.chmod(0o755)
    return path


def received(tmp_path, python, name="received/phone.toml"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    lines = ('transport = "local"', 'target = "onnx"', 'runner = "agent"', f'python = "{python}"')
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.parametrize(
    "command", [("device", "doctor"), ("device", "probe"), ("device", "setup")]
)
def test_a_received_device_file_starts_nothing(hwnat, tmp_path, payload, command):
    path = received(tmp_path, payload)
    code, out, err = hwnat(*command, path)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert f"starts the program '{payload}'" in err
    assert err.endswith(f"hwnat device trust {path}\n")
    assert not (tmp_path / "PWNED").exists()


def test_a_profile_with_a_received_device_file_starts_nothing(hwnat, tmp_path, payload):
    path = received(tmp_path, payload)
    code, _, err = hwnat("profile", "--device", path, "--space", "mbv3-nano")
    assert (code, "hwnat device trust" in err) == (3, True)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("device", ["received/phone.toml", "received/phone", "phone", "../phone"])
def test_a_received_table_starts_nothing(hwnat, a_table, a_setup, tmp_path, payload, device):
    for name in ("received/phone.toml", "devices/phone.toml", "phone.toml"):
        received(tmp_path, payload, name)
    table = a_table(setup=replace(a_setup(), device="phone", runner="hwnat-agent 1"))
    text = json.loads(table.text)
    text["setup"]["device"] = device
    (tmp_path / "t.json").write_text(json.dumps(text) if device != "phone" else table.text)
    code, out, _ = hwnat("table", "validate", "--table", "t.json", "--networks", "2")
    assert (code, out) == (3, "")
    assert not (tmp_path / "PWNED").exists()


def test_trust_is_asked_for_once_and_shown(hwnat, tmp_path, payload):
    path = received(tmp_path, payload)
    code, out, _ = hwnat("device", "trust", path)
    assert (code, f"starts the program '{payload}'" in out) == (0, True)
    assert f"Trusted; recorded in {trusted_path()}." in out
    assert "It is trusted already." in hwnat("device", "trust", path)[1]
    # The program is started now; it is no Python, so the device is not usable.
    hwnat("device", "doctor", path)
    assert (tmp_path / "PWNED").exists()


def test_the_doctor_says_why_a_device_file_is_followed(hwnat, tmp_path):
    assert json.loads(hwnat("device", "doctor", "host-onnx", "--json")[1])["trust"] == (
        "came with hwnat"
    )
    (tmp_path / "mine.toml").write_text('transport = "local"\ntarget = "onnx"\n')
    code, out, _ = hwnat("device", "trust", "mine.toml")
    assert (code, "needs no trust" in out, trusted_path().exists()) == (0, True, False)
    assert "not needed" in hwnat("device", "doctor", "mine.toml")[1]


def test_text_of_a_device_file_is_shown_as_text(hwnat, tmp_path):
    (tmp_path / "devices").mkdir()
    about = r'about = "\u001b]0;PWNED\u0007 [/red] \u202e"'
    (tmp_path / "devices/a.toml").write_text(f'transport = "local"\ntarget = "onnx"\n{about}\n')
    code, out, _ = hwnat("device", "list")
    assert (code, r"\x1b]0;PWNED\x07 [/red] \u202e" in out, "\x1b" in out) == (0, True, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threads = " + "9" * 5000, "not a TOML file"),
        ("threads = 0x" + "f" * 5000, "threads"),
        ("affinity = 0x" + "f" * 5000, "affinity"),
        ("affinity = [" + "0x" + "f" * 5000 + "]", "too large"),
        ("affinity = " + "[" * 3000 + "]" * 3000, "not a TOML file"),
        ("threads = 1000000", "threads is 1000000"),
        ("[gate]\nload = inf", "inf is not a finite number"),
        ("[protocol]\nvisit_ms = nan", "nan is not a finite number"),
        ('about = "\udc80"', "not a TOML file"),
    ],
)
def test_a_damaged_device_file_is_one_line(hwnat, tmp_path, text, words):
    content = f'transport = "local"\ntarget = "onnx"\n{text}\n'
    (tmp_path / "a.toml").write_bytes(content.encode(errors="surrogateescape"))
    code, out, err = hwnat("device", "doctor", "a.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_a_device_file_of_a_megabyte_is_not_read(hwnat, tmp_path):
    (tmp_path / "a.toml").write_text("#" * (1 << 20))
    code, _, err = hwnat("device", "doctor", "a.toml")
    assert (code, "larger than 64 KiB" in err) == (2, True)
