import json

import numpy as np
import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.space import get_space
from hwnat.search.archive import Archive, sample_like

SPACE = get_space("mbv3-nano")


def an_archive(count=6):
    genomes = np.unique(SPACE.sample(count, rng=np.random.default_rng(3)), axis=0)
    errors = np.random.default_rng(4).uniform(0, 100, len(genomes))
    return Archive(space=SPACE.name, genomes=genomes, errors=errors)


def test_an_archive_survives_json_to_the_last_digit():
    archive = an_archive()
    again = Archive.from_json(json.loads(json.dumps(archive.to_json())), where="f")
    assert (again.genomes == archive.genomes).all()
    assert again.errors.tolist() == archive.errors.tolist()


def test_arrays_of_an_archive_cannot_be_changed():
    genomes, errors = np.array([SPACE.largest()]), np.array([1.0])
    archive = Archive(space=SPACE.name, genomes=genomes, errors=errors)
    errors[0] = 9
    assert archive.errors[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        archive.genomes[0, 0] = 1


def test_an_archive_refuses_nonsense():
    good = an_archive()
    gap = np.array([SPACE.largest()])
    gap[0, 4] = 0
    for genomes, errors in [
        (good.genomes, good.errors[:-1]),
        (good.genomes[:, :-1], good.errors),
        (good.genomes[[0, 0]], good.errors[:2]),
        (gap, good.errors[:1]),
        (good.genomes[:1], np.array([np.nan])),
        (good.genomes[:1], np.array([100.5])),
    ]:
        with pytest.raises(DataError):
            Archive(space=SPACE.name, genomes=genomes, errors=errors)


def spoiled(**changes):
    raw = an_archive(2).to_json() | changes
    return {key: value for key, value in raw.items() if value is not None}


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        spoiled(schema=2),
        spoiled(schema="1"),
        spoiled(schema=None),
        spoiled(space="mbv4"),
        spoiled(space="mbv3-w1.2"),
        spoiled(networks=None),
        spoiled(networks=[{"genome": "0"}]),
        spoiled(networks=[{"genome": "00", "error_percent": 1.0}]),
        spoiled(networks=[{"genome": 1, "error_percent": 1.0}]),
        spoiled(networks=[{"genome": SPACE.encode(SPACE.largest()), "error_percent": "1"}]),
        spoiled(surprise=1),
    ],
)
def test_damaged_archives_are_data_errors_that_name_the_file(raw):
    with pytest.raises(DataError, match=r"^it\.json"):
        Archive.from_json(raw, where="it.json")


def test_sampling_keeps_the_frequencies_of_each_gene():
    genomes = SPACE.sample(40, rng=np.random.default_rng(0))
    drawn = sample_like(SPACE, genomes, 20_000, rng=np.random.default_rng(1))
    assert (SPACE.repair(drawn) == drawn).all()
    # A stage's fourth block may be dropped by repair; the other genes are drawn as they are.
    for gene in [g for g in range(SPACE.genes) if g < 2 or (g - 2) % 4 != 3]:
        for value in np.unique(genomes[:, gene]):
            share = (genomes[:, gene] == value).mean()
            assert (drawn[:, gene] == value).mean() == pytest.approx(share, abs=0.02)


def test_genes_are_drawn_independently_of_each_other():
    genomes = np.array([SPACE.smallest(), SPACE.largest()])
    drawn = sample_like(SPACE, genomes, 200, rng=np.random.default_rng(1))
    assert len(np.unique(drawn, axis=0)) > 150


def test_nothing_can_be_sampled_from_an_empty_archive():
    with pytest.raises(UsageError, match="empty"):
        sample_like(SPACE, np.empty((0, SPACE.genes), int), 1, rng=np.random.default_rng(0))
