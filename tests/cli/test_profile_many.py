"""Several devices in one `hwnat profile`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = """transport = "local"
target = "{target}"
[protocol]
rounds = 2
runs = 1
warmup = 0
visit_ms = 0
"""
QUICK = ["--space", "mbv3-nano", "--resolution", "24", "--calibration", "1", "--validation", "1"]


@pytest.fixture
def devices(tmp_path):
    """Write two devices into the folder that `hwnat` runs in."""
    (tmp_path / "devices").mkdir()
    for name, target in (("left", "tflite"), ("right", "onnx")):
        (tmp_path / f"devices/{name}.toml").write_text(BENCH.format(target=target))
    return "--device", "left", "--device", "right"


@pytest.mark.slow
def test_two_devices_are_profiled_at_the_same_time(hwnat, devices):
    code, out, err = hwnat("profile", *devices, *QUICK, "--json")
    assert code == 0, err
    tables = [row["table"] for row in json.loads(out)]
    assert tables == [
        f"latency_tables/{name}-fp32-mbv3-nano.json" for name in ("left/tflite", "right/onnx")
    ]
    assert all(Path(row).is_file() for row in tables)
    code, out, err = hwnat("profile", *devices, *QUICK)
    assert (code, out.split()) == (0, tables)
    assert {line.split(": ")[0] for line in err.splitlines()} == {"left", "right"}


def test_one_device_that_fails_is_named(hwnat, devices):
    code, out, err = hwnat("profile", *devices[:2], "--device", "nowhere", "--space", "no-such")
    assert (code, out) == (4, "")
    assert "left: hwnat: Unknown space 'no-such'" in err
    assert "nowhere: hwnat: No device file devices/nowhere.toml" in err
    assert "2 of 2 devices failed: left, nowhere" in err


def test_options_that_several_devices_cannot_share_are_refused(hwnat, devices):
    code, _, err = hwnat("profile", *devices, *QUICK, "--out", "one.json")
    assert (code, "--out names one file" in err) == (2, True)
    code, _, err = hwnat("profile", *devices[:2], *devices[:2], *QUICK)
    assert (code, "names a device twice" in err) == (2, True)


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_ends_its_children(tmp_path, how):
    """A closed terminal reaches the first process only, for its children have their own groups."""
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/$5.pid\nexec sleep 60\n")
    child.chmod(0o755)
    code = (
        "import sys, hwnat.cli.main as cli, hwnat.cli.profile_many as many\n"
        f"many.sys.executable = {str(child)!r}\n"
        "cli.app.main = lambda **_: many.profile_many(['a', 'b'], [], as_json=False)\n"
        "cli.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    pids = [tmp_path / f"{name}.pid" for name in "ab"]
    while not all(path.exists() and path.read_text() for path in pids):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(60) == 130
    for path in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)
    process.stderr.close()
