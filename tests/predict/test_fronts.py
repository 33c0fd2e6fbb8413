import numpy as np
import pytest

from hwnat.errors import UsageError
from hwnat.predict import fronts
from hwnat.predict.fronts import Points, Relaxed, merge, undominated


def points(rng, count=60, most=50):
    latency_ns = rng.integers(1, most, count).astype(float)
    score = np.floor(latency_ns * rng.uniform(-1, 1.5, count))
    genes = np.arange(count, dtype=np.int16)[:, None]
    return Points.joined([Points(latency_ns=latency_ns, score=score, genes=genes)])


def test_undominated_points_are_those_that_no_other_matches():
    latency_ns = np.array([5.0, 3.0, 3.0, 7.0, 9.0, 3.0])
    score = np.array([1.0, 0.0, 1.0, 4.0, 4.0, 1.0])
    assert undominated(latency_ns, score).tolist() == [2, 3]


def test_the_relaxation_bounds_every_sum_and_is_reached_at_its_breakpoints():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = (points(rng) for _ in range(3))
        relaxed = Relaxed([a, b, c])
        latency_ns = (a.latency_ns[:, None, None] + b.latency_ns[:, None] + c.latency_ns).ravel()
        score = (a.score[:, None, None] + b.score[:, None] + c.score).ravel()
        assert (relaxed.bound(latency_ns) >= score - 1e-9).all()
        sums = set(zip(latency_ns.tolist(), score.tolist(), strict=True))
        breakpoints = zip(relaxed.latency_ns.tolist(), relaxed.score.tolist(), strict=True)
        assert set(breakpoints) <= sums
        least = latency_ns.min()
        assert relaxed.bound(np.array([least - 0.5, least]))[0] == -np.inf
        assert relaxed.reached(least - 0.5) == -np.inf
        assert relaxed.reached(least) == relaxed.bound(np.array([least]))[0]


def test_merging_in_parts_finds_the_same_front(monkeypatch):
    rng = np.random.default_rng(1)
    a, b = points(rng, most=2000), points(rng, most=2000)
    whole = merge(a, b, Relaxed([]), within=np.inf, known=-np.inf)
    monkeypatch.setattr(fronts, "_PAIRS", 3 * len(b.score))
    parts = merge(a, b, Relaxed([]), within=np.inf, known=-np.inf)
    assert parts.latency_ns.tolist() == whole.latency_ns.tolist()
    assert parts.genes.tolist() == whole.genes.tolist()
    assert len(a.score) > 6


def test_a_front_without_end_is_an_error(monkeypatch):
    rng = np.random.default_rng(2)
    monkeypatch.setattr(fronts, "_MOST_POINTS", 3)
    with pytest.raises(UsageError, match="Over 3 partial networks are Pareto-optimal"):
        merge(points(rng), points(rng), Relaxed([]), within=np.inf, known=-np.inf)
