"""Non-dominated sets, hypervolume and the trade-off that picks one network of a front."""

from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError

Floats = npt.NDArray[np.float64]
#: Radius of the neighbourhood that decides a trade-off, on a front scaled to the unit cube.
_REACH: Final = 0.125
#: Points compared with a sample at a time: memory grows with the front, not with its square.
_ROWS: Final = 64
#: Size of each sample that bounds the scores of points still in question, and how many of these
#: are then scored in full to rule out others: after the last sample, as many as it takes.
_SAMPLES: Final = ((64, 8), (512, 8), (4096, None))


def non_dominated(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Mark the rows that no other row beats; equal rows are all kept.

    Args:
        costs: (n, m), every column minimised; NaN and infinities refused.

    >>> non_dominated([[1, 3], [2, 2], [2, 3]]).tolist()
    [True, True, False]

    Raises:
        DataError: not an (n, m) array of finite numbers.
    """
    from moocore import is_nondominated  # type: ignore[import-untyped]

    points = _checked(costs)
    if not len(points):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def hypervolume(costs: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Return the volume between `costs` and `reference`; rows beyond it add nothing.

    Args:
        costs: (n, m), every column minimised; NaN and infinities refused.
        reference: (m,) the worst values that are still worth something.

    >>> hypervolume([[1, 2], [2, 1]], [3, 3])
    3.0

    Raises:
        DataError: not finite numbers, or of unequal widths.
    """
    from moocore import hypervolume as volume

    points = _checked(costs)
    worst = _checked(np.asarray(reference, dtype=np.float64)[None])[0]
    if points.shape[1] != len(worst):
        msg = f"A reference of {len(worst)} values does not fit {points.shape[1]} objectives."
        raise DataError(msg)
    inside = points[(points < worst).all(axis=1)]
    if len(worst) == 1:
        return float(np.max(worst - inside, initial=0.0))
    return float(volume(inside, ref=worst)) if len(inside) else 0.0


def trade_off(front: npt.ArrayLike, *, eps: float = _REACH) -> Floats:
    """Score each point by what its neighbours lose for each unit they gain; higher is better.

    The front is scaled to the unit cube. Neighbours are the points within `eps`; where there are
    fewer than 2 m of them, the nearest 2 m points, so that sparse fronts have scores too.

    Args:
        front: (n, m) non-dominated costs, every column minimised.
        eps: radius of the neighbourhood.

    Returns:
        (n,) smallest ratio of losses to gains over the neighbours; infinity without neighbours.

    Raises:
        DataError: not an (n, m) array of finite numbers.

    Source: NSGANetV2's choice of "high trade-off" networks, which NAT reuses.
    """
    points = _scaled(_checked(front))
    order = np.argsort(points[:, 0], kind="stable")
    ordered = points[order]
    scores = np.empty(len(points))
    scores[order] = [_score(ordered, row, eps) for row in range(len(points))]
    return scores


def knee(costs: npt.ArrayLike) -> int:
    """Return the row with the highest trade-off on the front of `costs`.

    Scores that agree in nine digits are equal. Equal scores go to the smaller sum of scaled costs,
    then to the earlier row.

    Args:
        costs: (n, m), every column minimised; dominated rows may be among them.

    >>> knee([[0, 10], [1, 1], [10, 0], [11, 11]])
    1

    Raises:
        DataError: no rows, or not an (n, m) array of finite numbers.
    """
    points = _checked(costs)
    if not len(points):
        msg = "There is no knee: the front is empty."
        raise DataError(msg)
    rows = np.flatnonzero(non_dominated(points))
    scaled = _scaled(points[rows])
    order = np.argsort(scaled[:, 0], kind="stable")
    ordered, rows = scaled[order], rows[order]
    total = ordered.sum(axis=1)
    # A score is the smallest ratio over all neighbours, so the smallest over some of them is an
    # upper bound. Points whose bound is below a known score are never compared with all others.
    bounds = np.full(len(rows), np.inf)
    hopeful = np.arange(len(rows))
    best = (np.inf, np.inf, -1)
    for size, tried in _SAMPLES:
        bounds[hopeful] = np.minimum(bounds[hopeful], _bounds(ordered, hopeful, size))
        hopeful = hopeful[np.lexsort((rows[hopeful], total[hopeful], -bounds[hopeful]))]
        for row in hopeful[:tried].tolist():
            if best <= (-bounds[row], total[row], rows[row]):
                return int(best[2])
            bounds[row] = _nine_digits(_score(ordered, row, _REACH))
            best = min(best, (-bounds[row], total[row], rows[row]))
        hopeful = hopeful[-bounds[hopeful] <= best[0]]
    return int(best[2])


def _scaled(front: Floats) -> Floats:
    """Scale every column to the range from 0 to 1."""
    low, high = front.min(axis=0, initial=np.inf), front.max(axis=0, initial=-np.inf)
    return np.asarray((front - low) / np.where(high > low, high - low, 1.0))


def _score(ordered: Floats, row: int, eps: float) -> float:
    """Return the trade-off of one point; see `trade_off`.

    Args:
        ordered: (n, m) scaled front, sorted by the first column.
        row: the point's position.
        eps: radius of the neighbourhood.
    """
    first = ordered[:, 0]
    # Neighbours within `eps` are within it in the first objective too.
    begin = int(np.searchsorted(first, first[row] - eps, side="left"))
    end = int(np.searchsorted(first, first[row] + eps, side="right"))
    fewest = min(2 * ordered.shape[1], len(ordered) - 1)
    ratios, squared = _ratios(ordered[row : row + 1], ordered[begin:end])
    reach_squared = eps * eps
    if np.count_nonzero(squared <= reach_squared) - 1 < fewest:
        # The point itself is the nearest of all.
        ratios, squared = _ratios(ordered[row : row + 1], ordered)
        reach_squared = max(reach_squared, float(np.partition(squared[0], fewest)[fewest]))
    return float(ratios[squared <= reach_squared].min(initial=np.inf))


def _bounds(ordered: Floats, rows: npt.NDArray[np.intp], size: int) -> Floats:
    """Return upper bounds of the scores of `rows`, from at most about `size` neighbours each.

    Args:
        ordered: (n, m) scaled front, sorted by the first column.
        rows: (k,) positions of points.
        size: number of points of the whole front that each is compared with.
    """
    sample = ordered[:: max(1, len(ordered) // size)]
    bounds = np.full(len(rows), np.inf)
    for start in range(0, len(rows), _ROWS):
        some = ordered[rows[start : start + _ROWS]]
        ratios, squared = _ratios(some, sample)
        ratios[squared > _REACH * _REACH] = np.inf
        bounds[start : start + _ROWS] = ratios.min(axis=1)
    for step in (-2, -1, 1, 2):
        near = ordered[np.clip(rows + step, 0, len(ordered) - 1)]
        ratios, squared = _ratios(ordered[rows], near[:, None])
        ratios[squared > _REACH * _REACH] = np.inf
        bounds = np.minimum(bounds, ratios[:, 0])
    return _nine_digits(bounds)


def _ratios(points: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return (k, n) ratios of losses to gains, infinite without a gain, and squared distances.

    Args:
        points: (k, m) points to leave.
        others: (n, m) points to go to; or (k, n, m), some for each of `points`.
    """
    losses = gains = squared = np.zeros(1)
    for column in range(points.shape[1]):
        change = others[..., column] - points[:, column, None]
        squared = squared + change * change
        loss = np.maximum(change, 0)
        losses = losses + loss
        gains = gains + (loss - change)
    ratios = np.full(squared.shape, np.inf)
    np.divide(losses, gains, out=ratios, where=gains > 0)
    return ratios, squared


def _nine_digits(scores: Floats | float) -> Floats:
    """Round away what the order of floating-point operations decides."""
    mantissa, exponent = np.frexp(scores)
    return np.asarray(np.ldexp(np.round(mantissa * 2**30) / 2**30, exponent))


def _checked(costs: npt.ArrayLike) -> Floats:
    points = np.asarray(costs, dtype=np.float64)
    if points.ndim != 2 or not points.shape[1]:
        msg = f"Costs are an (n, objectives) array; got shape {points.shape}."
        raise DataError(msg)
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        msg = f"Cost {column} of network {row} is {points[row, column]}; measure it again."
        raise DataError(msg)
    return points
