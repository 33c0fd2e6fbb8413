import json
from dataclasses import asdict

import pytest
from evaluate.transfer import evaluate_transfer, score_transfer

from hwnat.errors import DataError, HwnatError, UsageError


def published(path, *, speed, memory):
    """Write a small file of the format, with costs that follow shapes."""
    costs = {f"firstconv_128_3_{c}_2_3": 0.1 * c for c in (16, 24)}
    for side in (4, 6, 8):
        for channels in range(48, 129, 16):
            tokens = side * side * channels
            for times in (2, 4):
                ops = tokens * channels * times / 1e6
                costs[f"transffn_{side}_{channels}_{times}_hard_swish_ln"] = (
                    speed * ops + memory * channels * channels * times / 1e6 + 0.01
                )
            costs[f"transattn_{side}_{channels}_hard_swish_2_ln"] = (
                3 * speed * tokens * channels / 1e6 + 0.02
            )
    path.write_text(json.dumps(costs))
    return path


@pytest.fixture
def files(tmp_path):
    given = {"a": (1.0, 1.0), "b": (0.6, 2.0), "new": (0.3, 0.7)}
    return {
        name: published(tmp_path / f"{name}.json", speed=speed, memory=memory)
        for name, (speed, memory) in given.items()
    }


def test_blocks_that_were_not_timed_are_scored_beside_baselines(files):
    found = evaluate_transfer([files["a"], files["b"]], files["new"], budget=12, seed=1)
    assert found.n == 2 + 18 * 3 - 12
    assert found.within10 > 0.8
    assert found.coverage90 is not None
    assert set(found.baselines) == {
        "mean of sources, one factor",
        "nearest source, one factor",
        "log-linear in sources",
        "proportional to FLOPs",
        "timings alone",
    }
    assert found.mape < found.baselines["proportional to FLOPs"].mape
    assert found.facts["sources"] == ["a", "b"]
    assert (found.facts["target"], found.facts["timed"], found.facts["seed"]) == ("new", 12, 1)
    json.dumps(asdict(found), allow_nan=False)


def test_the_same_seed_gives_the_same_figures(files):
    first, second = (
        evaluate_transfer([files["a"]], files["new"], budget=10, seed=5) for _ in range(2)
    )
    assert first == second


def test_networks_are_sums_of_blocks(phone):
    found = score_transfer([phone("a")], phone("new", memory=2.0), budget=20)
    assert found.facts["networks"] == 200
    assert 0 < found.facts["network_mape"] < found.mape


def test_blocks_that_no_source_holds_are_counted(phone):
    keys = sorted(phone("a").entries)
    found = score_transfer([phone("a", keys=keys[:150])], phone("new", memory=2.0), budget=20)
    assert found.facts["left_out"] == len(keys) - 150
    assert found.n == 150 - 20


def test_a_target_among_the_sources_and_no_source_are_refused(files):
    with pytest.raises(UsageError, match="another file as the target"):
        evaluate_transfer([files["a"], files["new"]], files["new"], budget=10)
    with pytest.raises(UsageError, match="one or more sources"):
        evaluate_transfer([], files["new"], budget=10)


def test_a_budget_that_leaves_nothing_is_refused(files):
    with pytest.raises(UsageError, match="leave nothing to score"):
        evaluate_transfer([files["a"]], files["new"], budget=1000)


def test_a_copied_table_is_refused(files, tmp_path):
    copy = tmp_path / "copy.json"
    copy.write_bytes(files["a"].read_bytes())
    with pytest.raises(HwnatError):
        evaluate_transfer([files["a"], copy, files["a"]], files["new"], budget=10)


def test_a_damaged_file_is_named(files):
    files["new"].write_text('{"transffn_4_48_2_hard_swish_ln": -1}')
    with pytest.raises(DataError, match=r"new\.json.*transffn_4_48_2"):
        evaluate_transfer([files["a"]], files["new"], budget=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "budget", "within10"),
    [("pixel6", 30, 0.95), ("pixel4", 100, 0.93)],
)
def test_published_phones_are_told_from_two_others(shared_data, target, budget, within10):
    paths = {
        path.name.partition("_")[0]: path
        for path in sorted((shared_data / "nn-meter-blocks").glob("*.json"))
    }
    sources = [path for name, path in paths.items() if name != target]
    found = evaluate_transfer(sources, paths[target], budget=budget)
    assert found.within10 >= within10
    assert found.mape < min(each.mape for each in found.baselines.values())
    assert found.facts["network_within10"] >= 0.99
