"""A search as a stage: its folder is its own, is complete, and may be moved."""

import shutil

import pytest

from hwnat.errors import DataError, TableMismatchError, UsageError
from hwnat.records.lock import folder_lock
from hwnat.records.space import MBV3_NANO, MBV3_W10
from hwnat.search.run import kept_table, read_config, read_front
from hwnat.search.stage import search
from hwnat.search.tables import adopt_tables
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
    assert "exported without a timing" in line
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
