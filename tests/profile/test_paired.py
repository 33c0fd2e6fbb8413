import gc
from collections import Counter

import numpy as np
import pytest

from hwnat.profile import paired
from hwnat.profile.conditions import ConditionsReader
from hwnat.profile.paired import Sessions, alternate, shuffled_rounds, visit
from hwnat.transport.local import LocalTransport


class Recorder:
    """A session that writes down when it runs."""

    def __init__(self, name, log, work=0):
        self.name, self.log, self.work = name, log, work

    def invoke(self):
        self.log.append(self.name)
        sum(range(self.work))


def test_every_model_is_visited_once_a_round_in_a_new_order():
    subjects = [str(i) for i in range(50)]
    visits = list(shuffled_rounds(subjects, 3, rng=np.random.default_rng(0)))
    assert Counter(visits) == {(r, s): 1 for r in range(3) for s in subjects}
    assert [r for r, _ in visits] == sorted(r for r, _ in visits)
    orders = {tuple(s for r, s in visits if r == round_) for round_ in range(3)}
    assert len(orders) == 3


def test_runs_alternate_and_the_warm_up_is_not_kept():
    log = []
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=4, warmup=3
    )
    assert log == ["a", "b"] * (len(log) // 2)
    assert min(len(samples), len(reference)) >= 4
    assert len(samples) + len(reference) + disturbed == len(log) - 6
    assert min(samples + reference) > 0


def test_a_quick_model_runs_until_the_visit_has_lasted():
    log = []
    samples, _, _ = alternate(
        Recorder("a", log, 100), Recorder("b", log, 100), runs=1, warmup=0, least_ns=20_000_000
    )
    assert len(samples) > 50
    assert len(log) > 3 * len(samples)


def test_a_run_that_lost_its_core_is_made_again(monkeypatch):
    log = []
    # The counter of lost cores rises during every third run.
    monkeypatch.setattr(paired, "_preemptions", lambda: len(log) // 3)
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=5, warmup=0
    )
    assert min(len(samples), len(reference)) == 5
    assert disturbed == len(log) // 3 > 0


def test_a_machine_that_never_leaves_us_in_peace_still_gives_a_result(monkeypatch):
    log = []
    monkeypatch.setattr(paired, "_preemptions", lambda: len(log))
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=4, warmup=0
    )
    assert len(samples) == len(reference) == 12
    assert disturbed == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled):
    class Check(Recorder):
        def invoke(self):
            assert not gc.isenabled()

    try:
        gc.enable() if enabled else gc.disable()
        alternate(Check("a", []), Check("b", []), runs=1, warmup=0)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_a_visit_records_what_was_run_and_when(a_setup):
    setup = a_setup(visit_ms=0.0)
    conditions = ConditionsReader(LocalTransport())
    sessions = Recorder("a", []), Recorder("b", [])
    found = visit("conv", *sessions, setup=setup, round_=2, conditions=conditions)
    assert (found.subject, found.round, found.setup) == ("conv", 2, setup.id)
    assert found.job == setup.job("conv", 2)
    assert found.started <= found.ended
    assert found.before == found.after
    assert found.before.load_1m >= 0


def test_loaded_models_stay_within_their_limit():
    loads = []

    def load(subject):
        loads.append(subject)
        return Recorder(subject, []), 40

    sessions = Sessions(load, limit_bytes=100)
    for subject in "ababcab":
        assert sessions.get(subject).name == subject
    # c takes the place of a, the one used longest ago; a then takes that of b, and so on.
    assert "".join(loads) == "abcab"
    big = Sessions(load, limit_bytes=1)
    assert big.get("x") is big.get("x")
