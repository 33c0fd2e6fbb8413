import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import InfeasibleError, UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.limit import best_under, score_front
from hwnat.records.space import MBV3_W10
from hwnat.table.calibrate import Calibration


def total(costs, scores, corner_scores, genomes):
    corners = costs.corner(genomes)
    slots = np.arange(len(costs.block_ns))
    return corner_scores[corners] + scores[slots, corners[:, None], genomes[:, 2:]].sum(axis=1)


@pytest.fixture(scope="module")
def drawn(some_costs, every_genome):
    """Draw a problem with whole numbers, so that sums are exact, and all of its networks."""

    def draw(seed, **shape):
        rng = np.random.default_rng(seed)
        costs = some_costs(rng, most=int(rng.choice([5, 1000])), **shape)
        most = int(rng.choice([4, 1000]))
        scores = rng.integers(-most, most, costs.block_ns.shape).astype(float)
        corner_scores = rng.integers(-most, most, len(costs.fixed_ns)).astype(float)
        genomes = every_genome(costs)
        latency_ns = costs.latency_ns(genomes)
        score = total(costs, scores, corner_scores, genomes)
        return costs, scores, corner_scores, latency_ns, score

    return draw


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([{"stages": 2}, {"stages": 1, "choices": 6}]),
    at=st.floats(0, 1),
)
def test_the_best_network_within_a_limit_is_the_one_that_trying_all_finds(drawn, seed, shape, at):
    costs, scores, corner_scores, latency_ns, score = drawn(seed, **shape)
    limit_ns = float(np.quantile(latency_ns, at, method="lower"))
    found = best_under(costs, scores, limit_ns=limit_ns, corner_scores=corner_scores)
    allowed = latency_ns <= limit_ns
    assert found.score == score[allowed].max()
    assert found.latency_ns == latency_ns[allowed & (score == found.score)].min()
    genome = np.array([found.genome])
    assert costs.space.check(found.genome) == found.genome
    assert costs.latency_ns(genome).item() == found.latency_ns
    assert total(costs, scores, corner_scores, genome).item() == found.score


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_the_front_is_what_no_network_beats(drawn, seed):
    costs, scores, corner_scores, latency_ns, score = drawn(seed)
    front = score_front(costs, scores, corner_scores=corner_scores)
    best = {}
    for latency, reached in zip(latency_ns.tolist(), score.tolist(), strict=True):
        best[latency] = max(reached, best.get(latency, -np.inf))
    expected = []
    for latency in sorted(best):
        if not expected or best[latency] > expected[-1][1]:
            expected.append((latency, best[latency]))
    assert list(zip(front.latency_ns.tolist(), front.score.tolist(), strict=True)) == expected
    assert costs.latency_ns(front.genomes).tolist() == front.latency_ns.tolist()
    reached = total(costs, scores, corner_scores, front.genomes)
    assert reached.tolist() == front.score.tolist()


def test_a_limit_below_the_fastest_network_names_it(drawn):
    costs, scores, _, latency_ns, _ = drawn(3)
    least_ns = float(latency_ns.min())
    with pytest.raises(InfeasibleError, match=f"the fastest, .*, takes {least_ns:.0f} ns"):
        best_under(costs, scores, limit_ns=least_ns * 0.999)
    assert best_under(costs, scores, limit_ns=least_ns).latency_ns == least_ns


def test_a_whole_space_is_solved_and_the_front_agrees(a_table):
    fit = Calibration(form="affine", scale=0.913, per_op_ns=77.7, constant_ns=1234.5)
    predictor = AdditivePredictor(a_table(MBV3_W10, (192, 224, 256), calibration=fit))
    costs, rng = predictor.slot_costs(), np.random.default_rng(0)
    scores = np.sqrt(costs.block_ns.mean(axis=1)) * rng.normal(1, 0.05, (20, 10))
    front = score_front(costs, scores, corner_scores=[0.0, 3.0, 6.0])
    assert len(front.score) > 100
    for limit_ns in np.linspace(front.latency_ns[0], front.latency_ns[-1] * 1.1, 12).tolist():
        found = best_under(costs, scores, limit_ns=limit_ns, corner_scores=[0.0, 3.0, 6.0])
        at = np.flatnonzero(front.latency_ns <= limit_ns)[-1]
        assert found.score == pytest.approx(front.score[at], rel=1e-9)
        assert predictor.latency_ns([found.genome]).item() <= limit_ns * (1 + 1e-12)
    exactly = predictor.latency_ns([MBV3_W10.repair([[0, *[1] * 21]])[0]]).item()
    assert best_under(costs, scores, limit_ns=exactly).latency_ns <= exactly * (1 + 1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros((8, 4))}, r"\(8, 4, 3\) or \(8, 3\)"),
        ({"scores": np.full((8, 3), np.nan)}, "finite"),
        ({"scores": np.full((8, 3), np.inf)}, "finite"),
        ({"corner_scores": np.zeros(3)}, r"\(4,\) of corners"),
        ({"limit_ns": 0.0}, "not above zero"),
        ({"limit_ns": np.inf}, "not above zero"),
        ({"limit_ns": np.nan}, "not above zero"),
    ],
)
def test_what_is_no_score_or_limit_is_refused(drawn, changes, message):
    costs = drawn(0)[0]
    with pytest.raises(UsageError, match=message):
        best_under(costs, **{"scores": np.zeros((8, 3)), "limit_ns": 1e9, **changes})
