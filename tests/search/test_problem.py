import random  # noqa: TID251 - to see that it is left alone
import warnings
from importlib import import_module

import numpy as np
import pytest

from hwnat.errors import InfeasibleError, UsageError
from hwnat.records.space import get_space
from hwnat.search.objectives import CostModel, Limit, Objective
from hwnat.search.pareto import hypervolume, non_dominated
from hwnat.search.problem import Region, evolve, survive

SPACE = get_space("mbv3-nano")


def errors(genomes):
    """A stand-in for accuracy: larger blocks err less, kernels matter little."""
    return 60 - 2 * np.sqrt((genomes[:, 2:] / 3).sum(axis=1)) - genomes[:, 0]


def an_evolution(
    *limits, objectives=("error", "macs"), space=SPACE, resolutions=(), seed=7, **scale
):
    costs = CostModel.build(
        space=space,
        classes=10,
        objectives=[Objective.parse(text) for text in objectives],
        limits=[Limit.parse(text) for text in limits],
    )
    found = evolve(
        region=Region(space=space, resolutions=resolutions or space.resolutions),
        initial=space.sample(40, rng=np.random.default_rng(0)),
        evaluate=lambda genomes: costs(genomes, errors(genomes)),
        violations=lambda genomes: costs.violations(genomes, errors(genomes)),
        limits=costs.limits,
        seed=seed,
        **{"population": 40, "generations": 15} | scale,
    )
    return found, costs


def test_the_same_seed_finds_the_same_networks_and_another_seed_others():
    first, second, third = (an_evolution(seed=seed)[0] for seed in (1, 1, 2))
    assert (first == second).all()
    assert first.tolist() != third.tolist()


def test_global_generators_and_warning_filters_are_left_alone():
    import_module("scipy.special")  # adds a filter of its own when it is first imported
    before = np.random.get_state()[1].copy(), random.getstate(), list(warnings.filters)  # noqa: NPY002
    an_evolution(generations=3)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert (random.getstate(), list(warnings.filters)) == before[1:]


@pytest.mark.parametrize("resolutions", [(24,), (24, 32)])
def test_a_search_of_some_resolutions_finds_networks_of_no_other(resolutions):
    found, _ = an_evolution("macs<=9M", resolutions=resolutions, generations=5)
    assert {SPACE.resolutions[gene] for gene in found[:, 0]} == set(resolutions)
    region = Region(space=SPACE, resolutions=resolutions)
    drawn = region.sample(50, rng=np.random.default_rng(0))
    assert {SPACE.resolutions[gene] for gene in drawn[:, 0]} == set(resolutions)
    assert [SPACE.resolutions[gene] for gene in region.extremes()[:, 0]] == [
        resolutions[0],
        resolutions[-1],
    ]


def test_a_resolution_that_the_space_lacks_is_refused():
    with pytest.raises(UsageError, match="no resolution 25"):
        Region(space=SPACE, resolutions=(24, 25))


@pytest.mark.parametrize("name", ["mbv3-nano", "mbv3-w1.2", "mbv3"])
def test_found_networks_are_canonical_and_distinct(name):
    space = get_space(name)
    found, _ = an_evolution(space=space, generations=5)
    assert (space.repair(found) == found).all()
    assert len(np.unique(found, axis=0)) == len(found)


def test_evolution_beats_as_many_random_networks():
    found, costs = an_evolution(generations=25)
    drawn = SPACE.sample(1000, rng=np.random.default_rng(5))
    reference = costs.reference(60, SPACE.largest())
    volumes = [
        hypervolume(costs(genomes, errors(genomes)) / reference, [1, 1])
        for genomes in (found, drawn)
    ]
    assert volumes[0] > volumes[1] * 1.02


def test_limits_hold_for_every_network_found():
    found, costs = an_evolution("params<=250K", "macs<=2M")
    assert len(found)
    assert (costs.violations(found, errors(found)) <= 0).all()


def test_a_limit_only_the_smallest_networks_meet_is_met():
    smallest = np.array([SPACE.smallest()])
    _, costs = an_evolution(generations=1)
    least = int(costs(smallest, [0])[0, 1])
    found, _ = an_evolution(f"macs<={least}")
    assert found.tolist() == smallest.tolist()


def test_an_impossible_limit_ends_with_a_limit_that_can_be_met():
    words = r"params<=0.01M: the best is .*try params<="
    with pytest.raises(InfeasibleError, match=words) as caught:
        an_evolution("params<=10K", "macs<=50M")
    assert "macs" not in str(caught.value)
    suggested = str(caught.value).rsplit("try ", 1)[1].rstrip(".")
    assert len(an_evolution(suggested)[0])


def test_one_objective_and_three_objectives_work_too():
    single, _ = an_evolution(objectives=("error",), generations=25)
    assert errors(single).min() < errors(SPACE.sample(1000, rng=np.random.default_rng(1))).min()
    triple, costs = an_evolution(objectives=("error", "params", "macs"))
    assert non_dominated(costs(triple, errors(triple))).sum() > 20


def test_survivors_are_the_front_first_and_spread_over_it():
    share = np.linspace(0, 1, 51)
    front = np.column_stack([share, 1 - share]) * (1, 1e8)
    costs = np.vstack([front + np.array([0.5, 5e7]), front])
    kept = survive(costs, 51, seed=0)
    assert kept.tolist() == list(range(51, 102))
    ends = survive(costs, 10, seed=0)
    assert len(ends) == 10
    assert ends.min() >= 51


def test_survival_is_seeded_and_keeps_all_where_there_are_few():
    costs = np.random.default_rng(0).random((200, 2))
    assert survive(costs, 60, seed=1).tolist() == survive(costs, 60, seed=1).tolist()
    assert survive(costs[:5], 9, seed=1).tolist() == [0, 1, 2, 3, 4]
    assert survive(costs[:, :1], 7, seed=1).tolist() == sorted(np.argsort(costs[:, 0])[:7])
