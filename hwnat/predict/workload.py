"""The work of an operation, in the units that hardware works in.

The terms are counts, never times; a fit gives each term its nanoseconds. They include two effects
that plain interpolation over image size misses. A stride of 2 rounds an odd map up, so its output
has more than a quarter of the pixels. A matrix product runs in tiles of several pixels, so a
partial last tile costs as much as a full one.
"""

from math import ceil, log
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.records.cost import total_cost
from hwnat.records.op import OpSpec

Floats = npt.NDArray[np.float64]

_KERNELS: Final = (1, 3, 5, 7)


def family(op: OpSpec) -> str:
    """Return the part of an operation's key that does not depend on its map size.

    >>> family(OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10))
    'linear|in=1xHxWx64|out=10|float32'
    """
    batch, _, _, channels = op.in_shape
    kind, _, *rest = op.key.split("|")
    return "|".join([kind, f"in={batch}xHxWx{channels}", *rest])


def neighbourhood(op: OpSpec) -> str:
    """Return the key shared by families that differ only in kernel, expansion or activation."""
    batch, _, _, channels = op.in_shape
    return f"{op.kind}|{batch}|{channels}|{op.out_channels}|{op.stride}|{op.dtype}"


def log_size(op: OpSpec) -> float:
    """Return the logarithm of the map's side, or of the geometric mean of unequal sides."""
    _, height, width, _ = op.in_shape
    return 0.5 * log(height * width)


def terms(op: OpSpec, *, tile: int) -> Floats:
    """Return the work of an operation; operations of one kind give arrays of equal length.

    Args:
        op: an operation.
        tile: pixels that a matrix product handles at a time; a partial tile counts as a full one.

    Returns:
        (terms,) non-negative counts, the last of them 1.
    """
    if op.kind == "mbconv":
        return _block_terms(op, tile=tile)
    batch, height, width, channels = op.in_shape
    pixels, out_pixels = height * width, op.out_size[0] * op.out_size[1]
    # A `convpool` runs its matrix product over the map before pooling.
    rows = pixels if op.kind == "convpool" else out_pixels
    macs = total_cost([op]).macs * _rounded(rows, tile) / rows
    return np.array([macs, batch * pixels * channels, batch * rows * op.out_shape[3], 1.0])


def _block_terms(op: OpSpec, *, tile: int) -> Floats:
    """Return terms for products, depthwise by kernel and stride, element-wise work and start.

    Separate terms for squeezing, activations and rows of the depthwise window did not predict
    hidden sizes any better, because their cost is smooth over the size.
    """
    batch, height, width, channels = op.in_shape
    pixels, out_pixels = height * width, op.out_size[0] * op.out_size[1]
    mid, expands = op.mid_channels, op.mid_channels != channels
    depthwise = np.zeros((2, len(_KERNELS)))
    depthwise[op.stride - 1, _KERNELS.index(op.kernel)] = out_pixels * mid * op.kernel**2
    work = [
        expands * _rounded(pixels, tile) * channels * mid,
        _rounded(out_pixels, tile) * mid * op.out_channels,
        *depthwise.ravel(),
        expands * pixels * mid,
        out_pixels * mid,
    ]
    return np.array([*(batch * amount for amount in work), 1.0])


def _rounded(count: int, tile: int) -> int:
    return ceil(count / tile) * tile
