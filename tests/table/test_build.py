from dataclasses import replace

import numpy as np
import pytest

from hwnat.errors import InconclusiveError
from hwnat.profile.plan import make_plan
from hwnat.records.device import TimingProtocol
from hwnat.records.measurement import Measurement, ProfileRun
from hwnat.records.space import MBV3_NANO
from hwnat.records.store import Store
from hwnat.table.build import build_table, entry, reference_latency_ns

REFERENCE_NS = 200_000
OVERHEAD_NS = 6_000


def visit(subject, ns, *, round_=0, drift=1.0, setup="s", reference=REFERENCE_NS):
    runs = np.array([1.3, 1.0, 1.0, 1.0, 1.02])
    return Measurement(
        job=f"{setup}:{subject}:{round_}",
        setup=setup,
        subject=subject,
        round=round_,
        samples_ns=tuple((runs * ns * drift).round().astype(int).tolist()),
        reference_ns=tuple((runs * reference * drift).round().astype(int).tolist()),
        disturbed=0,
        started="a",
        ended=f"b{round_}",
    )


@pytest.fixture
def profile(tmp_path, a_setup):
    """A finished profile of a machine whose networks cost overhead plus their blocks."""
    plan = make_plan(MBV3_NANO, [24], calibration=10, validation=5)
    run = ProfileRun(
        setup=a_setup(),
        protocol=TimingProtocol(rounds=3),
        space="mbv3-nano",
        classes=10,
        resolutions=(24,),
        ops=tuple(op.key for op in plan.ops),
        overhead=plan.overhead.key,
        calibration=tuple(arch.text for arch in plan.calibration),
        validation=tuple(arch.text for arch in plan.validation),
        created="t",
    )
    rng = np.random.default_rng(0)
    cost = {key: int(rng.integers(5_000, 60_000)) for key in run.ops}
    times = {key: OVERHEAD_NS + ns for key, ns in cost.items()} | {run.overhead: OVERHEAD_NS}
    for arch in plan.calibration + plan.validation:
        blocks = sum(cost[op.key] for op in arch.ops(classes=10))
        times[run.network(arch.text)] = OVERHEAD_NS + blocks
    store = Store(tmp_path / "s.sqlite")
    for round_ in range(3):
        for subject, ns in times.items():
            drift = rng.uniform(0.5, 2)
            store.add(visit(subject, ns, round_=round_, drift=drift, setup=run.setup.id))
    yield store, run, cost
    store.__exit__(None, None, None)


def test_ratios_undo_the_drift_and_entries_lose_the_overhead(profile):
    store, run, cost = profile
    table = build_table(store, run)
    scale = table.reference_ns / REFERENCE_NS
    assert table.overhead_ns == pytest.approx(OVERHEAD_NS * scale, rel=1e-3)
    for key, ns in cost.items():
        assert table.entries[key].p50_ns == pytest.approx(ns * scale, rel=0.01)
    assert 0.5 < scale < 2


def test_whole_networks_calibrate_and_judge_the_table(profile):
    store, run, _ = profile
    table = build_table(store, run)
    assert table.calibration.scale == pytest.approx(1, abs=0.01)
    assert [each.genome for each in table.calibration.networks] == list(run.calibration)
    assert [each.genome for each in table.validation] == list(run.validation)
    assert max(abs(each.error) for each in table.validation) < 0.01
    assert all(
        each.ops == 5 + sum(map(bool, map(int, each.genome[3:]))) for each in table.validation
    )


def test_the_same_measurements_give_the_same_file(profile):
    store, run, _ = profile
    assert build_table(store, run).text == build_table(store, run).text


def test_an_unfinished_profile_says_how_to_go_on(profile, tmp_path):
    _, run, _ = profile
    with Store(tmp_path / "new.sqlite") as empty:
        empty.add(visit(run.ops[0], 5, setup=run.setup.id))
        with pytest.raises(InconclusiveError, match=r"models are not measured.*hwnat profile"):
            build_table(empty, run)
        part = replace(run, ops=run.ops[:30], filled=run.ops[30:], sources={"a b.json": "x"})
        with pytest.raises(InconclusiveError) as error:
            build_table(empty, part)
    command = str(error.value).partition("Go on with: ")[2]
    assert command == (
        "hwnat profile --device host-onnx --space mbv3-nano --resolution 24 --classes 10 "
        "--batch 1 --seed 0 --calibration 10 --validation 5 --rounds 3 --budget 30 "
        "--from 'a b.json'"
    )


def test_an_overhead_that_leaves_nothing_of_the_operations_is_refused(profile, tmp_path):
    store, run, _ = profile
    with Store(tmp_path / "wrong.sqlite") as wrong:
        for made in store.measurements(run.setup.id, run.subjects):
            factor = 1000 if made.subject == run.overhead else 1
            wrong.add(replace(made, samples_ns=tuple(factor * ns for ns in made.samples_ns)))
        with pytest.raises(InconclusiveError, match=r"no longer than starting a run.*--store"):
            build_table(wrong, run)


def test_measurements_of_another_setup_do_not_count(profile):
    store, run, _ = profile
    other = replace(run, setup=replace(run.setup, runtime_version="2"))
    with pytest.raises(InconclusiveError):
        build_table(store, other)


def test_the_entry_is_the_median_over_rounds():
    visits = [visit("conv", ns, round_=i) for i, ns in enumerate((10_000, 11_000, 99_000))]
    found = entry(visits, reference_ns=REFERENCE_NS)
    assert found.p50_ns == 11_000
    assert found.p10_ns == 10_000
    assert found.p90_ns > 90_000
    assert found.n == 15
    assert found.spread > 1


def test_an_operation_below_the_overhead_still_costs_something():
    found = entry([visit("conv", 5_000)], reference_ns=REFERENCE_NS, less_ns=6_000)
    assert (found.p10_ns, found.p50_ns) == (1, 1)


def test_the_reference_latency_is_that_of_the_typical_visit():
    visits = [visit("conv", 9, round_=i, drift=d) for i, d in enumerate((1, 1, 1, 1, 5))]
    assert reference_latency_ns(visits) == REFERENCE_NS


def test_what_is_subtracted_moves_an_entry_and_its_intervals_as_a_whole():
    visits = [visit("conv", ns, round_=i) for i, ns in enumerate((10_000, 11_000, 13_000))]
    whole = entry(visits, reference_ns=REFERENCE_NS)
    rest = entry(visits, reference_ns=REFERENCE_NS, less_ns=6_000)
    assert whole.low_ns < whole.p50_ns < whole.high_ns
    for name in ("low_ns", "p10_ns", "p50_ns", "p90_ns", "high_ns"):
        assert getattr(rest, name) == max(1, getattr(whole, name) - 6_000), name


def test_the_spread_is_the_range_of_the_middle_half_over_the_median():
    visits = [visit("conv", ns, round_=i) for i, ns in enumerate((10_000, 11_000, 13_000))]
    assert entry(visits, reference_ns=REFERENCE_NS).spread == round(1_500 / 11_000, 4)
