"""The whole loop on a task of seconds: the same files from the same seed, however often it dies."""

import signal
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hwnat.errors import (
    DataError,
    InconclusiveError,
    InfeasibleError,
    TableMismatchError,
    UsageError,
)
from hwnat.records.space import MBV3_NANO, MBV3_W10
from hwnat.search.run import read_front, read_iteration
from hwnat.search.stage import search
from hwnat.search.tables import kept_name

pytestmark = pytest.mark.slow
LIMIT = 2_000_000


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """Search once without interruption; return the folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finished")
    search(tiny(), folder)
    return folder


@pytest.fixture(scope="module")
def limited(tiny, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("limited")
    search(tiny(seed=1, limits=(f"macs<={LIMIT}",)), folder)
    return folder


class Killed(BaseException):
    """Nobody catches it, as nobody catches a signal."""


def dies_at(stage, iteration, step):
    """Die when a stage of an iteration reports that so many steps are done."""
    reported = {"search": 0}

    def progress(name, done, _total):
        reported[name] = done
        if (name, done) == (stage, step) and reported["search"] == iteration:
            raise Killed

    return progress


def iterations(folder):
    return [read_iteration(path) for path in sorted(folder.glob("iterations/*.json"))]


def files(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}


def assert_same_files(folder, other):
    assert files(folder).keys() == files(other).keys()
    for name, path in files(folder).items():
        if name.suffix == ".safetensors":
            found, wanted = load_file(path), load_file(other / name)
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[key], wanted[key]) for key in found)
        else:
            assert path.read_bytes() == (other / name).read_bytes()


def test_a_search_that_dies_in_every_phase_ends_with_the_same_files(tiny, finished, tmp_path):
    for point in (
        ("search: evaluate", 0, 2),
        ("search: adapt", 1, 0),
        ("search: evaluate", 1, 3),
        ("search: evaluate", 2, 5),
        ("test", 2, 1),
    ):
        with pytest.raises(Killed):
            search(tiny(), tmp_path, progress=dies_at(*point))
        assert not (tmp_path / "front.json").exists()
    search(tiny(), tmp_path)
    assert_same_files(tmp_path, finished)


def test_a_search_goes_on_after_a_real_kill(tiny, finished, tmp_path):
    code = (
        "import os, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from hwnat.search.run import SearchConfig\n"
        "from hwnat.search.stage import search\n"
        "torch.set_num_threads(1)\n"
        "rounds = []\n"
        "def die(stage, done, _total):\n"
        "    rounds.extend([done] if stage == 'search' else [])\n"
        "    if (stage, done, rounds[-1:]) == ('search: evaluate', 3, [1]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"search(SearchConfig(**{asdict(tiny())!r}), Path(sys.argv[1]), progress=die)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [each.index for each in iterations(tmp_path)] == [0]
    search(tiny(), tmp_path)
    assert_same_files(tmp_path, finished)


def test_a_finished_search_returns_its_front_at_once(tiny, finished):
    before = (finished / "front.json").stat().st_mtime_ns

    def no_work(*_):
        raise AssertionError

    assert search(tiny(), finished, progress=no_work) == read_front(finished)
    assert (finished / "front.json").stat().st_mtime_ns == before


def test_another_seed_draws_other_networks(finished, limited):
    one, other = (iterations(folder)[0].archive.genomes for folder in (finished, limited))
    assert one.tolist() != other.tolist()


def test_archives_hold_as_many_networks_as_asked_for(finished):
    assert [len(each.archive.genomes) for each in iterations(finished)] == [6, 6, 6]


def test_the_first_archive_holds_both_extremes(finished):
    genomes = iterations(finished)[0].archive.genomes.tolist()
    assert {MBV3_NANO.smallest(), MBV3_NANO.largest()} <= set(map(tuple, genomes))


def test_every_iteration_logs_what_it_found(finished):
    first, *later = iterations(finished)
    assert first.metrics["predicted"] == 0
    for each in later:
        assert 0 <= each.metrics["hypervolume"] < 1
        assert (each.metrics["hypervolume"] > 0) == (each.archive.errors.min() < 40)
        assert each.metrics["best_error_percent"] == each.archive.errors.min()
        assert each.metrics["feasible"] == each.metrics["evaluations"] == 6
    ranked = [each.metrics for each in later if each.metrics["predicted"] > 3]
    assert ranked
    assert all(-1 <= each["kendall"] <= 1 and each["rmse"] >= 0 for each in ranked)


def test_no_network_of_the_front_beats_another_in_everything(finished):
    costs = np.array([each.costs for each in read_front(finished).candidates])
    assert (np.diff(costs[:, 0]) > 0).all()
    assert (np.diff(costs[:, 1]) < 0).all()


def test_every_network_of_the_front_keeps_the_limit(limited):
    front = read_front(limited)
    macs = [candidate.costs[1] for candidate in front.candidates]
    assert max(macs) <= LIMIT
    exact = [front.pick(str(i))[1].cost(classes=2).macs for i in range(len(macs))]
    assert macs == exact


def test_an_archive_under_a_limit_is_full_of_networks_that_keep_it(limited):
    assert all(each.metrics["feasible"] == 6 for each in iterations(limited))


def test_without_adaptation_weights_stay_those_of_the_first_archive(tiny, tmp_path):
    config = tiny(adapt=False, iterations=1)
    with pytest.raises(Killed):
        search(config, tmp_path, progress=dies_at("search: evolve", 0, 0))
    before = load_file(tmp_path / "weights-000.safetensors")
    search(config, tmp_path)
    after = load_file(tmp_path / "supernet.safetensors")
    assert all(torch.equal(tensor, before[f"weights.{name}"]) for name, tensor in after.items())


@pytest.mark.parametrize("limits", [("macs<=1K",), ("params<=1M", "size<=1kB")])
def test_limits_no_network_can_meet_are_refused_before_anything_is_written(tiny, tmp_path, limits):
    with pytest.raises(InfeasibleError, match="No network within the limits"):
        search(tiny(limits=limits), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_limit_on_the_error_that_nothing_met_is_inconclusive(tiny, tmp_path):
    config = tiny(
        iterations=1, initial=2, archive=2, training=2, limits=("error<=0.0001%",), batch=64
    )
    with pytest.raises(InconclusiveError, match="None of 2 measured networks"):
        search(config, tmp_path)
    assert not (tmp_path / "front.json").exists()


def test_a_folder_of_another_search_is_refused_and_left_alone(tiny, finished):
    before = {name: path.read_bytes() for name, path in files(finished).items()}
    with pytest.raises(UsageError, match=r"other settings \(iterations, epochs\)"):
        search(tiny(epochs=2, iterations=3), finished)
    assert {name: path.read_bytes() for name, path in files(finished).items()} == before


def test_weights_of_another_space_are_refused(tiny, tmp_path):
    with pytest.raises(DataError, match=r"holds weights of mbv3-nano, not mbv3-w1\.0"):
        search(tiny(space="mbv3-w1.0"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_of_another_space_is_refused(tiny, a_table, tmp_path):
    a_table(MBV3_W10, (192,), classes=2).save(tmp_path / "table.json")
    config = tiny(objectives=("error", f"latency@{tmp_path / 'table.json'}"))
    with pytest.raises(TableMismatchError):
        search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_latency_on_a_table_is_an_objective_and_a_limit(tiny, a_table, tmp_path):
    table = a_table(classes=2)
    table.save(tmp_path / "table.json")
    name = f"latency@{tmp_path / 'table.json'}"
    config = tiny(iterations=1, objectives=("error", name), limits=(f"{name}<=0.8ms",))
    front = search(config, tmp_path / "run")
    assert front.objectives == ("error", f"latency@{kept_name(table)}")
    assert all(0 < each.costs[1] <= 800_000 for each in front.candidates)
