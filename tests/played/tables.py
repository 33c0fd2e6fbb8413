"""Tables of made-up phones that differ in what they are good at."""

from zlib import crc32

import numpy as np
import pytest

from hwnat.records.cost import op_cost
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO


def cost_ns(key, *, compute, memory, noise, seed):
    op = OpSpec.from_key(key)
    cost, (_, height, width, channels) = op_cost(op), op.in_shape
    base = compute * cost.macs / 20 + memory * (cost.folded_params + height * width * channels)
    rng = np.random.default_rng([crc32(key.encode()), seed])
    return max(1, round((2_000 + base) * np.exp(noise * rng.standard_normal())))


@pytest.fixture
def phone(a_table, a_setup, an_entry):
    """Build a table: `phone("a", memory=2.0, keys=[…])`; a device's name does not change it."""

    def build(device, *, compute=1.0, memory=1.0, noise=0.0, seed=0, keys=None):
        ops = distinct_ops(MBV3_NANO, MBV3_NANO.resolutions, classes=10)
        wanted = sorted(op.key for op in ops) if keys is None else keys
        costs = {
            key: cost_ns(key, compute=compute, memory=memory, noise=noise, seed=seed)
            for key in wanted
        }
        entries = {key: an_entry(ns) for key, ns in costs.items()}
        return a_table(setup=a_setup(device=device), entries=entries)

    return build
