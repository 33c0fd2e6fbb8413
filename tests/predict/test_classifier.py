from dataclasses import replace

import pytest

from hwnat.errors import TableMismatchError, UncoveredOpError
from hwnat.predict.classifier import with_classes
from hwnat.records.cost import op_cost
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO, MBV3_W10

LINEAR = "linear|in=1x1x1x256|out={}|float32"


@pytest.fixture
def of_products(a_table, an_entry):
    """Build a table in which products take a start and a rate a weight; the rest takes longer."""

    def build(*, start_ns, rate, known=10):
        entries = {}
        for op in distinct_ops(MBV3_NANO, (24,), classes=known):
            product = op.kind in ("mix", "linear")
            ns = start_ns + rate * op_cost(op).folded_params if product else 1_000_000
            entries[op.key] = an_entry(round(ns))
        return a_table(resolutions=(24,), entries=entries, classes=known)

    return build


@pytest.mark.parametrize("classes", [2, 37, 1000])
def test_a_classifier_follows_the_start_and_the_rate_of_the_products(of_products, classes):
    table = of_products(start_ns=1000, rate=0.5)
    grown = with_classes(table, MBV3_NANO, classes)
    entry = grown.entries[LINEAR.format(classes)]
    weights = op_cost(OpSpec.from_key(LINEAR.format(classes))).folded_params
    assert entry.p50_ns == pytest.approx(1000 + 0.5 * weights, rel=0.05)
    assert entry.provenance == "interpolated"
    assert grown.classes == classes
    others = {key: each for key, each in grown.entries.items() if key != LINEAR.format(classes)}
    assert others == table.entries


@pytest.mark.parametrize(("classes", "growth"), [(5, 0.5), (20, 2)])
def test_the_interval_holds_both_extremes(of_products, classes, growth):
    table = of_products(start_ns=1000, rate=0.5)
    known = table.entries[LINEAR.format(10)]
    entry = with_classes(table, MBV3_NANO, classes).entries[LINEAR.format(classes)]
    assert entry.low_ns <= min(1, growth) * known.low_ns + 1
    assert entry.high_ns >= max(1, growth) * known.high_ns - 1


def test_a_table_of_the_same_classes_stays_as_it_is(a_table):
    table = a_table()
    assert with_classes(table, MBV3_NANO, 10) is table


def test_a_product_that_was_slower_than_a_larger_one_does_not_turn_negative(a_table, an_entry):
    entries = dict(a_table().entries)
    mix = next(key for key in entries if key.startswith("mix"))
    entries |= {LINEAR.format(10): an_entry(50_000), mix: an_entry(500)}
    table = a_table(entries=entries)
    fewer = with_classes(table, MBV3_NANO, 2).entries[LINEAR.format(2)]
    more = with_classes(table, MBV3_NANO, 20).entries[LINEAR.format(20)]
    assert 0 < fewer.p50_ns <= 50_000 <= more.p50_ns


def test_without_its_own_classifier_a_table_has_nothing_to_start_from(a_table):
    entries = {k: e for k, e in a_table().entries.items() if not k.startswith("linear")}
    with pytest.raises(UncoveredOpError, match="out=10"):
        with_classes(a_table(entries=entries), MBV3_NANO, 37)


def test_a_table_of_operators_has_no_classifier(a_table):
    operators = replace(a_table(), space=None, classes=None, granularity="operator")
    with pytest.raises(TableMismatchError, match="no particular space"):
        with_classes(operators, MBV3_NANO, 37)


def test_products_of_nearly_equal_size_do_not_pass_for_pure_start(a_table, an_entry):
    known, mix = "linear|in=1x1x1x1280|out=1000|float32", "mix|in=1x1x1x960|out=1280|act=hswish"
    entries = {
        key: an_entry(260_000 if key.startswith(mix) else 190_000 if key == known else 180_000)
        for key in a_table(MBV3_W10, (224,), classes=1000).entries
    }
    table = a_table(MBV3_W10, (224,), classes=1000, entries=entries)
    grown = with_classes(table, MBV3_W10, 10)
    assert grown.entries["linear|in=1x1x1x1280|out=10|float32"].p50_ns < 60_000
