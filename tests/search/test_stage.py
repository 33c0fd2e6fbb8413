"""A search as a stage: its folder is its own, is complete, and may be moved."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from hwnat.data.readers import load_dataset
from hwnat.errors import DataError, TableMismatchError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.lock import folder_lock
from hwnat.records.space import MBV3_NANO, MBV3_W10
from hwnat.records.write import write_text
from hwnat.search.archive import Archive
from hwnat.search.run import Iteration, kept_table, read_config, read_front
from hwnat.search.stage import prepare, search
from hwnat.search.tables import adopt_tables
from hwnat.supernet.network import Supernet
from hwnat.table.lookup import load_table

SHORT = {"iterations": 1, "initial": 4, "archive": 4, "training": 4, "batch": 60}


def test_a_second_search_in_a_folder_is_refused_while_the_first_runs(tiny, tmp_path):
    refused = []

    def meanwhile(*_):
        if not refused:
            with pytest.raises(UsageError, match=r"Folder .*run is in use by process \d+") as error:
                search(tiny(**SHORT, seed=5), tmp_path / "run")
            refused.append(error)

    search(tiny(**SHORT), tmp_path / "run", progress=meanwhile)
    assert refused
    assert read_config(tmp_path / "run").seed == 0


def test_the_folder_of_a_search_is_free_again_once_it_failed(tiny, tmp_path):
    scale = SHORT | {"batch": 5, "epochs": 2}
    with pytest.raises(DataError, match="diverged"):
        search(tiny(**scale, learning_rate=10.0, seed=2), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.safetensors"))
    # Nothing of it stands in the way of the same search at a lower rate.
    search(tiny(**scale, seed=2), tmp_path / "run")
    with folder_lock(tmp_path / "run"):
        assert (tmp_path / "run" / "front.json").is_file()


def test_a_run_may_be_moved_and_used_from_another_folder(
    tiny, task, a_table, tmp_path, monkeypatch
):
    home, away = tmp_path / "home", tmp_path / "away"
    away.mkdir()
    shutil.copytree(task, home / "task")
    (home / "tables").mkdir()
    a_table(classes=2).save(home / "tables" / "t.json")
    monkeypatch.chdir(home)
    config = tiny(
        **SHORT,
        data="task/halves.npz",
        weights="task/weights.safetensors",
        objectives=("error", "latency@tables/t.json"),
        limits=("latency@tables/t.json<=0.9ms",),
    )
    front = search(config, home / "run")
    monkeypatch.chdir(away)
    shutil.move(home / "run", away / "moved")
    shutil.move(home / "tables" / "t.json", away / "renamed.json")
    assert read_front(away / "moved") == front
    kept = kept_table(away / "moved", front.objectives[1])
    assert load_table(kept) == load_table(away / "renamed.json")
    # The same search by its new paths is the same search.
    (away / "moved" / "front.json").unlink()
    again = tiny(
        **SHORT,
        data=str(home / "task" / "halves.npz"),
        weights=str(home / "task" / "weights.safetensors"),
        objectives=("error", "latency@renamed.json"),
        limits=("latency@renamed.json<=0.9ms",),
    )
    assert search(again, away / "moved") == front


@pytest.mark.parametrize(
    "name", ["latency@../secret.json", "latency@/etc/passwd", "latency@missing.json", "macs"]
)
def test_a_front_names_no_table_outside_its_folder(a_table, tmp_path, name):
    a_table().save(tmp_path / "secret.json")
    (tmp_path / "run").mkdir()
    assert kept_table(tmp_path / "run", name) is None


def test_a_link_out_of_the_folder_is_not_followed(a_table, tmp_path):
    a_table().save(tmp_path / "secret.json")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "t.json").symlink_to(tmp_path / "secret.json")
    assert kept_table(tmp_path / "run", "latency@t.json") is None


def test_a_table_of_another_machine_is_named_before_the_search(tiny, a_table, tmp_path):
    a_table(classes=2).save(tmp_path / "t.json")
    told = []

    class Began(BaseException):
        """Ends the search at its first step."""

    def progress(*_):
        raise Began

    config = tiny(**SHORT, objectives=("error", f"latency@{tmp_path / 't.json'}"))
    with pytest.raises(Began):
        search(config, tmp_path / "run", progress=progress, tell=told.append)
    (line,) = told
    assert "`hwnat export` will not time its files" in line
    assert "was measured on a CPU, this is" in line


def test_tables_of_another_space_or_of_too_few_resolutions_are_refused(tiny, a_table, tmp_path):
    path = tmp_path / "t.json"
    config = tiny(objectives=("error", f"latency@{path}"))
    a_table(MBV3_W10, (192,)).save(path)
    with pytest.raises(TableMismatchError, match=r"mbv3-w1\.0"):
        adopt_tables(config)
    a_table(resolutions=(24, 32)).save(path)
    with pytest.raises(UsageError, match=r"lacks the resolutions 28\..* --resolution 24 --r"):
        adopt_tables(config)
    some = tiny(objectives=("error", f"latency@{path}"), resolutions=(24, 32))
    assert len(adopt_tables(some)[1]) == 1


def test_a_search_of_one_resolution_measures_networks_of_no_other(tiny, tmp_path):
    front = search(tiny(**SHORT, resolutions=(28,)), tmp_path / "run")
    assert {MBV3_NANO.resolutions[int(each.genome[:2])] for each in front.candidates} == {28}


def test_a_table_may_lack_the_resolutions_that_are_not_searched(tiny, a_table, tmp_path):
    a_table(resolutions=(24,)).save(tmp_path / "t.json")
    objectives = ("error", f"latency@{tmp_path / 't.json'}")
    config = tiny(**SHORT, objectives=objectives, resolutions=(24,))
    front = search(config, tmp_path / "run")
    assert {MBV3_NANO.resolutions[int(pick.genome[:2])] for pick in front.candidates} == {24}


def test_an_iteration_is_written_only_after_its_weights(tiny, tmp_path):
    # A file cannot take the place of a folder, so the weights cannot be written.
    (tmp_path / "run" / "weights-000.safetensors").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"Cannot write .*weights-000\.safetensors"):
        search(tiny(**SHORT), tmp_path / "run")
    assert not list((tmp_path / "run").glob("iterations/*"))


def test_the_weights_of_an_iteration_outlive_a_failure_of_the_next(tiny, tmp_path):
    (tmp_path / "run" / "weights-001.safetensors").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"weights-001\.safetensors"):
        search(tiny(**SHORT), tmp_path / "run")
    assert (tmp_path / "run" / "weights-000.safetensors").is_file()


def a_run(config, folder):
    """Prepare a search without starting it."""
    config, tables = adopt_tables(config)
    return prepare(config, load_dataset(config.data), tables, folder)


def test_a_network_just_above_a_limit_is_not_on_the_front(tiny, tmp_path):
    small, large = MBV3_NANO.smallest(), MBV3_NANO.largest()
    costs = Arch(space=MBV3_NANO, genome=large).cost(classes=2)
    # The largest network exceeds the limit by less than half a percent.
    run = a_run(tiny(limits=(f"macs<={int(costs.macs / 1.004)}",)), tmp_path)
    archive = Archive(space="mbv3-nano", genomes=[small, large], errors=[50.0, 10.0])
    front = run.finish(Iteration(index=1, archive=archive, metrics={}))
    assert [candidate.genome for candidate in front.candidates] == [MBV3_NANO.encode(small)]
    exact = a_run(tiny(limits=(f"macs<={costs.macs}",)), tmp_path / "exact")
    front = exact.finish(Iteration(index=1, archive=archive, metrics={}))
    assert len(front.candidates) == 2


def test_the_front_is_tested_on_images_that_steered_nothing(tiny, tmp_path):
    run = a_run(tiny(), tmp_path)
    # Every answer of the test part becomes wrong in the same way; validation stays as it is.
    test = run.data.test
    swapped = replace(run.data, test=replace(test, labels=1 - test.labels))
    other = a_run(tiny(), tmp_path / "other")
    other.data = swapped
    archive = Archive(space="mbv3-nano", genomes=[MBV3_NANO.smallest()], errors=[50.0])
    last = Iteration(index=1, archive=archive, metrics={})
    (one,), (two,) = run.finish(last).candidates, other.finish(last).candidates
    assert one.test_error_percent + two.test_error_percent == pytest.approx(100)
    assert one.error_percent == two.error_percent == 50


@pytest.mark.parametrize("changed", ["weights", "data"])
def test_a_search_does_not_go_on_with_other_weights_or_pictures(tiny, task, tmp_path, changed):
    shutil.copytree(task, tmp_path / "task")
    config = tiny(
        **SHORT,
        data=str(tmp_path / "task" / "halves.npz"),
        weights=str(tmp_path / "task" / "weights.safetensors"),
    )
    write_text(tmp_path / "run" / "config.json", a_run(config, tmp_path / "new").config.text)
    a_run(config, tmp_path / "run")
    if changed == "weights":
        other = Supernet.fresh(MBV3_NANO, classes=3, seed=1)
        other.save(tmp_path / "task" / "weights.safetensors")
    else:
        with np.load(tmp_path / "task" / "halves.npz") as file:
            pixels, labels = file["x"].copy(), file["y"]
        pixels[0, 0, 0] ^= 1
        np.savez(tmp_path / "task" / "halves.npz", x=pixels, y=labels)
    with pytest.raises(UsageError, match=r"other settings \(inputs\)"):
        a_run(config, tmp_path / "run")


def test_a_network_just_above_a_limit_survives_no_selection(tiny, tmp_path):
    small, large = MBV3_NANO.smallest(), MBV3_NANO.largest()
    middle = (1, *small[1:])
    macs = Arch(space=MBV3_NANO, genome=large).cost(classes=2).macs
    limit = f"macs<={int(macs / 1.004)}"
    run = a_run(tiny(objectives=("error",), limits=(limit,)), tmp_path)
    # The last one errs least, so it would be kept if it were allowed.
    genomes, errors = np.array([small, middle, large]), np.array([50.0, 30.0, 10.0])
    assert run._survivors(genomes, errors, 2, 1).tolist() == [0, 1]
