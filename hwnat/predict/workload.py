"""What an operation has to do, in the units that hardware works in.

The terms are counts, never times: a fit gives each its nanoseconds. They carry the two facts
that plain interpolation over image size misses: a stride of 2 rounds an odd map up, so its output
has more than a quarter of the pixels; and a matrix product runs in tiles of several pixels, so
its last tile is paid in full.
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
    """Return what an operation has in common with itself on other map sizes.

    >>> family(OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10))
    'linear|in=1xHxWx64|out=10|float32'
    """
    batch, _, _, channels = op.in_shape
    kind, _, *rest = op.key.split("|")
    return "|".join([kind, f"in={batch}xHxWx{channels}", *rest])


def neighbourhood(op: OpSpec) -> str:
    """Return what families have in common that differ in kernel, expansion and activation."""
    batch, _, _, channels = op.in_shape
    return f"{op.kind}|{batch}|{channels}|{op.out_channels}|{op.stride}|{op.dtype}"


def log_size(op: OpSpec) -> float:
    """Return the logarithm of the map's side; of a map that is no square, the geometric mean."""
    _, height, width, _ = op.in_shape
    return 0.5 * log(height * width)


def terms(op: OpSpec, *, tile: int) -> Floats:
    """Return the work of an operation; equal kinds give arrays of equal length.

    Args:
        op: an operation.
        tile: pixels that a matrix product handles at a time; a part of a tile is paid in full.

    Returns:
        (terms,) non-negative counts, the last of them 1.
    """
    if op.kind == "mbconv":
        return _block_terms(op, tile=tile)
    batch, height, width, channels = op.in_shape
    pixels, out_pixels = height * width, op.out_size[0] * op.out_size[1]
    # The product of a `convpool` runs over the map, before the pooling.
    rows = pixels if op.kind == "convpool" else out_pixels
    macs = total_cost([op]).macs * _rounded(rows, tile) / rows
    return np.array([macs, batch * pixels * channels, batch * rows * op.out_shape[3], 1.0])


def _block_terms(op: OpSpec, *, tile: int) -> Floats:
    """Products, depthwise by kernel and stride, element-wise work, start.

    Squeezing, activations and rows of the depthwise window were tried as terms of their own and
    predicted hidden sizes no better: what they add is smooth over the size.
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
