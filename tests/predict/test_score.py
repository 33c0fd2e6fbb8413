import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.predict.score import Agreement, agreement, evaluation

values = st.lists(st.integers(1, 20), min_size=2, max_size=30)


@given(values, st.randoms())
def test_rank_correlations_agree_with_scipy(measured, random):
    from scipy import stats

    predicted = [random.randint(1, 20) for _ in measured]
    if len(set(measured)) < 2 or len(set(predicted)) < 2:
        return
    found = agreement(predicted, measured)
    assert found.kendall == pytest.approx(stats.kendalltau(predicted, measured).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(predicted, measured).statistic)


def test_errors_and_coverage_by_hand():
    found = agreement([1.05, 1.1, 0.8, 1.0], [1.0] * 4, ([1.0] * 4, [1.2] * 4))
    assert (found.n, found.within5, found.within10, found.coverage90) == (4, 0.5, 0.75, 1.0)
    assert found.mape == pytest.approx(0.0875)
    assert found.bias == pytest.approx(-0.0125)
    assert found.rmspe == pytest.approx(np.sqrt((0.05**2 + 0.1**2 + 0.2**2) / 4))


def test_the_ends_of_an_interval_belong_to_it():
    assert agreement([1.0, 2.0], [1.0, 2.0], ([1.0, 1.0], [1.0, 2.0])).coverage90 == 1.0
    assert agreement([1.0, 2.0], [1.0, 2.0], ([1.1, 1.0], [1.2, 1.9])).coverage90 == 0.0


def test_undefined_correlations_and_missing_intervals_are_null_in_json():
    found = json.loads(json.dumps(asdict(agreement([1.0, 1.0], [1.0, 2.0])), allow_nan=False))
    assert found["spearman"] is found["kendall"] is found["coverage90"] is None


def test_an_evaluation_holds_the_methods_own_numbers_beside_the_baselines():
    own, plain = agreement([1.0, 2.0], [1.0, 2.0]), agreement([2.0, 1.0], [1.0, 2.0])
    found = evaluation(own, baselines={"raw sum": plain}, facts={"seed": 3})
    assert (found.mape, found.kendall) == (own.mape, own.kendall)
    assert asdict(found)["baselines"]["raw sum"]["kendall"] == -1.0
    assert found.facts == {"seed": 3}


@pytest.mark.parametrize(
    "interval", [([1.0], [2.0]), ([2.0, 2.0], [1.0, 3.0]), ([np.nan, 1.0], [2.0, 3.0])]
)
def test_intervals_that_are_none_are_refused(interval):
    with pytest.raises(UsageError, match="Intervals"):
        agreement([1.0, 2.0], [1.0, 2.0], interval)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"within5": 1.5}, {"mape": float("nan")}])
def test_impossible_agreements_are_refused(wrong):
    fine = {"n": 2, "mape": 0.1, "bias": 0.0, "rmspe": 0.1, "within5": 0.5, "within10": 1.0}
    with pytest.raises(DataError):
        Agreement(**{**fine, "spearman": None, "kendall": None, **wrong})


@pytest.mark.parametrize(
    ("predicted", "measured"),
    [
        ([], []),
        ([1], [1, 2]),
        ([1], [0]),
        ([0], [1]),
        ([-1], [1]),
        ([float("nan")], [1]),
        ([1], [float("inf")]),
    ],
)
def test_nonsense_has_no_score(predicted, measured):
    with pytest.raises(UsageError):
        agreement(predicted, measured)
