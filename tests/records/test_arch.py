"""Networks: canonical genomes, the published dict, the trace, and agreement with PyTorch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch, make_divisible
from hwnat.records.space import MBV3, MBV3_NANO, MBV3_W10
from hwnat.targets.modules.plain import network

M1 = "08011001440551052208877"
M1_SUBNET = {
    "r": 224,
    "w": 1.0,
    "d": [2, 3, 3, 3, 4],
    "ks": [3, 3, 3, 3, 3, 5, 5, 3, 5, 5, 5, 5, 5, 3, 3],
    "e": [3, 3, 3, 4, 4, 4, 4, 3, 4, 3, 3, 6, 6, 6, 6],
}
CARS = "16012006400351023002400"
CARS_SUBNET = {
    "r": 256,
    "w": 1.0,
    "d": [2, 2, 3, 2, 2],
    "ks": [3, 5, 7, 3, 7, 5, 3, 5, 7, 5, 3],
    "e": [3, 3, 4, 4, 3, 4, 3, 3, 3, 3, 4],
}


@pytest.mark.parametrize(("text", "subnet"), [(M1, M1_SUBNET), (CARS, CARS_SUBNET)])
def test_published_networks_read_the_same_from_text_and_dict(text, subnet):
    assert Arch.from_text(MBV3_W10, text).subnet == subnet
    assert Arch.from_subnet(MBV3_W10, subnet).text == text


@given(...)
def test_text_and_dict_give_back_the_network(arch: Arch):
    assert Arch.from_text(arch.space, arch.text) == arch
    assert Arch.from_subnet(arch.space, arch.subnet) == arch


@given(arch=..., junk=st.integers(1, 9), stage=st.integers(0, 4))
def test_what_lies_behind_a_skipped_block_does_not_matter(arch: Arch, junk, stage):
    genome = list(arch.genome)
    third = 4 + 4 * stage
    genome[third : third + 2] = 0, 0
    clean = Arch(space=arch.space, genome=tuple(genome))
    genome[third + 1] = junk
    dirty = Arch(space=arch.space, genome=tuple(genome))
    assert (dirty, dirty.id, dirty.text) == (clean, clean.id, clean.text)
    assert len(dirty.stages[stage]) == 2


def test_a_network_keeps_its_id_for_good():
    assert Arch.from_text(MBV3_W10, M1).id == "e9c9b66b997a"
    assert Arch.from_text(MBV3, M1).id != Arch.from_text(MBV3_W10, M1).id


@pytest.mark.parametrize(
    "change",
    [
        {"r": 225},
        {"w": 1.1},
        {"d": [2, 3, 3, 3, 3]},
        {"d": [2, 3, 3, 3]},
        {"d": [1, 4, 3, 3, 4]},
        {"d": [2, 3, 3, 2, 5]},
        {"d": None},
        {"ks": [4, *M1_SUBNET["ks"][1:]]},
        {"e": [5, *M1_SUBNET["e"][1:]]},
        {"e": M1_SUBNET["e"][1:]},
    ],
)
def test_a_dict_that_is_no_network_of_the_space_is_refused(change):
    with pytest.raises(UsageError):
        Arch.from_subnet(MBV3_W10, M1_SUBNET | change)


def test_a_dict_without_a_key_is_refused():
    with pytest.raises(UsageError, match="'ks'"):
        Arch.from_subnet(MBV3_W10, {k: v for k, v in M1_SUBNET.items() if k != "ks"})


@given(arch=..., classes=st.integers(1, 1000), batch=st.integers(1, 4))
def test_each_operation_takes_what_the_one_before_gives(arch: Arch, classes, batch):
    ops = arch.ops(classes=classes, batch=batch)
    for before, after in pairwise(ops):
        assert after.in_shape == (batch, *before.out_size, before.out_channels)
    assert ops[0].in_shape == (batch, arch.resolution, arch.resolution, 3)
    assert ops[-1].out_channels == classes
    assert len(ops) == 5 + sum(arch.subnet["d"])


@pytest.mark.parametrize("classes_and_batch", [(0, 1), (10, 0), (-1, 1)])
def test_a_network_without_classes_or_images_is_refused(classes_and_batch):
    classes, batch = classes_and_batch
    with pytest.raises(UsageError, match="at least one class and one image"):
        Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest()).ops(classes=classes, batch=batch)


def test_one_activation_everywhere_changes_no_cost_and_no_shape():
    arch = Arch.from_text(MBV3_W10, M1)
    mish = arch.ops(classes=10, activation="mish")
    assert {op.act for op in mish[:-1]} == {"mish"}
    assert [op.in_shape for op in mish] == [op.in_shape for op in arch.ops(classes=10)]


def test_an_unknown_activation_is_refused():
    with pytest.raises(DataError):
        Arch.from_text(MBV3_W10, M1).ops(classes=10, activation="gulu")


def test_parameters_are_those_of_the_torch_module(space):
    for genome in space.sample(4, rng=np.random.default_rng(3)):
        arch = Arch(space=space, genome=tuple(genome))
        module = network(arch.ops(classes=11))
        assert sum(p.numel() for p in module.parameters()) == arch.cost(classes=11).params


def test_the_torch_module_runs_through_the_shapes_that_were_traced():
    rng = np.random.default_rng(4)
    for genome in MBV3_NANO.sample(3, rng=rng):
        x = torch.zeros(2, 3, *[MBV3_NANO.resolutions[genome[0]]] * 2)
        ops = Arch(space=MBV3_NANO, genome=tuple(genome)).ops(classes=5, batch=2)
        for op, module in zip(ops, network(ops).eval(), strict=True):
            assert tuple(x.permute(0, 2, 3, 1).shape) == op.in_shape
            x = module(x)
        assert x.shape == (2, 5)


def test_channels_are_rounded_to_eights_but_never_below_nine_tenths():
    assert [make_divisible(value) for value in (1, 8, 11.9, 12, 18, 72, 91, 108)] == [
        8, 8, 16, 16, 24, 72, 88, 112,
    ]  # fmt: skip
