import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnat.errors import DataError, UsageError
from hwnat.profile.measure import profile
from hwnat.profile.paired import shuffled_rounds
from hwnat.profile.plan import make_plan
from hwnat.records.device import DeviceSpec, TimingProtocol, load_device
from hwnat.records.space import MBV3_NANO
from hwnat.records.store import Store
from hwnat.table.lookup import load_table

DEVICE = DeviceSpec(
    name="stub",
    transport="local",
    target="stub",
    protocol=TimingProtocol(rounds=2, runs=2, warmup=0, visit_ms=0.5),
)
KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{site!r}, {here!r}]
from test_measure import DEVICE, small_plan
from hwnat.profile.measure import profile
profile(DEVICE, small_plan(), store=Path({store!r}), cache=Path({cache!r}))
"""


def small_plan(**more):
    return make_plan(MBV3_NANO, [24], calibration=3, validation=2, **more)


@pytest.fixture
def stub(installed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    installed("hwnat.targets", stub="stub_target:StubTarget")
    return {"store": tmp_path / "runs" / "s.sqlite", "cache": tmp_path / "models"}


def jobs(store):
    db = sqlite3.connect(store)
    found = db.execute("select job, body from measurements order by rowid").fetchall()
    db.close()
    return found


def test_a_profile_measures_all_of_its_plan_and_returns_the_table(stub):
    told = []
    table = profile(DEVICE, small_plan(), **stub, progress=lambda *what: told.append(what))
    plan = small_plan()
    assert set(table.entries) == {op.key for op in plan.ops}
    assert [each.genome for each in table.validation] == [arch.text for arch in plan.validation]
    assert table.setup.runtime == "stub"
    assert table.conditions[0].load_1m >= 0
    models = len(plan.ops) + 1 + 3 + 2
    assert told[-1] == ("measure", 2 * models, 2 * models)
    assert [done for stage, done, _ in told if stage == "measure"] == list(range(1, 2 * models + 1))
    files = models + (plan.reference not in plan.calibration)
    assert len(list((stub["cache"] / "stub").glob("*.stub"))) == files
    # The order depends on the setup alone, so that a resumed profile repeats it.
    with Store(stub["store"]) as store:
        (run,) = store.runs()
    order = shuffled_rounds(run.subjects, 2, rng=np.random.default_rng(int(run.setup.id, 16)))
    expected = [run.setup.job(subject, round_) for round_, subject in order]
    assert [job for job, _ in jobs(stub["store"])] == expected
    assert len(expected) == 2 * models


def test_a_second_profile_measures_only_what_is_new(stub):
    first = profile(DEVICE, small_plan(), **stub)
    before = jobs(stub["store"])
    assert profile(DEVICE, small_plan(), **stub).text == first.text
    assert jobs(stub["store"]) == before
    key = "linear|in=1x1x1x64|out=3|float32"
    more = profile(DEVICE, small_plan(extra=[key]), **stub)
    assert set(more.entries) == {*first.entries, key}
    assert jobs(stub["store"])[: len(before)] == before
    assert len(jobs(stub["store"])) == len(before) + 2


def test_more_rounds_keep_the_ones_there_are(stub):
    profile(DEVICE, small_plan(), **stub)
    before = jobs(stub["store"])
    longer = replace(DEVICE, protocol=replace(DEVICE.protocol, rounds=3))
    table = profile(longer, small_plan(), **stub)
    assert jobs(stub["store"])[: len(before)] == before
    assert len(jobs(stub["store"])) == len(before) * 3 // 2
    assert table.protocol.rounds == 3


@pytest.mark.slow
def test_a_profile_killed_at_any_moment_goes_on_where_it_was(stub, tmp_path):
    here, store = str(Path(__file__).parent), stub["store"]
    code = KILLED.format(site=str(tmp_path), here=here, store=str(store), cache=str(stub["cache"]))
    kept = []
    for goal in (1, 30, 90):
        child = subprocess.Popen([sys.executable, "-c", code])
        while child.poll() is None and (not store.exists() or count(store) < goal):
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        now = jobs(store)
        assert now[: len(kept)] == kept
        assert len(now) >= goal
        kept = now
    table = profile(DEVICE, small_plan(), **stub)
    finished = jobs(store)
    assert finished[: len(kept)] == kept
    assert len({job for job, _ in finished}) == len(finished) == 2 * (len(table.entries) + 6)
    assert not list(stub["cache"].rglob(".*"))


def count(store):
    try:
        return len(jobs(store))
    except sqlite3.OperationalError:
        return 0


def test_a_device_elsewhere_without_a_runner_is_refused(stub):
    with pytest.raises(UsageError, match=r"no runner times target 'stub' over 'adb'"):
        profile(replace(DEVICE, transport="adb", serial="R58"), small_plan(), **stub)


def test_a_foreign_store_is_refused_before_anything_is_exported(stub):
    stub["store"].parent.mkdir()
    stub["store"].write_text("my diary" * 200)
    with pytest.raises(DataError, match="not a measurement store"):
        profile(DEVICE, small_plan(), **stub)
    assert not stub["cache"].exists()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "tflite", "tflite-int8", "openvino"])
def test_a_real_runtime_is_predicted_well_enough_to_rank(target, tmp_path):
    protocol = TimingProtocol(rounds=2, runs=3, warmup=1, visit_ms=2.0)
    device = replace(load_device(f"host-{target}"), protocol=protocol)
    plan = make_plan(MBV3_NANO, [24], calibration=4, validation=4)
    table = profile(device, plan, store=tmp_path / "s.sqlite", cache=tmp_path / "models")
    table.save(tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == table
    # Wide, because the test machine may be busy: a wrong unit or a lost overhead is far outside.
    errors = [check.error for check in table.validation]
    assert max(map(abs, errors)) < 0.5
    assert 0.4 < table.calibration.scale < 2.5
    # Networks of about one latency may change places; those that take half as long again may not.
    networks = (*table.calibration.networks, *table.validation)
    pairs = [
        (slow, fast)
        for slow in networks
        for fast in networks
        if slow.measured_ns > 1.5 * fast.measured_ns
    ]
    assert pairs
    assert all(slow.predicted_ns > fast.predicted_ns for slow, fast in pairs)


def budget_plan(**more):
    return make_plan(MBV3_NANO, [24], calibration=3, validation=2, budget=30, **more)


@pytest.mark.slow
def test_a_budget_times_some_operations_and_predicts_the_rest(stub):
    table = profile(DEVICE, budget_plan(), **stub)
    every = {op.key for op in small_plan().ops}
    assert set(table.entries) == every
    timed = {key for key, entry in table.entries.items() if entry.provenance == "measured"}
    assert timed == {op.key for op in budget_plan().ops}
    assert table.effort.timed == 30
    assert table.effort.filled == len(every) - 30
    assert [timings for timings, _ in table.effort.curve] == [12, 18, 24, 30]
    assert len(jobs(stub["store"])) == 2 * (30 + 1 + 3 + 2)
    again = profile(DEVICE, budget_plan(), **stub)
    assert len(jobs(stub["store"])) == 2 * (30 + 1 + 3 + 2)
    assert replace(again, effort=table.effort) == table
    # The first points of the curve must not profit from the entries of the first profile.
    assert np.array(again.effort.curve) == pytest.approx(np.array(table.effort.curve), rel=0.01)


def test_timing_stops_once_the_error_is_small_enough(stub):
    table = profile(DEVICE, budget_plan(target_error=0.99), **stub)
    assert table.effort.timed == 12
    assert table.effort.target_error == 0.99
    assert len(jobs(stub["store"])) == 2 * (12 + 1 + 3 + 2)


def test_a_transfer_keeps_what_was_timed_and_names_its_sources(stub, a_table, tmp_path):
    path = tmp_path / "other.json"
    source = a_table(resolutions=(24,))
    source.save(path)
    plan = budget_plan(sources={str(path): source})
    table = profile(DEVICE, plan, **stub)
    assert table.sources == (source.table_id,)
    kinds = [entry.provenance for entry in table.entries.values()]
    assert kinds.count("measured") == 30
    assert kinds.count("transferred") == len(source.entries) - 30
    replace(source, overhead_ns=1 + source.overhead_ns).save(path)
    with pytest.raises(DataError, match="the profile began with"):
        profile(DEVICE, plan, **stub)
