from dataclasses import replace

import numpy as np
import pytest

from hwnat.errors import TableMismatchError, UncoveredOpError, UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3, MBV3_NANO, MBV3_W10, Space
from hwnat.table.calibrate import Calibration, NetworkCheck
from hwnat.table.compiled import compile_table

largest, smallest = MBV3_NANO.largest(), MBV3_NANO.smallest()


def calibrated(space, *, genomes=None, error=0.02, **coefficients):
    """A calibration on ten networks that were off by up to `error`."""
    genomes = space.sample(10, rng=np.random.default_rng(7)) if genomes is None else genomes
    networks = tuple(
        NetworkCheck(
            genome=genome if isinstance(genome, str) else space.encode(genome),
            sum_ns=900_000,
            ops=20,
            measured_ns=900_000,
            predicted_ns=900_000.0,
            error=error,
        )
        for genome in genomes
    )
    return Calibration(networks=networks, **coefficients)


def samples(space, table, seed, count=10):
    rng = np.random.default_rng(seed)
    genomes = space.sample(count, rng=rng)
    covered = [space.resolutions.index(each) for each in table.resolutions]
    genomes[:, 0] = rng.choice(covered, count)
    return genomes


@pytest.mark.parametrize(("space", "resolutions"), [(MBV3_NANO, None), (MBV3, (192,))])
@pytest.mark.parametrize("seed", range(3))
def test_an_estimate_is_the_prediction_of_each_network(a_table, an_entry, space, resolutions, seed):
    rng = np.random.default_rng(seed)
    entries = {
        key: an_entry(each.p50_ns, low_ns=max(1, each.p50_ns - doubt), provenance="transferred")
        for key, each in a_table(space, resolutions).entries.items()
        for doubt in [int(rng.integers(1, 90_000))]
    }
    fit = calibrated(space, form="affine", scale=0.9, per_op_ns=300.0, constant_ns=70.0)
    table = a_table(space, resolutions, entries=entries, calibration=fit)
    predictor, genomes = AdditivePredictor(table), samples(space, table, seed)
    found = compile_table(table, space).estimate(genomes)
    assert found.latency_ns.tolist() == predictor.latency_ns(genomes).tolist()
    for index, genome in enumerate(genomes.tolist()):
        alone = predictor.predict(Arch(space=space, genome=tuple(genome)).ops(classes=10))
        assert found.latency_ns[index] == alone.latency_ns
        assert alone.interval_ns == pytest.approx((found.low_ns[index], found.high_ns[index]))


@pytest.mark.parametrize("seed", range(3))
def test_one_network_gets_what_it_gets_among_others(a_table, seed):
    table = a_table(MBV3_W10, (224, 256), calibration=Calibration(scale=0.913, per_op_ns=77.7))
    compiled, genomes = compile_table(table, MBV3_W10), samples(MBV3_W10, table, seed, 5)
    expected = compiled.latency_ns(genomes).tolist()
    assert [compiled.latency_ns([each]).item() for each in genomes.tolist()] == expected
    assert [compiled.latency_ns(each[None]).item() for each in genomes] == expected
    assert [compiled.estimate([each]).latency_ns.item() for each in genomes] == expected


def test_how_integers_are_stored_does_not_matter(a_table):
    compiled = compile_table(a_table(), MBV3_NANO)
    genomes = MBV3_NANO.sample(50, rng=np.random.default_rng(0))
    expected = compiled.latency_ns(genomes).tolist()
    types = [genomes.astype(each) for each in (np.uint8, np.int16, np.uint64, ">i8")]
    layouts = [np.asfortranarray(genomes), np.repeat(genomes, 2, axis=0)[::2]]
    for stored in (*types, *layouts, genomes.tolist()):
        assert compiled.latency_ns(stored).tolist() == expected
        assert compiled.latency_ns(stored[:1]).tolist() == expected[:1]


def spoil(gene, value, genome=largest):
    return [*genome[:gene], value, *genome[gene + 1 :]]


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        (spoil(0, 3), "Gene 0 .* is 3"),
        (spoil(2, 0), "Gene 2 .* is 0"),
        (spoil(3, -1), "Gene 3 .* is -1"),
        (spoil(9, 256), "Gene 9 .* is 256"),
        (spoil(9, 2**40), "Gene 9 .* is 1099511627776"),
        (spoil(4, 0), "Gene 5 .* is 9, but the block before it is skipped.*repair"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 20_000])
