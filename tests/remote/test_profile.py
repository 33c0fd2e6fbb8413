"""From a device elsewhere to its table, with real programs and real models."""

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from played.arm64 import FETCH, find_cross_compiler, find_litert_arm64
from played.fixtures import toml

from hwnat.cli.main import app
from hwnat.device.runners.compiler import source_id
from hwnat.errors import DeviceError, TableMismatchError, UsageError
from hwnat.profile.bench import bench
from hwnat.profile.file import time_file
from hwnat.profile.validate import validate
from hwnat.records.device import load_device, read_device
from hwnat.remote import profile
from hwnat.remote.compare import compare
from hwnat.remote.profile import device_timer
from hwnat.table.lookup import load_table
from hwnat.targets.base import get_target
from hwnat.transport.shell import MARK

GATE = {"load": 1000.0, "wait_s": 5.0}
QUICK = {"rounds": 1, "runs": 5, "warmup": 1, "visit_ms": 5.0}


def hwnat(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def answers(monkeypatch):
    """Collect how far the reference model's outputs on a device are from this machine's."""
    differences, real = [], profile.compare

    def noted(*what):
        differences.append(real(*what))
        return differences[-1]

    monkeypatch.setattr(profile, "compare", noted)
    return differences


@pytest.mark.slow
@pytest.mark.timeout(900)  # emulated, and the test machine may be busy
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
    assert (setup.runner, setup.alternation) == (f"hwnat-run 1 (C, {source_id()})", "runs")
    assert setup.runtime == "litert"
    # Integers of one file are the same integers on both processors, but for their rounding.
    assert len(answers) == 1
    assert answers[0] < 0.02


def here(folder, name="box", **keys):
    """Write the file of a device that is this machine, timed by a program beside it."""
    words = {
        "transport": "local",
        "target": "stub",
        "runner": "stub",
        "workdir": str(folder / "work"),
        "gate": GATE,
        "protocol": {"rounds": 1, "runs": 2, "warmup": 0, "visit_ms": 0.0},
        **keys,
    }
    path = folder / "devices" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in words.items()))
    read_device(path).trust()
    return path


PLAN = ["--space", "mbv3-nano", "--resolution", 24, "--budget", 10, "--target-error", 0.99]


@pytest.mark.slow
def test_a_table_of_a_device_is_validated_and_files_are_timed_on_it(plugged, tmp_path, monkeypatch):
    assert plugged
    monkeypatch.chdir(tmp_path)
    file = here(tmp_path)
    plan = [*PLAN, "--calibration", 3, "--validation", 2, "--out", "box.json"]
    hwnat("profile", "--device", "box", *plan)
    table = load_table(tmp_path / "box.json")
    assert (table.setup.runner, table.setup.device) == ("stub-run 1", "box")
    starts = (tmp_path / "work/tools/log").read_text().count("\n")
    hwnat("profile", "--device", "box", *plan)
    assert (tmp_path / "work/tools/log").read_text().count("\n") == starts
    found = validate(table, networks=3, seed=3, cache=tmp_path / "runs/models")
    assert found.n == 3
    model = next((tmp_path / "runs/models/stub").glob("*.stub"))
    entry = time_file(model, table, cache=tmp_path / "runs/models")
    assert entry.p50_ns > 0
    # Nothing is left of visits that no store keeps.
    assert [each.name for each in (tmp_path / "work/jobs").iterdir()] == [table.setup.id]
    older = replace(table, setup=replace(table.setup, runtime_version="0"))
    with pytest.raises(TableMismatchError, match=r"stub 0, .*another runtime; .* --device box"):
        validate(older, networks=3, seed=3, cache=tmp_path / "runs/models")
    file.unlink()
    with pytest.raises(UsageError, match=r"No device file devices/box.toml"):
        time_file(model, table, cache=tmp_path / "runs/models")


def test_a_wrong_answer_of_a_device_is_refused(tmp_path, litert_tools, nano_model):
    file = here(tmp_path, target="tflite", runner="litert")
    shutil.copytree(litert_tools, tmp_path / "work/tools")
    (tmp_path / "work" / MARK).touch()
    models = {"net": nano_model("net", "tflite", "fp32"), "block": nano_model("block", "tflite")}
    with device_timer(load_device(file), tell=lambda _: None) as timer:
        at, session = timer.at, get_target("tflite").load(models["net"])
        assert compare(at, at.runner, session, str(models["net"])) < 1e-4
        with pytest.raises(DeviceError, match=r"cannot run the reference model|another kind"):
            compare(at, at.runner, session, str(models["block"]))
        other = tmp_path / "other.tflite"
        other.write_bytes(b"TFL3" * 9)
        with pytest.raises(DeviceError, match=r"box cannot run the reference model: the runner"):
            compare(at, at.runner, session, str(other))
    assert not list((tmp_path / "work/jobs").glob("*-*"))


def test_files_are_timed_beside_each_other_on_a_device(plugged, tmp_path):
    assert plugged
    file = here(tmp_path)
    files = []
    for name, side in (("a", 20), ("b", 40)):
        files.append(tmp_path / f"{name}.stub")
        files[-1].write_text(repr((1, 3, side, side)))
    base, other = bench(files, device=load_device(file), rounds=2)
    assert (base.ratio, base.file, other.file) == (1, *files)
    assert other.ratio_low <= other.ratio <= other.ratio_high
    # The process that times is not on this machine, so its memory is not known here.
    assert (base.footprint, other.footprint) == (None, None)
    # Nothing is left of visits that no store keeps.
    assert not list((tmp_path / "work/jobs").glob("*"))
