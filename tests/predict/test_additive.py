import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.errors import TableMismatchError, UncoveredOpError, UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3, MBV3_NANO, MBV3_W10
from hwnat.table.calibrate import Calibration, NetworkCheck

affine = Calibration(form="affine", scale=0.913, per_op_ns=77.7, constant_ns=1234.5)


def checks(*errors):
    genome = MBV3_NANO.encode(MBV3_NANO.smallest())
    return tuple(
        NetworkCheck(genome=genome, sum_ns=1, ops=1, measured_ns=1, predicted_ns=1.0, error=e)
        for e in errors
    )


@pytest.mark.parametrize(
    ("space", "resolutions"), [(MBV3_NANO, None), (MBV3_W10, (224, 256)), (MBV3, (192,))]
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), calibration=st.sampled_from([Calibration(), affine]))
def test_a_batch_equals_the_sum_of_lookups_exactly(a_table, space, resolutions, seed, calibration):
    table = a_table(space, resolutions, calibration=calibration)
    predictor = AdditivePredictor(table)
    genomes = space.sample(8, rng=np.random.default_rng(seed))
    genomes[:, 0] = space.resolutions.index(table.resolutions[seed % len(table.resolutions)])
    expected = []
    for genome in genomes.tolist():
        ops = Arch(space=space, genome=tuple(genome)).ops(classes=10)
        total = table.overhead_ns + sum(table.lookup(op.key).p50_ns for op in ops)
        expected.append(float(calibration.apply(total, len(ops))))
        assert predictor.predict(ops).latency_ns == expected[-1]
    assert predictor.latency_ns(genomes).tolist() == expected


def test_a_prediction_explains_itself(a_table):
    table = a_table()
    ops = Arch(space=MBV3_NANO, genome=MBV3_NANO.largest()).ops(classes=10)
    found = AdditivePredictor(table).predict(ops)
    assert [part.key for part in found.parts] == [op.key for op in ops]
    total = found.overhead_ns + sum(part.latency_ns for part in found.parts)
    assert found.latency_ns == pytest.approx(0.9 * total)
    assert {part.provenance for part in found.parts} == {"measured"}
    assert found.table_id == table.table_id
    assert found.interval_ns is None


def test_the_interval_comes_from_what_the_calibration_missed(a_table):
    fit = Calibration(form="scale", networks=checks(*[0.01] * 8, -0.05))
    predictor = AdditivePredictor(a_table(calibration=fit))
    found = predictor.predict(Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest()).ops(classes=10))
    low, high = found.interval_ns
    half = predictor.table.half_width
    assert 0.02 < half < 0.05
    assert low == pytest.approx(found.latency_ns / (1 + half))
    assert high == pytest.approx(found.latency_ns / (1 - half))


def test_one_missing_entry_is_an_error_for_the_networks_that_need_it(a_table):
    table = a_table()
    largest, smallest = MBV3_NANO.largest(), MBV3_NANO.smallest()
    missing = Arch(space=MBV3_NANO, genome=largest).ops(classes=10)[7].key
    entries = {key: each for key, each in table.entries.items() if key != missing}
    predictor = AdditivePredictor(a_table(entries=entries))
    assert predictor.latency_ns([smallest]).shape == (1,)
    with pytest.raises(UncoveredOpError, match="--op") as batch:
        predictor.latency_ns([smallest, largest])
    assert batch.value.key == missing
    with pytest.raises(UncoveredOpError):
        predictor.predict(Arch(space=MBV3_NANO, genome=largest).ops(classes=10))


def test_a_resolution_that_was_not_measured_is_named_in_the_command(a_table):
    predictor = AdditivePredictor(a_table(resolutions=(24,)))
    assert len(predictor.latency_ns([(0, *MBV3_NANO.smallest()[1:])])) == 1
    largest = Arch(space=MBV3_NANO, genome=MBV3_NANO.largest())
    for ask in (
        lambda: predictor.latency_ns([largest.genome]),
        lambda: predictor.predict(largest.ops(classes=10)),
    ):
        with pytest.raises(UncoveredOpError, match=r"--resolution 24 --resolution 32$"):
            ask()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"space": MBV3_W10}, "space mbv3-nano, not mbv3-w1.0"),
        ({"batch": 4}, "batch 1, not 4"),
        ({"precision": "int8"}, "precision fp32, not int8"),
    ],
)
def test_a_table_of_something_else_is_refused(a_table, asked, message):
    with pytest.raises(TableMismatchError, match=r"hwnat profile --device host-onnx") as refused:
        AdditivePredictor(a_table(), **asked)
    assert message in str(refused.value)


def test_a_network_of_another_batch_or_class_count_is_refused(a_table):
    arch = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
    with pytest.raises(TableMismatchError, match="batch 1, not 2"):
        AdditivePredictor(a_table()).predict(arch.ops(classes=10, batch=2))
    with pytest.raises(UsageError, match="with classes=11"):
        AdditivePredictor(a_table()).predict(arch.ops(classes=11))


def test_networks_with_more_classes_are_predicted_with_wider_intervals(a_table):
    fit = Calibration(form="scale", networks=checks(*[0.01] * 10))
    table = a_table(calibration=fit)
    own, other = AdditivePredictor(table), AdditivePredictor(table, classes=3700)
    arch = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
    before, after = own.predict(arch.ops(classes=10)), other.predict(arch.ops(classes=3700))
    assert [part.provenance for part in after.parts][-1] == "interpolated"
    assert after.parts[:-1] == before.parts[:-1]
    assert after.table_id == table.table_id
    assert after.latency_ns > before.latency_ns
    low, high = after.interval_ns
    half = own.table.half_width
    assert high > after.latency_ns / (1 - half) * 1.01
    assert low < after.latency_ns / (1 + half) / 1.01
    batch = other.estimate([arch.genome])
    assert batch.latency_ns[0] == after.latency_ns
    assert (batch.low_ns[0], batch.high_ns[0]) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("genomes", "message"),
    [
        ([MBV3_NANO.largest()[:-1]], r"\(n, 22\) array of integers"),
        ([[0.5] * 22], "float64"),
        (list(MBV3_NANO.largest()), r"int64 \(22,\)"),
        ([(*MBV3_NANO.largest()[:-1], 10)], "Gene 21"),
        ([(*MBV3_NANO.largest()[:2], -1, *MBV3_NANO.largest()[3:])], "Gene 2 "),
    ],
)
def test_what_is_not_a_genome_is_refused(a_table, genomes, message):
    with pytest.raises(UsageError, match=message):
        AdditivePredictor(a_table()).latency_ns(genomes)


def test_no_genomes_have_no_latencies(a_table):
    none = np.empty((0, 22), dtype=np.int64)
    assert AdditivePredictor(a_table()).latency_ns(none).shape == (0,)
