"""A task that a network learns in seconds, and a search of it that fits into a test."""

import numpy as np
import pytest
import torch

from hwnat.records.space import MBV3_NANO
from hwnat.search.run import SearchConfig
from hwnat.supernet.network import Supernet


@pytest.fixture(autouse=True)
def one_thread():
    """Keep sums in one order, so that equal runs give equal files."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def task(tmp_path_factory):
    """Write bright left or right halves and untrained weights; return the folder."""
    folder = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    pixels = rng.integers(0, 160, (120, 24, 24), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 12 * label : 12 * label + 12] += 60
    np.savez(folder / "halves.npz", x=pixels, y=labels)
    Supernet.fresh(MBV3_NANO, classes=3, seed=0).save(folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny(task):
    """Configure a search of seconds: `tiny(seed=1)`; what is not said has a default."""

    def build(**changes):
        default = {
            "space": "mbv3-nano",
            "data": str(task / "halves.npz"),
            "weights": str(task / "weights.safetensors"),
            "objectives": ("error", "macs"),
            "iterations": 2,
            "initial": 6,
            "archive": 6,
            "training": 6,
            "population": 12,
            "generations": 3,
            "models": 20,
            "epochs": 1,
            "batch": 20,
            "calibration": 50,
        }
        return SearchConfig(**{**default, **changes})

    return build
