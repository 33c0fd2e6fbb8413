"""The command line in this process, as `hwnat` runs it: exit code, stdout and stderr."""

import sys

import numpy as np
import pytest
import torch

from hwnat.cli.main import main
from hwnat.data.readers import load_dataset
from hwnat.records.space import MBV3_NANO
from hwnat.records.write import write_text
from hwnat.search.run import Candidate, Front, SearchConfig
from hwnat.supernet.network import Supernet


@pytest.fixture
def hwnat(tmp_path, monkeypatch, capfd):
    """Run `hwnat ARGS` in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["hwnat", *map(str, args)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capfd.readouterr()

    yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def halves(tmp_path_factory):
    """Write bright left or right halves, two classes, as an npz file."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 90)
    pixels = rng.integers(0, 60, (90, 24, 24), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 12 * label : 12 * label + 12] += 150
    path = tmp_path_factory.mktemp("data") / "halves.npz"
    np.savez(path, x=pixels, y=labels)
    return path


@pytest.fixture
def run_folder(halves, tmp_path):
    """Write what a finished search leaves: two networks of untrained weights."""
    folder = tmp_path / "run"
    Supernet.fresh(MBV3_NANO, classes=2, seed=0).save(folder / "supernet.safetensors")
    objectives = ("error", "macs")
    config = SearchConfig(
        space="mbv3-nano",
        data=str(halves),
        weights="mbv3-nano",
        objectives=objectives,
        inputs=(("data", load_dataset(str(halves)).digest),),
        calibration=50,
    )
    write_text(folder / "config.json", config.text)
    candidates = tuple(
        Candidate(
            genome=MBV3_NANO.encode(genome),
            error_percent=error,
            test_error_percent=error,
            costs=(error, macs),
        )
        for genome, error, macs in (
            (MBV3_NANO.largest(), 10.0, 9e6),
            (MBV3_NANO.smallest(), 20.0, 1e6),
        )
    )
    front = Front(
        schema=1,
        space="mbv3-nano",
        data=str(halves),
        classes=2,
        objectives=objectives,
        candidates=candidates,
    )
    write_text(folder / "front.json", front.text)
    return folder


@pytest.fixture
def table_file(a_table, tmp_path):
    """Write a table of mbv3-nano with 10 classes."""
    path = tmp_path / "table.json"
    a_table().save(path)
    return path
