import numpy as np
import pytest
from scipy.optimize import check_grad

from hwnat.predict.gaussian import Inputs, Regression, most_informative


def inputs(n=60, *, seed=0, contrasts=1, extra=0.0):
    rng = np.random.default_rng(seed)
    level = rng.standard_normal((n, 1))
    return Inputs(
        level=level,
        contrasts=rng.standard_normal((n, contrasts)),
        sizes=(rng.standard_normal((n, 1)), rng.standard_normal((n, 2))),
        kind=rng.integers(3, size=n),
        noise=np.concatenate([rng.standard_normal((n, 1)), level], axis=1),
        extra=np.full(n, extra),
    )


def smooth(x):
    return 0.3 + 0.1 * x.level[:, 0] + 0.05 * np.sin(2 * x.sizes[0][:, 0]) + 0.05 * x.kind


@pytest.mark.parametrize("contrasts", [0, 1, 2])
@pytest.mark.parametrize("extra", [0.0, 0.01])
def test_the_gradient_is_that_of_the_loss(contrasts, extra):
    x = inputs(contrasts=contrasts, extra=extra)
    model = Regression(x, range(12), smooth(x)[:12])
    theta = x.prior() + np.random.default_rng(1).normal(0, 0.2, len(x.prior()))
    gap = check_grad(lambda t: model._loss(t)[0], lambda t: model._loss(t)[1], theta)
    assert gap < 1e-3 * (1 + np.linalg.norm(model._loss(theta)[1]))


def test_left_out_errors_are_those_of_predicting_from_the_others():
    x, n = inputs(), 15
    y = smooth(x)
    model = Regression(x, range(n), y[:n])
    errors, claimed = model.left_out()
    # The same hyperparameters and centre without one timing, by the inverse without its row.
    full = np.linalg.inv(model._inverse)
    for out in (0, 7):
        keep = [row for row in range(n) if row != out]
        solved = np.linalg.solve(full[np.ix_(keep, keep)], full[keep, out])
        assert errors[out] == pytest.approx(model._values[out] - solved @ model._values[keep])
        assert claimed[out] ** 2 == pytest.approx(full[out, out] - solved @ full[keep, out])


def test_it_explains_a_smooth_function_and_says_how_well():
    x = inputs(400)
    y = smooth(x) + np.random.default_rng(2).normal(0, 0.02, 400)
    model = Regression(x, range(100), y[:100])
    mean, deviation = model.predict(range(100, 400))
    error = np.abs(mean - y[100:])
    assert error.mean() < 0.3 * np.abs(y - np.median(y)).mean()
    assert 0.85 <= (error <= 1.645 * deviation).mean() <= 0.97


def test_variance_known_beforehand_widens_what_is_said():
    x, wide = inputs(), inputs(extra=0.25)
    y = smooth(x)
    narrow = Regression(x, range(20), y[:20]).predict([40])[1]
    assert Regression(wide, range(20), y[:20]).predict([40])[1] > narrow + 0.3


def test_picks_are_distinct_and_come_in_an_order_that_does_not_depend_on_their_number():
    x = inputs(200)
    rows = np.arange(200)
    picked = most_informative(x, rows, rows, 30)
    assert len(set(picked)) == 30
    assert most_informative(x, rows, rows, 12) == picked[:12]
    assert len(most_informative(x, rows[:5], rows, 9)) == 5


def test_picks_leave_less_variance_than_random_rows():
    x = inputs(300)
    rows, y = np.arange(300), np.zeros(300)
    picked = most_informative(x, rows, rows, 12)
    left = Regression(x, picked, y[picked]).predict(rows)[1].mean()
    rng = np.random.default_rng(0)
    others = [rng.permutation(300)[:12] for _ in range(5)]
    assert left < np.mean([Regression(x, o, y[o]).predict(rows)[1].mean() for o in others])


def test_equal_rows_and_equal_values_are_no_reason_to_fail():
    x = inputs(8)
    rows = [0, 0, 0, 0, 1, 1]
    mean, deviation = Regression(x, rows, np.full(6, 0.5)).predict([0, 5])
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()
