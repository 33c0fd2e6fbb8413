import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwnat.errors import DataError
from hwnat.search import pareto
from hwnat.search.pareto import hypervolume, knee, non_dominated, trade_off

COSTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(1, 3)),
    elements=st.integers(0, 6).map(float),
)


@given(COSTS)
@settings(max_examples=50)
def test_the_front_is_what_no_row_beats(costs):
    beaten = [any((other <= row).all() and (other < row).any() for other in costs) for row in costs]
    assert non_dominated(costs).tolist() == [not row_beaten for row_beaten in beaten]


@given(COSTS)
@settings(max_examples=50)
def test_hypervolume_counts_the_cells_that_are_covered(costs):
    reference = np.full(costs.shape[1], 5.0)
    cells = np.stack(np.meshgrid(*[np.arange(5)] * costs.shape[1]), axis=-1)
    cells = cells.reshape(-1, costs.shape[1])
    covered = (costs[None] <= cells[:, None]).all(axis=2).any(axis=1).sum()
    assert hypervolume(costs, reference) == pytest.approx(covered)


@given(COSTS)
@settings(max_examples=50)
def test_the_knee_lies_on_the_front_and_ignores_scale(costs):
    index = knee(costs)
    assert non_dominated(costs)[index]
    assert knee(costs * 1024 + 512) == index


def test_the_knee_is_the_point_one_would_circle():
    assert knee([[0, 100], [1, 90], [2, 10], [50, 9], [100, 8]]) == 2


def test_tiny_fronts_have_a_knee_too():
    assert knee([[3, 4]]) == 0
    assert knee([[0, 1], [1, 0]]) == 0
    assert knee([[2, 2], [2, 2], [3, 3]]) == 0
    assert trade_off([[1, 2]]).tolist() == [np.inf]


def test_trade_off_is_the_worst_exchange_with_a_neighbour():
    # From the middle: one neighbour gains 0.2 for 0.8, the other 0.2 for 0.8 as well.
    scores = trade_off([[0, 10], [2, 2], [10, 0]])
    assert scores == pytest.approx([0.25, 4.0, 0.25])


def plain_trade_off(front, eps=0.125):
    """The definition, written down without care for time or memory."""
    points = np.array(front, float)
    spread = np.ptp(points, axis=0)
    points = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1)
    scores = []
    for row, point in enumerate(points):
        others = np.delete(points, row, axis=0)
        squared = ((others - point) ** 2).sum(axis=1)
        fewest = min(2 * points.shape[1], len(others))
        reach = max(np.sort(squared)[fewest - 1], eps**2) if fewest else 0.0
        change = (others - point)[squared <= reach]
        losses, gains = change.clip(min=0).sum(axis=1), (-change).clip(min=0).sum(axis=1)
        pairs = zip(losses, gains, strict=True)
        scores.append(min((loss / gain for loss, gain in pairs if gain), default=np.inf))
    return scores


@pytest.mark.parametrize(
    ("count", "objectives"), [(2, 2), (7, 3), (16, 2), (17, 2), (70, 2), (90, 3)]
)
def test_trade_offs_in_pieces_are_those_of_the_definition(count, objectives):
    points = np.random.default_rng(count).random((count, objectives))
    assert trade_off(points) == pytest.approx(plain_trade_off(points))


def curves(count):
    """Fronts of different shapes, by name."""
    random = np.random.default_rng(count)
    left = np.sort(random.random(count))
    cube = random.random((count, 3))
    sphere = cube / np.linalg.norm(cube, axis=1)[:, None]
    return {
        "convex": np.stack([left, (1 - left) ** 2], axis=1),
        "concave": np.stack([left, np.sqrt(1 - left**2)], axis=1),
        "straight": np.stack([left, 1 - left], axis=1),
        "noisy": np.stack([left, np.sort(random.random(count))[::-1]], axis=1),
        "in steps": np.stack([np.arange(count) // 3, -(np.arange(count) // 3)], axis=1),
        "crowded": np.append(np.stack([left, 2 - left], axis=1) / 1000, [[0.5, 0], [1, -1]], 0),
        "all equal": np.ones((count, 2)),
        "hollow": 1 - sphere,
        "round": sphere,
        "flat": cube / cube.sum(axis=1)[:, None],
    }


@pytest.mark.parametrize("count", [1, 2, 5, 40, 700])
@pytest.mark.parametrize("name", curves(2))
def test_the_knee_has_the_highest_trade_off_of_all(name, count):
    costs = np.float64(curves(count)[name])
    front = np.flatnonzero(non_dominated(costs))
    scores = plain_trade_off(costs[front])
    chosen = scores[front.tolist().index(knee(costs))]
    assert chosen == pytest.approx(max(scores), rel=1e-8)


@pytest.mark.parametrize("name", curves(2))
def test_the_work_for_a_knee_grows_with_the_front_not_with_its_square(name, monkeypatch):
    pairs = 0

    def counted(points, others, ratios=pareto._ratios):
        nonlocal pairs
        result = ratios(points, others)
        pairs += result[0].size
        return result

    monkeypatch.setattr(pareto, "_ratios", counted)
    count = 20_000
    knee(curves(count)[name])
    # Every point with every other would be 20,000 for each.
    assert 0 < pairs < 1_500 * count


def test_the_memory_for_a_knee_grows_with_the_front_not_with_its_square():
    count = 6_000
    left = np.linspace(0, 1, count)
    tracemalloc.start()
    try:
        knee(np.stack([left, (1 - left) ** 2], axis=1))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One float for each pair of points would take 288 MB.
    assert peak_bytes < 30e6


@pytest.mark.parametrize("bad", [[[1, np.nan]], [[np.inf, 1]], [1, 2], np.empty((2, 0))])
def test_costs_that_are_not_numbers_are_refused(bad):
    for use in (non_dominated, knee, lambda costs: hypervolume(costs, [1, 1])):
        with pytest.raises(DataError):
            use(bad)


def test_an_empty_front_has_no_volume_and_no_knee():
    assert hypervolume(np.empty((0, 2)), [1, 1]) == 0
    assert not len(non_dominated(np.empty((0, 2))))
    with pytest.raises(DataError, match="empty"):
        knee(np.empty((0, 2)))


def test_a_reference_of_another_width_is_refused():
    with pytest.raises(DataError, match="3 values"):
        hypervolume([[1, 2]], [1, 2, 3])
