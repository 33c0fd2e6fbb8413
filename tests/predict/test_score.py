import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import UsageError
from hwnat.predict.score import score

values = st.lists(st.integers(1, 20), min_size=2, max_size=30)


@given(values, st.randoms())
def test_rank_correlations_agree_with_scipy(measured, random):
    from scipy import stats

    predicted = [random.randint(1, 20) for _ in measured]
    if len(set(measured)) < 2 or len(set(predicted)) < 2:
        return
    found = score(predicted, measured)
    assert found.kendall == pytest.approx(stats.kendalltau(predicted, measured).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(predicted, measured).statistic)


def test_errors_by_hand():
    found = score([1.05, 1.1, 0.8, 1.0], [1.0] * 4)
    assert found.n == 4
    assert found.mean_error == pytest.approx(0.0875)
    assert found.bias == pytest.approx(-0.0125)
    assert found.within_5 == 0.5
    assert found.within_10 == 0.75
    assert found.rmspe == pytest.approx(np.sqrt((0.05**2 + 0.1**2 + 0.2**2) / 4))


def test_a_constant_has_no_rank_correlation():
    assert np.isnan(score([1, 2], [3, 3]).kendall)
    assert np.isnan(score([2, 2], [1, 3]).spearman)


@pytest.mark.parametrize(
    ("predicted", "measured"),
    [([], []), ([1], [1, 2]), ([1], [0]), ([float("nan")], [1]), ([1], [float("inf")])],
)
def test_nonsense_has_no_score(predicted, measured):
    with pytest.raises(UsageError):
        score(predicted, measured)
