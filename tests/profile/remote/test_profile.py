"""From a device elsewhere to its table, with real programs and real models."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from device.arm64 import FETCH, find_cross_compiler, find_litert_arm64

from hwnat.cli.main import app
from hwnat.errors import TableMismatchError
from hwnat.profile.file import time_file
from hwnat.profile.remote.parity import Answers
from hwnat.profile.remote.timer import device_timer
from hwnat.profile.validate import validate
from hwnat.records.device import load_device
from hwnat.table.lookup import load_table

GATE = {"load": 1000.0, "wait_s": 5.0}
QUICK = {"rounds": 1, "runs": 5, "warmup": 1, "visit_ms": 5.0}


def hwnat(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def answers(monkeypatch):
    """Collect how far the reference model's answers on a device lie from this machine's."""
    found, require = [], Answers.require

    def noted(self, *what):
        found.append(require(self, *what))
        return found[-1]

    monkeypatch.setattr(Answers, "require", noted)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arm64_phone", "arm64_board"])
def test_blocks_are_timed_by_litert_on_arm64_and_answer_as_the_host(
    kind, request, tmp_path, monkeypatch, answers
):
    library, compiler = find_litert_arm64(), find_cross_compiler()
    if library is None or compiler is None:
        pytest.skip(f"no libLiteRt.so or compiler for arm64; {FETCH}")
    device = request.getfixturevalue(kind)
    monkeypatch.chdir(tmp_path)
    file = device.device_file(tmp_path, "arm", precision="int8", gate=GATE, protocol=QUICK)
    hwnat("device", "setup", file, "--litert", library, "--compiler", compiler)
    plan = ["--space", "mbv3-nano", "--resolution", 24, "--budget", 10, "--target-error", 0.9]
    plan += ["--calibration", 0, "--validation", 0, "--out", "arm.json"]
    done = hwnat("profile", "--device", file, *plan, "--json")
    told = json.loads(done.stdout)
    assert told["effort"]["timed"] >= 4
    table = load_table(tmp_path / "arm.json")
    setup = table.setup
    assert (setup.host.machine, setup.precision) == ("aarch64", "int8")
    assert (setup.runner, setup.alternation) == ("hwnat-run 1 (C)", "runs")
    assert setup.runtime == "litert"
    # Integers of one file are the same integers on both processors, but for their rounding.
    assert len(answers) == 1
    assert answers[0] < 0.02