def test_what_is_no_canonical_genome_is_named_wherever_it_stands(a_table, genome, message, before):
    compiled = compile_table(a_table(), MBV3_NANO)
    genomes = [smallest] * before + [genome] + [smallest] * (before > 1)
    with pytest.raises(UsageError, match=message):
        compiled.latency_ns(genomes)
    with pytest.raises(UsageError, match=message):
        compiled.estimate(genomes)


def test_a_width_between_two_others_is_refused(a_table):
    skeleton = MBV3_NANO.skeletons[0][1]
    gap = Space(name="gap", resolutions=(32,), skeletons=((0, skeleton), (2, skeleton)))
    compiled = compile_table(a_table(gap), gap)
    for genomes in ([spoil(1, 1, (0, *largest[1:]))], [gap.largest(), spoil(1, 1, gap.largest())]):
        with pytest.raises(UsageError, match=r"Gene 1 .* is 1; it is one of \[0, 2\]"):
            compiled.latency_ns(genomes)


@pytest.mark.parametrize("before", [0, 1, 20_000])
def test_a_missing_entry_is_named_wherever_it_is_needed(a_table, before):
    missing = Arch(space=MBV3_NANO, genome=largest).ops(classes=10)[7].key
    entries = {key: each for key, each in a_table().entries.items() if key != missing}
    compiled = compile_table(a_table(entries=entries), MBV3_NANO)
    for ask in (compiled.latency_ns, compiled.estimate):
        with pytest.raises(UncoveredOpError, match="--op") as refused:
            ask([smallest] * before + [largest])
        assert refused.value.key == missing
    assert len(compiled.latency_ns([smallest] * 3)) == 3


@pytest.mark.parametrize(("block", "uses"), [(2, 1), (12, 3)])
def test_less_certain_entries_widen_an_interval_others_leave_the_residual(
    a_table, an_entry, block, uses
):
    entries = a_table().entries
    doubtful = Arch(space=MBV3_NANO, genome=largest).ops(classes=10)[block].key
    ns = entries[doubtful].p50_ns
    entries = entries | {doubtful: an_entry(ns, high_ns=3 * ns, provenance="transferred")}
    fit = calibrated(MBV3_NANO, genomes=[smallest] * 10, form="scale", scale=0.9)
    table = a_table(entries=entries, calibration=fit)
    found = compile_table(table, MBV3_NANO).estimate([smallest, largest])
    residual = table.half_width
    assert found.low_ns[0] == pytest.approx(found.latency_ns[0] / (1 + residual))
    assert found.high_ns[0] == pytest.approx(found.latency_ns[0] / (1 - residual))
    half = 1 - found.latency_ns[1] / found.high_ns[1]
    assert found.latency_ns[1] / found.low_ns[1] - 1 == pytest.approx(half)
    own = uses * 0.9 * 2 * ns / found.latency_ns[1]
    # One per cent of every other entry is next to nothing beside twice this one.
    assert half == pytest.approx(np.hypot(residual, own), rel=0.01)


def test_calibration_networks_that_cannot_be_looked_up_do_not_narrow_intervals(a_table):
    known = compile_table(a_table(calibration=calibrated(MBV3_NANO)), MBV3_NANO)
    strangers = a_table(calibration=calibrated(MBV3_NANO, genomes=["resnet18"] * 10))
    assert known.usual > 0
    assert compile_table(strangers, MBV3_NANO).usual == 0
    genomes = MBV3_NANO.sample(50, rng=np.random.default_rng(0))
    narrow, wide = known.estimate(genomes), compile_table(strangers, MBV3_NANO).estimate(genomes)
    assert (wide.low_ns < narrow.low_ns).all()
    assert (wide.high_ns > narrow.high_ns).all()


def test_too_few_calibration_networks_give_no_interval(a_table):
    found = compile_table(a_table(), MBV3_NANO).estimate([smallest])
    assert found.low_ns is None
    assert found.high_ns is None


def test_nothing_in_gives_nothing_out(a_table):
    found = compile_table(a_table(calibration=calibrated(MBV3_NANO)), MBV3_NANO).estimate(
        np.empty((0, 22), np.int64)
    )
    assert found.latency_ns.shape == found.low_ns.shape == found.high_ns.shape == (0,)


def test_only_a_block_table_of_the_space_compiles(a_table):
    with pytest.raises(TableMismatchError, match=r"space mbv3-nano, not mbv3-w1\.0"):
        compile_table(a_table(), MBV3_W10)
    operators = replace(a_table(), space=None, classes=None, granularity="operator")
    with pytest.raises(TableMismatchError, match="operators of no particular space"):
        compile_table(operators, MBV3_NANO)
