"""Slot costs of small spaces and all of their networks; made-up phones."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from played.tables import phone  # noqa: F401

from hwnat.predict.slots import SlotCosts
from hwnat.records.space import MBV3_NANO, Space


@pytest.fixture(scope="session")
def some_costs():
    """Build random `SlotCosts` of so many stages; whole numbers make sums exact."""

    def build(rng, *, stages=2, choices=3, resolutions=(24, 32), widths=(0, 2), most=1000):
        skeleton = MBV3_NANO.skeletons[0][1]
        skeleton = replace(skeleton, stages=skeleton.stages[:stages])
        space = Space(
            name="small",
            resolutions=(20, 24, 28, 32),
            skeletons=tuple((gene, skeleton) for gene in widths),
        )
        corners = [(size, width) for size in resolutions for width in widths]
        block_ns = rng.integers(0, most, (4 * stages, len(corners), choices)).astype(float)
        block_ns[..., 0] = 0
        return SlotCosts(
            space=space,
            resolutions=tuple(size for size, _ in corners),
            width_genes=tuple(width for _, width in corners),
            fixed_ns=rng.integers(1, most, len(corners)).astype(float),
            block_ns=block_ns,
        )

    return build


@pytest.fixture(scope="session")
def every_genome():
    """List all canonical genomes that slot costs cover, (n, genes)."""

    def build(costs):
        genes = range(costs.choices)
        stage = [s for s in product(genes, repeat=4) if s[0] and s[1] and (s[2] or not s[3])]
        stages = list(product(stage, repeat=len(costs.block_ns) // 4))
        flat = np.array(stages).reshape(len(stages), -1)
        heads = np.repeat(costs.heads, len(flat), axis=0)
        return np.hstack([heads, np.tile(flat, (len(costs.heads), 1))])

    return build
