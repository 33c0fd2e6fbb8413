"""The suite for spaces: `class TestMine(SpaceConformance)` with one fixture, the space."""

from itertools import pairwise

import numpy as np
import pytest

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space


class SpaceConformance:
    """What a `hwnat.records.space.Space` must hold to be profiled and searched."""

    @pytest.fixture
    def space(self) -> Space:
        """Return the space to test; a subclass provides it."""
        raise NotImplementedError

    def test_it_is_registered_under_its_own_name(self, space: Space) -> None:
        assert get_space(space.name) == space

    def test_its_resolutions_and_widths_ascend(self, space: Space) -> None:
        assert list(space.resolutions) == sorted(set(space.resolutions))
        genes = [gene for gene, _ in space.skeletons]
        widths = [skeleton.width for _, skeleton in space.skeletons]
        assert genes == sorted(set(genes))
        assert widths == sorted(widths)
        assert len({len(skeleton.stages) for _, skeleton in space.skeletons}) == 1

    def test_samples_are_canonical_and_follow_the_seed(self, space: Space) -> None:
        drawn = space.sample(200, rng=np.random.default_rng(1))
        assert drawn.shape == (200, space.genes)
        np.testing.assert_array_equal(space.repair(drawn), drawn)
        np.testing.assert_array_equal(space.sample(200, rng=np.random.default_rng(1)), drawn)
        assert (space.sample(200, rng=np.random.default_rng(2)) != drawn).any()

    def test_repair_brings_any_integers_into_bounds(self, space: Space) -> None:
        low, high = space.bounds
        rng = np.random.default_rng(0)
        raw = rng.integers(-99, 99, size=(200, space.genes))
        fixed = space.repair(raw)
        assert ((low <= fixed) & (fixed <= high)).all()
        np.testing.assert_array_equal(space.repair(fixed), fixed)

    def test_the_extremes_are_the_bounds_and_are_networks(self, space: Space) -> None:
        low, high = space.bounds
        assert space.smallest() == tuple(low)
        assert space.largest() == tuple(high)
        smallest, largest = (
            Arch(space=space, genome=genome) for genome in (space.smallest(), space.largest())
        )
        assert len(smallest.ops(classes=10)) < len(largest.ops(classes=10))

    def test_a_genome_survives_its_text(self, space: Space) -> None:
        for row in space.sample(50, rng=np.random.default_rng(0)):
            genome = tuple(int(gene) for gene in row)
            assert space.decode(space.encode(genome)) == genome

    def test_a_genome_out_of_bounds_is_refused(self, space: Space) -> None:
        with pytest.raises(UsageError, match=f"has {space.genes} genes"):
            space.check([*space.smallest(), 1])
        for index in range(space.genes):
            genome = list(space.largest())
            genome[index] += 1
            with pytest.raises(UsageError, match=f"Gene {index} "):
                space.check(genome)

    def test_every_operation_has_a_canonical_key_and_takes_what_the_last_one_gives(
        self, space: Space
    ) -> None:
        samples = space.sample(20, rng=np.random.default_rng(0))
        for genome in [space.smallest(), space.largest(), *map(tuple, samples)]:
            arch = Arch(space=space, genome=tuple(int(gene) for gene in genome))
            ops = arch.ops(classes=10)
            assert all(OpSpec.from_key(op.key) == op for op in ops)
            assert ops[0].in_shape[1:3] == (arch.resolution, arch.resolution)
            assert ops[-1].out_channels == 10
            for before, after in pairwise(ops):
                assert after.in_shape[3] == before.out_channels
