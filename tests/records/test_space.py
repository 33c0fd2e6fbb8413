"""Genomes: repair, sampling, the published text, and the sizes that were published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3, MBV3_NANO, MBV3_W10, MBV3_W12, Space, get_space
from hwnat.testing.spaces import SpaceConformance

GENES = st.lists(st.integers(-5, 30), min_size=22, max_size=22)


class TestSpaces(SpaceConformance):
    """Each of our spaces, from the fixture `space` of conftest.py."""

    @pytest.fixture
    def space(self, space):
        return space


@given(space=..., rows=st.lists(GENES, max_size=5))
def test_repair_yields_valid_genomes_and_repairing_again_changes_nothing(space: Space, rows):
    raw = np.array(rows, dtype=np.int64).reshape(-1, 22)
    before = raw.copy()
    fixed = space.repair(raw)
    low, high = space.bounds
    assert ((low <= fixed) & (fixed <= high)).all()
    assert (space.repair(fixed) == fixed).all()
    assert (raw == before).all()
    blocks = fixed[:, 2:].reshape(-1, 5, 4)
    assert not ((blocks[:, :, 2] == 0) & (blocks[:, :, 3] > 0)).any()


@given(...)
def test_a_genome_survives_its_published_text(arch: Arch):
    assert arch.space.decode(arch.space.encode(arch.genome)) == arch.genome
    assert len(arch.text) == 23


def test_samples_reach_every_choice_about_equally_often(space):
    drawn = space.sample(4000, rng=np.random.default_rng(0))
    depths = (drawn[:, 2:].reshape(-1, 4) > 0).sum(axis=1)
    assert np.bincount(depths)[2:] / len(depths) == pytest.approx(1 / 3, abs=0.02)
    first = np.bincount(drawn[:, 2], minlength=10)[1:] / len(drawn)
    assert first == pytest.approx(1 / 9, abs=0.03)
    assert set(drawn[:, 0]) == set(range(len(space.resolutions)))


def test_widths_are_fixed_in_the_single_spaces_and_free_in_the_joint_one():
    bounds = [space.bounds for space in (MBV3_W10, MBV3_W12, MBV3, MBV3_NANO)]
    widths = [(int(low[1]), int(high[1])) for low, high in bounds]
    assert widths == [(0, 0), (1, 1), (0, 1), (0, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0801100144055105220887", "written with 23 digits"),
        ("08011001440551052208877 ", "written with 23 digits"),
        ("0801100144055105220887x", "written with 23 digits"),
        ("\N{ARABIC-INDIC DIGIT ZERO}8011001440551052208877", "written with 23 digits"),
        ("", "written with 23 digits"),
        ("17011001440551052208877", "Gene 0 of a mbv3-w1.0 genome is 17; it must lie in 0..16"),
        ("08111001440551052208877", "Gene 1 of a mbv3-w1.0 genome is 1; it must lie in 0..0"),
        ("08001001440551052208877", "Gene 2 of a mbv3-w1.0 genome is 0; it must lie in 1..9"),
    ],
)
def test_a_bad_genome_is_told_which_gene_is_wrong(text, message):
    with pytest.raises(UsageError, match=message):
        MBV3_W10.decode(text)


@pytest.mark.parametrize("length", [0, 21, 23])
def test_a_genome_of_another_length_is_refused(length):
    with pytest.raises(UsageError, match=f"has 22 genes; this genome has {length}"):
        MBV3.check([1] * length)


def test_an_unknown_space_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=r"Known: mbv3, mbv3-nano, mbv3-w1\.0, mbv3-w1\.2"):
        get_space("resnet")


def test_a_space_may_come_from_a_function_of_somebody_else(installed):
    installed("hwnat.spaces", dictionary="builtins:dict", published="hwnat.records.space:MBV3")
    assert get_space("published") is MBV3
    with pytest.raises(UsageError, match=r"'dictionary' of hwnat\.spaces returned dict"):
        get_space("dictionary")
