import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, UncoveredOpError
from hwnat.predict.choice import Sample
from hwnat.predict.features import row
from hwnat.predict.learned import MIN_SAMPLES, fit_models, fit_samples
from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec
from hwnat.table.lookup import load_table


def conv(side, channels, out, kernel=1, **more):
    shape = (1, side, side, channels)
    return OpSpec(kind="conv", in_shape=shape, out_channels=out, kernel=kernel, **more)


def true_ns(op):
    """Latency on an imaginary device: a launch, arithmetic, and waves of eight channels."""
    waves = -(-op.out_shape[3] // 8) * 8 / op.out_shape[3]
    return 3_000 + 0.02 * op_cost(op).macs * waves


def measured(count, seed=0, noise=0.01, networks=12):
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        op = conv(
            side=int(rng.choice([7, 14, 28, 56])),
            channels=int(rng.integers(2, 64)) * 4,
            out=int(rng.integers(2, 64)) * 4,
            kernel=int(rng.choice([1, 3])),
        )
        ns = true_ns(op) * np.exp(noise * rng.standard_normal())
        found.append(Sample(op=op, latency_ns=ns, source=f"net-{index % networks}"))
    return found


@pytest.fixture(scope="module")
def samples():
    return measured(120)


@pytest.fixture(scope="module")
def models(samples):
    return fit_samples(samples)


@pytest.fixture(scope="module")
def unseen():
    return measured(150, seed=9)


def test_unseen_shapes_are_predicted_within_a_few_percent(models, unseen):
    found = models.predict([each.op for each in unseen])
    errors = np.abs(found.ns / [true_ns(each.op) for each in unseen] - 1)
    assert np.median(errors) < 0.03
    assert np.mean(errors) < 0.05


def test_intervals_hold_about_nine_in_ten(models, unseen):
    found = models.predict([each.op for each in unseen])
    truth = np.array([each.latency_ns for each in unseen])
    inside = ((found.low_ns <= truth) & (truth <= found.high_ns))[found.in_range]
    assert found.in_range.mean() > 0.8
    assert 0.8 <= inside.mean() < 1.0


def test_outside_the_trained_range_it_says_so_and_widens(models):
    ops = [conv(28, 64, 128), conv(28, 64, 512), conv(28, 64, 4_096)]
    found = models.predict(ops)
    assert found.in_range.tolist() == [True, False, False]
    width = found.high_ns / found.low_ns
    assert width[0] < width[1] < width[2]
    assert (found.low_ns > 0).all()


def test_equal_seeds_give_equal_models(samples, models):
    ops = [each.op for each in samples[:20]]
    again = fit_samples(samples)
    assert again.fitted == models.fitted
    assert (again.predict(ops).ns == models.predict(ops).ns).all()


def test_a_kept_description_is_all_it_takes_to_fit_again(samples, models):
    kept = json.loads(json.dumps([asdict(each) for each in models.fitted]))
    chosen = [type(models.fitted[0])(**each) for each in kept]
    again = fit_samples(samples, seed=99, chosen=chosen)
    ops = [each.op for each in samples[:20]]
    assert again.fitted == models.fitted
    assert (again.predict(ops).ns == models.predict(ops).ns).all()


@pytest.mark.parametrize(
    "op",
    [
        OpSpec(kind="dwconv", in_shape=(1, 14, 14, 32), out_channels=32, kernel=3),
        conv(14, 32, 32, groups=2),
        conv(14, 32, 32, dtype="int8"),
    ],
    ids=["another kind", "another kernel", "another type"],
)
def test_what_there_is_no_model_for_is_named_and_never_zero(models, op):
    assert not models.covers(op)
    with pytest.raises(UncoveredOpError) as caught:
        models.predict([conv(14, 32, 32), op])
    assert caught.value.key == op.key
    assert "hwnat profile" in str(caught.value)


def test_kinds_come_back_in_the_order_asked(samples):
    pools = [
        Sample(op=OpSpec(kind="gpool", in_shape=(1, s, s, 64), mode="avg"), latency_ns=100.0 * s)
        for s in range(4, 40)
    ]
    models = fit_samples([*samples, *pools])
    ops = [pools[9].op, samples[0].op, pools[3].op]
    found = models.predict(ops)
    assert found.ns[[0, 2]] == pytest.approx([1_300, 700], rel=0.1)
    assert found.ns[1] == pytest.approx(true_ns(ops[1]), rel=0.2)
    assert [each.kind for each in models.fitted] == ["conv", "gpool"]


def test_equal_operations_count_once():
    few = measured(MIN_SAMPLES - 1)
    with pytest.raises(DataError, match="not enough for a model"):
        fit_samples(few * 10, name="a phone")


def test_types_are_not_mixed(samples):
    others = [
        Sample(op=replace(sample.op, dtype="int8"), latency_ns=sample.latency_ns / 10)
        for sample in samples
    ]
    models = fit_samples([*samples, *others])
    assert [model.kind for model in models.fitted] == ["conv", "conv-int8"]
    floats, integers = (models.predict([one[0].op]).ns[0] for one in (samples, others))
    assert 5 < floats / integers < 20


def test_an_opaque_operation_neither_trains_a_model_nor_has_one(samples):
    op = OpSpec.from_key("opaque|in=1x8x8x4|f=Erf-Add.0123456789abcdef|float32")
    opaque = [Sample(op=replace(op, in_shape=(1, n, 8, 4)), latency_ns=9.0) for n in range(1, 20)]
    models = fit_samples([*samples, *opaque])
    assert [model.kind for model in models.fitted] == ["conv"]
    assert not models.covers(op)
    with pytest.raises(UncoveredOpError, match="opaque"):
        models.predict([op])
    with pytest.raises(DataError, match="the cost of an opaque operation is unknown"):
        row(op)


def test_a_tables_entries_train_its_models(a_table, an_entry, tmp_path):
    table = a_table()
    entries = {key: an_entry(round(true_ns(OpSpec.from_key(key)))) for key in table.entries}
    models = fit_models(replace(table, entries=entries))
    key = next(each for each in entries if each.startswith("mbconv"))
    found = models.predict([OpSpec.from_key(key)])
    assert found.ns[0] == pytest.approx(entries[key].p50_ns, rel=0.05)
    kept = replace(table, entries=entries, models=models.fitted)
    kept.save(tmp_path / "table.json")
    loaded = load_table(tmp_path / "table.json")
    assert loaded.table_id == kept.table_id
    assert fit_models(loaded, seed=5).fitted == models.fitted


def test_entries_that_were_derived_train_nothing(a_table, an_entry):
    table = a_table()
    guessed = {key: an_entry(5_000, provenance="estimated") for key in table.entries}
    with pytest.raises(DataError, match="not enough for a model"):
        fit_models(replace(table, entries=guessed))


@given(st.lists(st.integers(1, 10**9), min_size=MIN_SAMPLES, max_size=20))
@settings(max_examples=20)
def test_any_latencies_give_positive_predictions_inside_their_interval(latencies):
    data = [
        Sample(op=conv(14, 8 * (index + 1), 16), latency_ns=ns)
        for index, ns in enumerate(latencies)
    ]
    found = fit_samples(data).predict([*(each.op for each in data), conv(56, 4, 8)])
    assert np.isfinite(found.high_ns).all()
    assert (found.low_ns > 0).all()
    assert (found.low_ns <= found.ns).all()
    assert (found.ns <= found.high_ns).all()
