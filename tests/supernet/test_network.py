import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3, MBV3_NANO, Space
from hwnat.supernet.network import Supernet, weights_info, weights_path


def arch_of(space, seed):
    genome = space.sample(1, rng=np.random.default_rng(seed))[0]
    return Arch(space=space, genome=tuple(map(int, genome)))


def images(arch, count=4):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, arch.resolution, arch.resolution, generator=generator)


@pytest.fixture(scope="module")
def scrambled():
    """Weights with transforms and statistics far from their initial values."""
    supernet = Supernet.fresh(MBV3_NANO, classes=5, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in supernet.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(0.5 + torch.rand(tensor.shape, generator=generator))
    return supernet.eval()


@given(st.integers(0, 2**32))
@settings(max_examples=15)
def test_an_extracted_subnet_computes_what_the_supernet_computes(scrambled, seed):
    arch = arch_of(MBV3_NANO, seed)
    subnet = scrambled.extract(arch)
    with torch.no_grad():
        assert torch.equal(subnet(images(arch)), scrambled(images(arch), arch))
    assert sum(p.numel() for p in subnet.parameters()) == arch.cost(classes=5).params


def test_an_extracted_subnet_shares_no_memory_with_the_supernet(scrambled):
    arch = arch_of(MBV3_NANO, 0)
    subnet = scrambled.extract(arch)
    before = {name: tensor.clone() for name, tensor in scrambled.state_dict().items()}
    with torch.no_grad():
        for tensor in subnet.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(before[name], t) for name, t in scrambled.state_dict().items())


@given(st.integers(0, 2**32), st.sampled_from([(), (4,), (3, 4)]))
@settings(max_examples=8)
def test_width_sorting_keeps_the_outputs_of_the_largest_network(seed, unlocked):
    supernet = Supernet.fresh(MBV3_NANO, classes=5, seed=seed % 2**31).eval()
    largest = Arch(space=MBV3_NANO, genome=MBV3_NANO.largest())
    with torch.no_grad():
        before = supernet(images(largest), largest)
        supernet.sort_widths(unlocked)
        after = supernet(images(largest), largest)
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-6)


def test_width_sorting_puts_the_most_read_channels_first_within_unlocked_groups():
    supernet = Supernet.fresh(MBV3_NANO, classes=5, seed=0)
    supernet.sort_widths((3,))
    read = supernet.full["0"][2].project.conv.weight.abs().sum((0, 2, 3))
    small = 48  # three times the 16 input channels
    for group in (read[:small], read[small:]):
        assert (group[:-1] >= group[1:]).all()


def test_training_mode_updates_the_shared_statistics_of_active_channels_only():
    supernet = Supernet.fresh(MBV3_NANO, classes=5, seed=0).train()
    smallest = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
    supernet(images(smallest), smallest)
    mean = supernet.full["0"][2].depthwise.bn.running_mean
    assert (mean[:48] != 0).all()
    assert (mean[48:] == 0).all()


def test_both_widths_of_a_space_lie_side_by_side():
    space = Space(
        name="two", resolutions=(32,), skeletons=(*MBV3_NANO.skeletons, (1, MBV3.skeleton(0)))
    )
    supernet = Supernet.fresh(space, classes=2, seed=0).eval()
    for gene in (0, 1):
        genome = (0, gene, *space.smallest()[2:])
        arch = Arch(space=space, genome=genome)
        assert supernet.extract(arch)(images(arch)).shape == (4, 2)


def test_weights_survive_a_round_trip_through_a_file(scrambled, tmp_path):
    path = tmp_path / "weights.safetensors"
    scrambled.save(path, details={"data": "none"})
    loaded = Supernet.load(path)
    assert all(torch.equal(t, loaded.state_dict()[n]) for n, t in scrambled.state_dict().items())
    assert weights_info(path)["space"] == "mbv3-nano"


SAVED = """
import sys
from pathlib import Path
from hwnat.records.space import MBV3_NANO
from hwnat.supernet.network import Supernet
for name in sys.argv[1:]:
    Supernet.fresh(MBV3_NANO, classes=3, seed=0).save(Path(name), details={"b": 1, "a": 2})
"""


def test_equal_weights_give_equal_files_in_every_process(tmp_path):
    paths = [tmp_path / f"{number}.safetensors" for number in range(6)]
    for some in (paths[:3], paths[3:]):
        subprocess.run([sys.executable, "-c", SAVED, *map(str, some)], check=True)
    assert len({path.read_bytes() for path in paths}) == 1
    assert weights_info(paths[0])["classes"] == "3"
    header = paths[0].read_bytes()[8:400].decode()
    assert header.startswith('{"__metadata__":{"activation":"","classes":"3","details":')


def test_mish_weights_come_back_with_mish(tmp_path):
    path = tmp_path / "weights.safetensors"
    Supernet(MBV3_NANO, classes=2, activation="mish").save(path)
    smallest = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
    *blocks, classifier = Supernet.load(path).ops(smallest)
    assert {op.act for op in blocks} == {"mish"}
    assert classifier.act == "none"


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_weights_file_is_refused(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"weights\.safetensors"):
        Supernet.load(path)


def test_truncated_weights_are_refused(scrambled, tmp_path):
    path = tmp_path / "weights.safetensors"
    scrambled.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="hwnat supernet train"):
        Supernet.load(path)


def test_unknown_weights_are_named_with_those_that_are_shipped():
    with pytest.raises(UsageError, match="mbv3-nano"):
        weights_path("mbv3-huge")


def test_a_new_classifier_keeps_every_other_weight(scrambled):
    fresh = scrambled.transfer(classes=7, seed=0)
    for name, tensor in fresh.state_dict().items():
        if ".linear." not in name:
            assert torch.equal(tensor, scrambled.state_dict()[name])
    assert fresh.full["0"][-1].linear.out_features == 7
