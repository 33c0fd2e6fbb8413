import math

import pytest

from hwnat.errors import DataError
from hwnat.table.entry import MAX_NS, FittedModel, derived_entry, interval_ns


def test_a_derived_entry_is_rounded_and_kept_within_what_a_table_holds():
    entry = derived_entry(10.6, 7.5, 12.4, n=3, provenance="interpolated")
    assert (entry.low_ns, entry.p50_ns, entry.high_ns) == (8, 11, 12)
    assert (entry.p10_ns, entry.p90_ns) == (8, 12)
    assert (entry.n, entry.spread, entry.provenance) == (3, 0.0, "interpolated")
    tiny = derived_entry(0.2, 0.1, 0.3, n=1, provenance="estimated")
    assert (tiny.low_ns, tiny.p50_ns, tiny.high_ns) == (1, 1, 1)
    vast = derived_entry(1e300, 5.0, 1e301, n=1, provenance="estimated")
    assert (vast.low_ns, vast.p50_ns, vast.high_ns) == (5, MAX_NS - 1, MAX_NS - 1)


def test_the_interval_of_a_derived_entry_holds_its_latency():
    entry = derived_entry(100, 104, 96, n=1, provenance="transferred")
    assert (entry.low_ns, entry.high_ns) == (100, 100)


@pytest.mark.parametrize("values", [(math.nan, 1, 2), (1, -math.inf, 2), (1, 1, math.inf)])
def test_a_derived_latency_that_is_not_finite_is_refused(values):
    with pytest.raises(DataError, match="not finite"):
        derived_entry(*values, n=1, provenance="estimated")


def test_an_interval_narrows_with_visits_and_one_visit_shows_no_spread():
    low, high = interval_ns(1_000_000, 0.02, 16)
    half = 1.645 * 1.2533 / 1.349 * 0.02 / 4
    assert (low, high) == (math.floor(1e6 / (1 + half)), math.ceil(1e6 * (1 + half)))
    assert interval_ns(1_000_000, 0.0, 1)[1] > 1_100_000


def a_model(**changes):
    fine = {"kind": "conv", "family": "extra_trees", "seed": 0, "n": 5, "cv_error": 0.1}
    fine |= {"settings": {"trees": 100.0, "columns": 0.5}, "half_width": 0.2}
    return FittedModel(**{**fine, **changes})


@pytest.mark.parametrize(
    "bad",
    [
        {"settings": {"trees": 1e6, "columns": 0.5}},
        {"settings": {"trees": 0.0, "columns": 0.5}},
        {"settings": {"trees": 3.0, "columns": -1.0}},
        {"settings": {"trees": 3.0, "columns": 1e9}},
        {"settings": {"trees": 3.0, "depth": 1e5}},
        {"settings": {"rate": math.nan}},
        {"settings": {"rows": 0.0}},
        {"settings": {"smoothness": 1e300}},
        {"settings": {"anything": math.inf}},
        {"seed": -1},
        {"seed": 1 << 32},
        {"n": 0},
        {"cv_error": -0.1},
        {"half_width": 1e308},
        {"half_width": -0.1},
        {"half_width": math.nan},
    ],
)
def test_a_model_that_would_take_too_long_or_predict_nonsense_is_refused(bad):
    a_model()
    with pytest.raises(DataError, match="model of conv"):
        a_model(**bad)
