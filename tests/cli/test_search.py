"""Search, export and the supernet from a person's side, on a task of seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwnat.export.subnet import read_report
from hwnat.records.parse import record
from hwnat.search.run import Front, read_front

BUDGET = (
    *("--iterations", "1", "--initial", "4", "--archive", "4", "--epochs", "1"),
    *("--batch", "20", "--calibration", "50"),
)


#: Presses Ctrl-C once iteration 0 is written, which is when the weights before it are removed.
INTERRUPTED = """
import signal, sys
from hwnat.cli.main import main

def hook(event, args):
    if event == "os.remove" and "weights--01" in str(args[0]):
        signal.raise_signal(signal.SIGINT)

# A job in a shell's background ignores the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(hook)
main()
"""


@pytest.fixture
def search(halves, run_folder):
    """Return the arguments of a tiny search."""
    weights = run_folder / "supernet.safetensors"
    objectives = ("--objective", "accuracy", "--objective", "macs")
    return ("search", "--data", halves, "--weights", weights, *objectives, *BUDGET)


@pytest.mark.slow
def test_an_interrupted_search_goes_on_with_the_same_command(hwnat, search, tmp_path):
    argv = [*map(str, search), "--run", "new"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("hwnat: interrupted; run the same command again")
    assert (tmp_path / "new/iterations/000.json").exists()
    assert not (tmp_path / "new/front.json").exists()
    code, out, _ = hwnat(*argv, "--json")
    assert code == 0
    assert record(Front, json.loads(out), where="stdout") == read_front(tmp_path / "new")


def test_a_pick_by_word_is_exported_and_printed(hwnat, run_folder):
    front = json.loads((run_folder / "front.json").read_text())
    code, out, err = hwnat("export", "--run", run_folder, "--to", "onnx", "--pick", "fastest")
    assert (code, err.strip()) == (
        0,
        "onnx: not timed: no latency table of this target; name one with --table.",
    )
    assert front["candidates"][1]["genome"] in out
    assert "model.onnx" in out


def test_an_export_prints_its_report(hwnat, run_folder, tmp_path):
    out = tmp_path / "files"
    code, text, err = hwnat(
        *("export", "--run", run_folder, "--to", " onnx,onnx", "--pick", "1"),
        *("--out", out, "--json"),
    )
    assert (code, "not timed" in err) == (0, True)
    assert json.loads(text) == json.loads((out / "report.json").read_text())
    assert [row.file for row in read_report(out / "report.json").files] == ["model.onnx"]


@pytest.fixture
def moved(halves, tmp_path):
    """Move the pictures of a search to another folder until the test has ended."""
    path = Path(halves).rename(tmp_path / f"moved{Path(halves).suffix}")
    yield path
    path.rename(halves)


def test_pictures_that_were_moved_are_named_anew(hwnat, run_folder, halves, moved):
    export = ("export", "--run", run_folder, "--to", "onnx")
    for args, words in (
        ((), f"is not at {halves}. Name its new place with --data."),
        (("--data", "nowhere"), "nowhere"),
        (("--data", "digits"), "digits is not the data that"),
    ):
        code, out, err = hwnat(*export, *args)
        assert (code, out) == (2, "")
        assert words in err
    assert not (run_folder / "export" / "knee").exists()
    code, out, _ = hwnat(*export, "--data", moved)
    assert (code, "model.onnx" in out) == (0, True)


def test_a_weights_file_is_described(hwnat, run_folder):
    path = run_folder / "supernet.safetensors"
    code, out, err = hwnat("supernet", "info", path, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["space"], facts["classes"]) == ("mbv3-nano", "2")
    assert facts["bytes"] == path.stat().st_size
    assert "mbv3-nano" in hwnat("supernet", "info", path)[1]


def test_accuracy_of_the_extreme_networks_is_measured(hwnat, run_folder, halves):
    args = ("supernet", "info", run_folder / "supernet.safetensors", "--data", halves)
    test = json.loads(hwnat(*args, "--json")[1])["test"]
    assert test.keys() == {"largest", "smallest"}
    assert all(0 <= top1 <= 100 for top1 in test.values())
    assert f"top-1 of the largest network: {test['largest']:.2f} %" in hwnat(*args)[1]


@pytest.mark.slow
def test_training_writes_the_weights_it_names(hwnat, halves, tmp_path):
    args = ("--data", halves, "--epochs", "1", "--batch", "35", "--out", "made/w.safetensors")
    code, out, err = hwnat("supernet", "train", *args)
    assert (code, out) == (0, "made/w.safetensors\n")
    assert err.startswith("train: 1 of ")
    made = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert made == [".w.safetensors.lock", "w.safetensors"]
