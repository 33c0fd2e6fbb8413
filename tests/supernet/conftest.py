"""A small real task and untrained weights of the smallest space."""

import numpy as np
import pytest
import torch

from hwnat.data.readers import load_dataset
from hwnat.records.space import MBV3_NANO
from hwnat.supernet.network import Supernet


@pytest.fixture(autouse=True)
def one_thread():
    """Keep sums in one order, so that equal runs give equal weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_npz(tmp_path_factory):
    """Bright left or right halves: two classes that a network learns in a few steps."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 180)
    pixels = rng.integers(0, 60, (180, 24, 24), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 12 * label : 12 * label + 12] += 150
    path = tmp_path_factory.mktemp("data") / "halves.npz"
    np.savez(path, x=pixels, y=labels)
    return path


@pytest.fixture(scope="session")
def halves(small_npz):
    return load_dataset(str(small_npz))


@pytest.fixture
def untrained():
    return Supernet.fresh(MBV3_NANO, classes=2, seed=3)
