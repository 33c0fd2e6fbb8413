import numpy as np
import pytest

from hwnat.errors import DataError
from hwnat.predict.families import FAMILIES, Roofline, candidates, plainer, regressor
from hwnat.predict.features import NAMES


@pytest.fixture
def smooth():
    """(60, features) and a smooth target of two of them."""
    rng = np.random.default_rng(3)
    x = np.zeros((60, len(NAMES)))
    first, second = NAMES.index("in_channels"), NAMES.index("out_side")
    x[:, [first, second]] = rng.uniform(0, 8, (60, 2))
    return x, np.sin(x[:, first] / 2) + 0.1 * x[:, second]


def test_a_roofline_recovers_rates():
    rng = np.random.default_rng(0)
    amounts = rng.uniform(1, 100, (40, 3))
    rates = np.array([5.0, 0.0, 2.0])
    found = Roofline().fit(amounts, amounts @ rates)
    assert found.predict(amounts) == pytest.approx(amounts @ rates, rel=1e-6)


def test_a_roofline_has_no_negative_rate_and_no_time_below_a_nanosecond():
    amounts = np.array([[1.0, 4.0, 0.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    found = Roofline().fit(amounts, np.array([10.0, 20.0, 30.0]))
    assert (found.predict(np.eye(3)) >= 1).all()
    assert found.predict(np.zeros((2, 3))).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_deterministic_and_beats_none(family, smooth):
    x, y = smooth
    first, second = (regressor(family, FAMILIES[family], seed=4) for _ in range(2))
    first.fit(x, y)
    second.fit(x, y)
    assert (first.predict(x) == second.predict(x)).all()
    limit = np.abs(y - np.median(y)).mean()
    error = np.abs(first.predict(x) - y).mean()
    assert error == pytest.approx(limit) if family == "roofline" else error < 0.2 * limit


def test_a_smooth_function_is_best_met_by_a_process(smooth):
    x, y = smooth
    errors = {}
    for family in ("gaussian_process", "extra_trees"):
        model = regressor(family, FAMILIES[family], seed=0)
        model.fit(x[:40], y[:40])
        errors[family] = np.abs(model.predict(x[40:]) - y[40:]).mean()
    assert errors["gaussian_process"] < errors["extra_trees"]


def test_features_that_never_vary_are_no_harm(smooth):
    x, y = smooth
    model = regressor("gaussian_process", FAMILIES["gaussian_process"], seed=0)
    model.fit(np.zeros_like(x), np.ones_like(y))
    assert model.predict(x) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("n", "expected"), [(5, "roofline"), (100, "gaussian_process")])
def test_few_samples_are_not_given_to_greedy_families(n, expected):
    assert expected in candidates(n)
    assert "boosted_trees" not in candidates(n)


def test_cross_validation_grows_smaller_forests_of_the_same_kind():
    for family, settings in FAMILIES.items():
        assert plainer(family).keys() == settings.keys()
        regressor(family, plainer(family), seed=0)


@pytest.mark.parametrize(("family", "settings"), [("neural", {}), ("extra_trees", {"trees": 5.0})])
def test_an_unknown_family_or_setting_is_refused(family, settings):
    with pytest.raises(DataError, match=f"No regressor '{family}'"):
        regressor(family, settings, seed=0)
