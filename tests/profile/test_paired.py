from collections import Counter

import numpy as np

from hwnat.device.conditions import ConditionsReader
from hwnat.profile.paired import Sessions, shuffled_rounds, visit
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


def test_a_model_that_loads_quickly_is_loaded_anew_in_each_round():
    loads = []

    def load(subject):
        loads.append(subject)
        return Recorder(subject, []), 1

    sessions = Sessions(load, limit_bytes=100)
    for subject in "ab":
        sessions.get(subject)
    sessions.lasted("a", 10**12)
    sessions.lasted("b", 1)
    sessions.forget_quick()
    for subject in "ab":
        sessions.get(subject)
    assert "".join(loads) == "aba"
