from pathlib import Path

import pytest

from hwnat.data.readers import load_dataset
from hwnat.records.arch import Arch
from hwnat.supernet.accuracy import Evaluator
from hwnat.supernet.network import Supernet, weights_info, weights_path

FASHION = Path("/usr/share/datasets/fashion-mnist")


def test_the_shipped_weights_are_small_and_say_what_they_are():
    path = weights_path("mbv3-nano")
    assert path.stat().st_size < 8e6
    info = weights_info(path)
    assert (info["space"], info["classes"]) == ("mbv3-nano", "10")
    assert "fashion-mnist" in info["details"]


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.parametrize(("extreme", "least"), [("largest", 92.0), ("smallest", 88.5)])
def test_the_shipped_weights_are_accurate_without_further_training(extreme, least):
    supernet, data = Supernet.load(weights_path("mbv3-nano")), load_dataset(str(FASHION))
    arch = Arch(space=supernet.space, genome=getattr(supernet.space, extreme)())
    assert 100 - Evaluator(supernet, data).error(arch, data.test) >= least
