import gc

import pytest

from hwnat.errors import UsageError
from hwnat.targets.timing import Host, alternate


class Recorder:
    """A session that writes down when it runs."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def invoke(self):
        self.log.append(self.name)


def clock_of(log, *, run_ns):
    """A host on which every run takes `run_ns`, and nothing else takes any time."""
    return Host(now_ns=lambda: run_ns * len(log), preemptions=lambda: 0)


def test_runs_alternate_and_the_warm_up_is_not_kept():
    log = []
    host = Host(preemptions=lambda: 0)
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=4, warmup=3, host=host
    )
    assert log == ["a", "b"] * 7
    assert (len(samples), len(reference), disturbed) == (4, 4, 0)
    assert min(samples + reference) > 0


def test_a_quick_model_runs_until_the_visit_has_lasted():
    log = []
    samples, reference, _ = alternate(
        *(Recorder("a", log), Recorder("b", log)),
        runs=1,
        warmup=0,
        least_ns=2_000,
        host=clock_of(log, run_ns=10),
    )
    # Half of the 200 runs that fit in are for the warm-up.
    assert len(log) == 200
    assert samples == reference == (10,) * 50


def test_a_run_that_lost_its_core_is_repeated():
    log = []
    # The count of lost cores rises during every third run.
    host = Host(preemptions=lambda: len(log) // 3)
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=5, warmup=0, host=host
    )
    assert min(len(samples), len(reference)) == 5
    assert disturbed == len(log) // 3 > 0


def test_runs_continue_until_both_sessions_have_enough_calm_ones():
    log = []
    # The candidate loses its core in two of three runs, the reference never.
    host = Host(preemptions=lambda: sum(n % 3 > 0 for n in range(log.count("a"))))
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=5, warmup=0, host=host
    )
    assert (len(samples), len(reference), disturbed) == (5, 13, 8)


def test_a_machine_that_disturbs_every_run_still_gives_a_result():
    log = []
    host = Host(preemptions=lambda: len(log))
    samples, reference, disturbed = alternate(
        Recorder("a", log), Recorder("b", log), runs=4, warmup=0, host=host
    )
    assert len(samples) == len(reference) == 12
    assert disturbed == 0


class Counting(Recorder):
    """A session whose own clock says 1, 2, 3 … ns."""

    ticks = 0

    def timed(self):
        self.invoke()
        self.ticks += 1
        return self.ticks


def test_a_session_with_a_clock_of_its_own_is_timed_by_that():
    log = []
    samples, reference, disturbed = alternate(
        *(Counting("a", log), Counting("b", log)),
        runs=4,
        warmup=3,
        host=clock_of(log, run_ns=7),
    )
    assert samples == reference == (1, 2, 3, 4)
    assert disturbed == 0
    assert log == ["a", "b"] * 7


def test_each_session_is_timed_by_its_own_clock():
    log = []
    samples, reference, _ = alternate(
        *(Recorder("a", log), Counting("b", [])),
        runs=4,
        warmup=0,
        host=clock_of(log, run_ns=100),
    )
    assert samples == (100,) * 4
    assert reference == (1, 2, 3, 4)


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


def test_the_collector_comes_back_after_a_failed_run():
    class Fails(Recorder):
        def invoke(self):
            raise RuntimeError(self.name)

    with pytest.raises(RuntimeError, match="b"):
        alternate(Recorder("a", []), Fails("b", []), runs=1, warmup=0)
    assert gc.isenabled()


@pytest.mark.parametrize(("runs", "warmup"), [(0, 1), (1, -1)])
def test_timing_nothing_is_refused(runs, warmup):
    with pytest.raises(UsageError, match="at least one run"):
        alternate(Recorder("a", []), Recorder("b", []), runs=runs, warmup=warmup)
