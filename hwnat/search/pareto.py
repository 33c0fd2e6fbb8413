"""Non-dominated sets, hypervolume and the trade-off that picks one network of a front."""

from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError

Floats = npt.NDArray[np.float64]
#: Points compared with all others at a time: memory grows with the front, not with its square.
_ROWS: Final = 16


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


def trade_off(front: npt.ArrayLike, *, eps: float = 0.125) -> Floats:
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
    points = _checked(front)
    low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    order = np.argsort(scaled[:, 0], kind="stable")
    ordered = scaled[order]
    first = ordered[:, 0]
    scores = np.empty(len(points))
    fewest = min(2 * points.shape[1], len(points) - 1)
    for start in range(0, len(points), _ROWS):
        some = ordered[start : start + _ROWS]
        # Neighbours within `eps` are within it in the first objective too.
        begin = int(np.searchsorted(first, some[0, 0] - eps, side="left"))
        end = int(np.searchsorted(first, some[-1, 0] + eps, side="right"))
        ratio, count = _ratios(some, ordered[begin:end], start - begin, eps * eps)
        if (sparse := count < fewest).any():
            ratio[sparse] = [
                _nearest(ordered, start + r, fewest) for r in sparse.nonzero()[0].tolist()
            ]
        scores[order[start : start + _ROWS]] = ratio
    return scores


def _ratios(
    some: Floats, others: Floats, own: int, reach_squared: float
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return (k,) scores and numbers of neighbours.

    Args:
        some: (k, m) points to score; they are rows `own` to `own + k - 1` of `others`.
        others: (n, m) points among which neighbours are looked for.
        own: see `some`.
        reach_squared: neighbours are at most this far, squared.
    """
    shape = len(some), len(others)
    losses, gains, squared = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for column in range(some.shape[1]):
        change = others[:, column] - some[:, column, None]
        squared += change * change
        loss = np.maximum(change, 0)
        losses += loss
        gains += loss - change
    rows = np.arange(len(some))
    squared[rows, own + rows] = np.inf
    near = squared <= reach_squared
    ratio = np.full(shape, np.inf)
    np.divide(losses, gains, out=ratio, where=near & (gains > 0))
    return np.asarray(ratio.min(axis=1, initial=np.inf)), np.asarray(near.sum(axis=1))


def _nearest(points: Floats, row: int, fewest: int) -> float:
    """Return the score of one point by its `fewest` nearest points."""
    squared = np.zeros(len(points))
    for column in points.T:
        change = column - column[row]
        squared += change * change
    squared[row] = np.inf
    reach_squared = float(np.partition(squared, fewest - 1)[fewest - 1])
    ratio, _ = _ratios(points[row : row + 1], points, row, reach_squared)
    return float(ratio[0])


def knee(costs: npt.ArrayLike) -> int:
    """Return the row with the highest trade-off on the front of `costs`.

    Equal scores go to the smaller sum of scaled costs, then to the earlier row.

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
    front = points[rows]
    spread = np.ptp(front, axis=0)
    total = ((front - front.min(axis=0)) / np.where(spread > 0, spread, 1.0)).sum(axis=1)
    return int(rows[np.lexsort((total, -trade_off(front)))[0]])


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
