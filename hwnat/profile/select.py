"""Order points so that each prefix of the order is spread over all of them."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def farthest_first(points: Floats, *, begin: int = 0) -> list[int]:
    """Order (n, d) points: first `begin`, then each time the farthest from all before it."""
    order, nearest = [begin], np.full(len(points), np.inf)
    for _ in range(len(points) - 1):
        nearest = np.minimum(nearest, ((points - points[order[-1]]) ** 2).sum(axis=1))
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
    return order
