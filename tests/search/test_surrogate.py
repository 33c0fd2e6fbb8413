import ast
import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError
from hwnat.records.space import EXPANDS, KERNELS, get_space
from hwnat.search.surrogate import RbfEnsemble, features, rank_metrics

SPACE = get_space("mbv3")


def measured_networks(shared_data):
    """Return (n, 22) distinct genomes and the mean of each one's measured ImageNet errors."""
    found = {}
    for path in sorted((shared_data / "dynast-accuracy").glob("*.csv")):
        with path.open() as file:
            for row in csv.DictReader(file):
                subnet = ast.literal_eval(row["Sub-network"])
                # The lists are padded to four slots a stage; what lies past the depth is junk.
                genome = [8, 0] + [
                    1 + KERNELS.index(kernel) + 3 * EXPANDS.index(expand)
                    if slot % 4 < subnet["d"][slot // 4]
                    else 0
                    for slot, (kernel, expand) in enumerate(
                        zip(subnet["ks"], subnet["e"], strict=True)
                    )
                ]
                found.setdefault(tuple(genome), []).append(100 - float(row["Top-1 Acc (%)"]))
    return np.array(list(found)), np.array([np.mean(each) for each in found.values()])


@pytest.mark.slow
@pytest.mark.parametrize(("training", "bar"), [(100, 0.87), (300, 0.90)])
def test_measured_imagenet_networks_are_ranked_as_well_as_promised(training, bar, shared_data):
    genomes, errors = measured_networks(shared_data)
    kendall = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(genomes))
        known, new = order[:training], order[training:]
        model = RbfEnsemble.fit(genomes[known], errors[known], rng=rng)
        kendall.append(rank_metrics(model.predict(genomes[new]), errors[new])["kendall"])
    assert np.mean(kendall) >= bar
    assert min(kendall) > 0.82, "worse than ranking by MACs alone"


def test_shuffled_errors_cannot_be_predicted(shared_data):
    genomes, errors = measured_networks(shared_data)
    rng = np.random.default_rng(0)
    model = RbfEnsemble.fit(genomes[:100], rng.permutation(errors[:100]), rng=rng, models=50)
    assert abs(rank_metrics(model.predict(genomes[100:]), errors[100:])["kendall"]) < 0.3


def test_the_same_generator_gives_the_same_predictions():
    rng = np.random.default_rng(0)
    known, new = SPACE.sample(30, rng=rng), SPACE.sample(50, rng=rng)
    errors = known.sum(axis=1) / 10
    first, second, other = (
        RbfEnsemble.fit(known, errors, rng=np.random.default_rng(seed), models=20).predict(new)
        for seed in (1, 1, 2)
    )
    assert (first == second).all()
    assert (first != other).any()


def test_a_linear_law_is_learned_and_extrapolated():
    rng = np.random.default_rng(0)
    known, new = SPACE.sample(300, rng=rng), SPACE.sample(300, rng=rng)
    law = np.random.default_rng(1).random(features(known).shape[1])
    model = RbfEnsemble.fit(known, features(known) @ law, rng=rng, models=100)
    truth = features(new) @ law
    assert rank_metrics(model.predict(new), truth)["kendall"] > 0.9


@given(
    rows=st.integers(1, 12),
    copies=st.integers(1, 3),
    flat=st.booleans(),
    frozen=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_degenerate_archives_do_not_break_it(rows, copies, flat, frozen, seed):
    rng = np.random.default_rng(seed)
    genomes = SPACE.sample(rows, rng=rng)
    if frozen:
        genomes[:, :18] = np.array(SPACE.largest())[:18]
    genomes = np.repeat(genomes, copies, axis=0)
    errors = np.full(len(genomes), 7.0) if flat else rng.uniform(10, 20, len(genomes))
    model = RbfEnsemble.fit(genomes, errors, rng=rng, models=15)
    predicted = model.predict(np.vstack([genomes, SPACE.sample(5, rng=rng)]))
    assert np.isfinite(predicted).all()
    if flat:
        assert predicted == pytest.approx(np.full(len(predicted), 7.0), abs=1e-3)


def test_known_networks_are_nearly_reproduced():
    rng = np.random.default_rng(0)
    genomes = SPACE.sample(60, rng=rng)
    errors = rng.uniform(10, 20, 60)
    predicted = RbfEnsemble.fit(genomes, errors, rng=rng, models=100).predict(genomes)
    assert predicted == pytest.approx(errors, abs=0.05)


def test_predicting_nothing_gives_nothing():
    rng = np.random.default_rng(0)
    model = RbfEnsemble.fit(SPACE.sample(9, rng=rng), np.arange(9.0), rng=rng, models=5)
    assert model.predict(np.empty((0, SPACE.genes), int)).shape == (0,)


@pytest.mark.parametrize("errors", [[1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_targets_that_do_not_fit_are_refused(errors):
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="one finite target"):
        RbfEnsemble.fit(SPACE.sample(2, rng=rng), errors, rng=rng)


def test_features_spell_a_genome_out():
    row = features([SPACE.decode("08011001440551052208877")])[0]
    assert row[:2].tolist() == [8, 0]
    assert row[2:10].tolist() == [3, 3, 3, 3, 0, 0, 0, 0]
    assert row[42:47].tolist() == [2, 3, 3, 3, 4]
    assert row[47:49].tolist() == [6, 6]
    assert row.shape == (57,)


def test_rank_metrics_know_perfect_reversed_and_flat():
    assert rank_metrics([1, 2, 3], [2, 3, 4]) == {"rmse": 1.0, "spearman": 1.0, "kendall": 1.0}
    assert rank_metrics([3, 2, 1], [1, 2, 3])["kendall"] == -1
    assert rank_metrics([1, 1, 1], [1, 2, 3])["spearman"] == 0


@pytest.mark.parametrize(("left", "right"), [([1], [1]), ([1, 2], [1]), ([1, np.nan], [1, 2])])
def test_rank_metrics_refuse_what_has_no_ranks(left, right):
    with pytest.raises(DataError):
        rank_metrics(left, right)
