from dataclasses import replace
from pathlib import Path

import pytest

from hwnat.errors import TableMismatchError, UsageError
from hwnat.profile.estimate import (
    estimate_file,
    estimate_networks,
    estimate_table,
)
from hwnat.profile.measure import profile
from hwnat.profile.models import ExportedModels, bound
from hwnat.profile.plan import make_plan
from hwnat.profile.validate import validate
from hwnat.records.device import load_device
from hwnat.records.space import MBV3_NANO
from hwnat.table.lookup import load_table
from hwnat.targets.base import get_target

DEVICE = """
transport = "local"
target = "stubnpu"
precision = "int8"
[npu]
accelerator = "npu-1"
system = "Fast"
memory = "Sram"
"""


@pytest.fixture
def device(installed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    installed("hwnat.targets", stubnpu="stub_estimator:StubEstimator")
    monkeypatch.chdir(tmp_path)
    Path("devices").mkdir()
    Path("devices/npu.toml").write_text(DEVICE)
    return load_device("npu")


def small_plan(**more):
    return make_plan(MBV3_NANO, [24], calibration=6, validation=3, **more)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def table(device, cache):
    return estimate_table(device, small_plan(), cache=cache)


def asked():
    import stub_estimator

    return stub_estimator.StubEstimator.asked


def test_a_profile_of_a_target_that_estimates_times_nothing(device, table, cache, tmp_path):
    store = tmp_path / "s.sqlite"
    made = profile(device, small_plan(), store=store, cache=cache)
    assert replace(made, created=table.created) == table
    assert not store.exists()
    assert (made.protocol, made.reference_ns) == (None, None)
    made.save(tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == made


def test_entries_are_exact_and_marked(table):
    assert {each.provenance for each in table.entries.values()} == {"estimated"}
    assert {each.low_ns == each.p50_ns == each.high_ns for each in table.entries.values()} == {True}
    assert table.setup.precision == "int8"
    assert table.name == "npu/stubnpu-int8-mbv3-nano"
    assert table.setup.host.cpu == "npu-1"
    assert table.setup.host.os == "Fast, Sram of Arm/vela.ini"
    # The stub is additive but for a start of 1000 ns that each file pays once.
    assert max(abs(each.error) for each in table.validation) < 0.01


def test_what_the_compiler_said_is_asked_once(device, table, cache):
    before = asked()
    told = []
    estimate_table(
        device,
        small_plan(),
        cache=cache,
        progress=lambda *what: told.append(what),
    )
    assert asked() == before
    total = len(table.entries) + 1 + 6 + 3
    assert told[-1] == ("estimate", total, total)
    other = replace(device, npu=replace(device.npu, system="Slow"))
    estimate_table(other, small_plan(), cache=cache)
    assert asked() == before + total


def test_an_edited_configuration_is_another_one(device, cache):
    Path("own.ini").write_text("[Fast]\n")
    own = replace(device, npu=replace(device.npu, config="own.ini"))
    first = estimate_table(own, small_plan(), cache=cache)
    before = asked()
    assert replace(estimate_table(own, small_plan(), cache=cache), created=first.created) == first
    assert asked() == before
    Path("own.ini").write_text("[Fast]\nclock = 1\n")
    second = estimate_table(own, small_plan(), cache=cache)
    assert asked() > before
    assert second.setup.host.os != first.setup.host.os


def test_unseen_networks_are_estimated_to_validate_a_table(table, cache):
    found = validate(table, networks=4, seed=3, cache=cache)
    assert found.n == 4
    assert found.mape < 0.01


def test_a_single_file_is_estimated_for_the_npu_of_a_table(table, tmp_path):
    path = tmp_path / "net.stub"
    path.write_text("123456")
    found = estimate_file(path, table)
    assert (found.p50_ns, found.provenance) == (123456, "estimated")


def test_another_device_file_by_now_is_refused(table, cache):
    Path("devices/npu.toml").write_text(DEVICE.replace("Fast", "Slow"))
    with pytest.raises(TableMismatchError, match="hwnat profile --device npu"):
        estimate_networks(["0" * 23], table, cache=cache)


def test_a_budget_or_a_missing_npu_is_refused(device, tmp_path):
    with pytest.raises(UsageError, match="Leave out --budget"):
        estimate_table(device, small_plan(budget=30), cache=tmp_path)
    with pytest.raises(UsageError, match=r"a table \[npu\]"):
        estimate_table(replace(device, npu=None), small_plan(), cache=tmp_path)


def test_its_files_are_never_timed(device, tmp_path):
    target = get_target(device.target)
    path = ExportedModels(target=target, folder=tmp_path).path("a key")
    with pytest.raises(UsageError, match="this machine cannot run its files"):
        bound(target, path, threads=1, seed=0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_files_of_two_precisions_lie_apart(precision, device, tmp_path):
    target = get_target("tflite", precision=precision)
    assert precision in ExportedModels(target=target, folder=tmp_path).path("a key").name
    assert device
