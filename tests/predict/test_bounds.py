import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.bounds import FREE, LatencyBounds
from hwnat.records.space import MBV3


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), stages=st.integers(1, 2), open_share=st.floats(0, 1))
def test_bounds_are_those_of_all_completions(some_costs, every_genome, seed, stages, open_share):
    rng = np.random.default_rng(seed)
    costs = some_costs(rng, stages=stages)
    genomes = every_genome(costs)
    latency_ns = costs.latency_ns(genomes)
    bounds = LatencyBounds(costs)
    partial = rng.choice(genomes, 10)
    partial = np.where(rng.random(partial.shape) < open_share, FREE, partial)
    least, most = bounds.least_ns(partial), bounds.most_ns(partial)
    for index, row in enumerate(partial):
        completes = ((row == FREE) | (row == genomes)).all(axis=1)
        assert least[index] == latency_ns[completes].min()
        assert most[index] == latency_ns[completes].max()


def test_bounds_of_a_whole_space_enclose_every_network(a_table):
    predictor = AdditivePredictor(a_table(MBV3, (192, 224)))
    bounds = LatencyBounds(predictor.slot_costs())
    rng = np.random.default_rng(0)
    genomes = MBV3.sample(300, rng=rng)
    genomes[:, 0] = rng.choice([0, 8], 300)
    latency_ns = predictor.latency_ns(genomes)
    assert bounds.least_ns(genomes) == pytest.approx(latency_ns, rel=1e-12)
    assert bounds.most_ns(genomes) == pytest.approx(latency_ns, rel=1e-12)
    nothing_known = np.full((1, 22), FREE)
    assert (bounds.least_ns(nothing_known) < latency_ns).all()
    assert (bounds.most_ns(nothing_known) > latency_ns).all()
    assert bounds.least_ns(np.empty((0, 22), np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({2: 0}, r"Gene 2 of partial genome 1 of small is 0; it must be -1 or lie in 1\.\.2"),
        ({5: 3}, r"Gene 5 .* is 3; it must be -1 or lie in 0\.\.2"),
        ({5: -2}, "Gene 5 .* is -2"),
        ({8: 0, 9: 1}, "Partial genome 1 .* stage 1 skips its third block but not its fourth"),
    ],
)
def test_a_partial_genome_that_nothing_completes_is_named(some_costs, changed, message):
    costs = some_costs(np.random.default_rng(0))
    rows = np.full((3, costs.space.genes), FREE)
    for gene, value in changed.items():
        rows[1, gene] = value
    with pytest.raises(UsageError, match=message):
        LatencyBounds(costs).least_ns(rows)


@pytest.mark.parametrize("head", [(0, FREE), (1, 1)])
def test_a_corner_that_is_not_covered_is_an_error(some_costs, head):
    costs = some_costs(np.random.default_rng(0))
    rows = np.full((3, costs.space.genes), FREE)
    rows[2, :2] = head
    with pytest.raises(DataError, match=f"Genes 0 and 1 are {head[0]} and {head[1]}; .* 24, 32"):
        LatencyBounds(costs).most_ns(rows)


def test_what_is_no_array_of_partial_genomes_is_refused(some_costs):
    bounds = LatencyBounds(some_costs(np.random.default_rng(0)))
    for wrong in ([[FREE] * 9], [[0.5] * 10], [FREE] * 10):
        with pytest.raises(UsageError, match=r"an \(n, 10\) array of integers"):
            bounds.least_ns(wrong)
