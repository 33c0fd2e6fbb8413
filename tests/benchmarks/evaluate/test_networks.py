from itertools import pairwise

import numpy as np
from evaluate.networks import chain_networks

from hwnat.records.op import OpSpec

STEM = OpSpec(kind="conv", in_shape=(1, 8, 8, 3), out_channels=4, kernel=3, stride=2)
DOWN = OpSpec(kind="conv", in_shape=(1, 4, 4, 4), out_channels=8, stride=2)
KEEP = OpSpec(kind="attention", in_shape=(1, 2, 2, 8), mid_channels=16, mode="layer")
ALSO = OpSpec(kind="feedforward", in_shape=(1, 2, 2, 8), mid_channels=16, mode="layer")
HEAD = OpSpec(kind="tokenhead", in_shape=(1, 2, 2, 8), mid_channels=16, out_channels=10)
STRAY = OpSpec(kind="conv", in_shape=(1, 9, 9, 5), out_channels=6)
KEYS = [op.key for op in (STEM, DOWN, KEEP, ALSO, HEAD, STRAY)]


def test_every_block_takes_what_the_last_one_gives():
    networks = chain_networks(KEYS, 30, rng=np.random.default_rng(0))
    assert len(networks) == 30
    for network in networks:
        ops = [OpSpec.from_key(key) for key in network]
        assert (ops[0], ops[-1]) == (STEM, HEAD)
        assert all(a.out_shape == b.in_shape for a, b in pairwise(ops))
    assert len(set(networks)) > 1


def test_blocks_that_keep_a_shape_come_in_rounds_of_their_kinds():
    networks = chain_networks(KEYS, 30, rng=np.random.default_rng(0))
    assert max(len(network) for network in networks) == 3 + 2 * 4
    for network in networks:
        assert network.count(KEEP.key) == network.count(ALSO.key)


def test_the_same_generator_gives_the_same_networks():
    first, second = (chain_networks(KEYS, 5, rng=np.random.default_rng(4)) for _ in range(2))
    assert first == second


def test_keys_without_a_way_through_give_none():
    assert chain_networks([STEM.key, STRAY.key], 5, rng=np.random.default_rng(0)) == []
