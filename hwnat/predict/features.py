"""Named features that determine an operation's latency on parallel hardware.

Sources: TensorFlow Lite's GPU delegate (delegates/gpu/common) for texels of four channels and
for work groups and how they divide a map; other hardware with fixed tiles has counterparts.
The roofline model (Williams et al., 2009) for bytes and multiply-accumulates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt, log2
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from hwnat.records.cost import op_cost
from hwnat.records.kinds import Activation, DType
from hwnat.records.op import OpSpec

Floats = npt.NDArray[np.float64]

_BYTES: Final[dict[DType, int]] = {
    **dict.fromkeys(("int8", "uint8", "bool"), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64", "other"), 8),
}
#: Kinds whose output values each read one channel.
_PER_VALUE: Final = frozenset(
    {"dwconv", "pool", "add", "mul", "act", "concat", "move", "resize"}
    | {"div", "unary", "binary", "reduce", "gather", "cast"}
)
#: Channels that the hardware moves and multiplies at once.
_SLICE: Final = 4
#: Outputs per thread along width, height and slices, as GPU delegates choose them.
_BLOCKS: Final = ((1, 1, 1), (2, 1, 1), (2, 1, 2), (2, 2, 2), (1, 1, 4))
#: Most threads in a work group, and most of them along slices.
_GROUP: Final = 256
_GROUP_DEPTH: Final = 64
#: Output tile of Winograd's 3x3 convolution (Lavin and Gray, 2016).
_WINOGRAD_TILE: Final = 4
#: Columns of `work`.
WORK: Final = ("launches", "macs", "padded_macs", "in_bytes", "out_bytes", "weight_bytes", "texels")
#: Sizes that define a model's trained range; a prediction outside it is flagged.
EXTENT: Final = (
    *("in_channels", "out_channels", "mid_channels", "se_channels", "in_side", "out_side"),
    *("kernel", "stride", "fan_in", "operands", "macs", "bytes"),
)
#: Features that describe an operation without tiles; enough for smooth models.
COMPACT: Final = (*EXTENT, "residual", "act", "tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """An operation as one loop nest; each output value reads a window of `fan_in` channels."""

    height: int
    width: int
    slices: int
    fan_in: int
    window: int


def features(op: OpSpec) -> dict[str, float]:
    """Map each feature's name to its value; names and their order are the same for every operation.

    Units: sizes, counts, bytes and multiply-accumulates are base-2 logarithms of at least 1;
    `fill_*` is the share of an aligned size that holds data, 0 to 1; `pad_*` is the base-2
    logarithm of computed over needed work; `depth_*` counts a work group's threads along slices.

    >>> features(OpSpec(kind="conv", in_shape=(1, 8, 8, 4), out_channels=6))["fill_out_8"]
    0.75

    Raises:
        DataError: the operation is opaque, so it has no features.
    """
    return dict(zip(NAMES, row(op).tolist(), strict=True))


@lru_cache(maxsize=1 << 14)
def row(op: OpSpec) -> Floats:
    """Return the (features,) values of `features`, in the order of `NAMES`."""
    values = np.array([value for _, value in _features(op)])
    values.flags.writeable = False
    return values


@lru_cache(maxsize=1 << 14)
def work(op: OpSpec) -> Floats:
    """Return the (7,) amounts named by `WORK`, without logarithms: launches, operations, bytes."""
    shape = _shape(op)
    macs = max(op_cost(op).macs, int(np.prod(op.in_shape)))
    texels = op.in_shape[0] * _texels(shape)
    padded = texels * _SLICE * -(-shape.fan_in // _SLICE) * _SLICE * shape.window
    size = _BYTES[op.dtype]
    in_bytes = size * int(np.prod(op.in_shape))
    out_bytes = size * int(np.prod(op.out_shape))
    if op.kind == "mbconv":
        # The expanded map is written and read both before and after the depthwise convolution.
        padded = macs
        in_bytes += 2 * size * op.mid_channels * op.in_shape[1] * op.in_shape[2]
        out_bytes += 2 * size * op.mid_channels * op.out_size[0] * op.out_size[1]
    weights = _BYTES[op.weights or op.dtype] * op_cost(op).folded_params
    values = np.array([1, macs, padded, in_bytes, out_bytes, weights, texels], np.float64)
    values.flags.writeable = False
    return values


def model_kind(op: OpSpec) -> str:
    """Return the name that groups the operations that share a kernel and a model."""
    kind: str = op.kind
    if op.kind == "conv" and op.in_shape[1:3] == (1, 1) and op.groups == 1:
        kind = "linear"
    kind = f"grouped-{kind}" if op.groups > 1 else kind
    if op.kind in ("unary", "binary", "reduce", "resize") and op.mode != "none":
        kind = f"{kind}-{op.mode}"
    kind = f"{kind}-w-{op.weights}" if op.weights else kind
    return kind if op.dtype == "float32" else f"{kind}-{op.dtype}"


def _shape(op: OpSpec) -> _Shape:
    """Return the loop nest; for a block, the loop nest of its widest map."""
    height, width = op.in_shape[1:3] if op.kind == "convpool" else op.out_size
    channels = max(op.mid_channels, op.out_shape[3])
    window = op.kernel * (op.kernel_w or op.kernel)
    fan_in = op.in_shape[3] // op.groups
    if op.kind in _PER_VALUE:
        fan_in = 1
    if op.kind == "gpool":
        fan_in, window = 1, op.in_shape[1] * op.in_shape[2]
    return _Shape(
        height=height,
        width=width,
        slices=-(-channels // _SLICE),
        fan_in=fan_in,
        window=window,
    )


def _texels(shape: _Shape) -> int:
    return shape.height * shape.width * shape.slices


def _log(value: float) -> float:
    return log2(max(value, 1))


def _features(op: OpSpec) -> Iterator[tuple[str, float]]:
    shape = _shape(op)
    _, macs, padded, in_bytes, out_bytes, weight_bytes, texels = work(op).tolist()
    total = in_bytes + out_bytes + weight_bytes
    yield "in_channels", _log(op.in_shape[3])
    yield "out_channels", _log(op.out_shape[3])
    yield "mid_channels", _log(op.mid_channels)
    yield "se_channels", _log(op.se_channels)
    yield "in_side", _log(op.in_shape[1] * op.in_shape[2]) / 2
    yield "out_side", _log(shape.height * shape.width) / 2
    yield "kernel", float(op.kernel)
    yield "stride", float(op.stride)
    yield "fan_in", _log(shape.fan_in)
    yield "operands", float(op.operands)
    yield "macs", _log(macs)
    yield "bytes", _log(total)
    yield "residual", float(op.residual)
    yield "act", float(get_args(Activation).index(op.act))
    yield "tail", float(op.tail)
    yield "linear", float(op.kind == "linear")
    yield "max", float(op.mode == "max")
    yield "in_bytes", _log(in_bytes)
    yield "out_bytes", _log(out_bytes)
    yield "weight_bytes", _log(weight_bytes)
    yield "macs_per_byte", log2(macs / total)
    yield "padded_macs", _log(padded)
    yield "texels", _log(texels)
    yield "out_slices", _log(shape.slices)
    yield from _alignment(op, shape)
    for block in _BLOCKS:
        yield from _launch(shape, block)
    for depth in (1, 2, 4):
        yield from _tiles(shape, depth)
    yield from _special(op, shape, weight_bytes)


def _alignment(op: OpSpec, shape: _Shape) -> Iterator[tuple[str, float]]:
    for name, size, units in (
        ("out", op.out_shape[3], (4, 8, 16, 32)),
        ("in", op.in_shape[3], (4, 8, 16, 32)),
        ("side", isqrt(shape.height * shape.width), (4, 8, 16)),
    ):
        for unit in units:
            yield f"fill_{name}_{unit}", size / (-(-size // unit) * unit)


def _launch(shape: _Shape, block: tuple[int, int, int]) -> Iterator[tuple[str, float]]:
    """Yield features of a launch: threads make `block` outputs each and groups fill slices."""
    width, height, slices = (
        -(-size // outputs)
        for size, outputs in zip((shape.width, shape.height, shape.slices), block, strict=True)
    )
    depth = next(n for n in range(min(_GROUP_DEPTH, slices), 0, -1) if slices % n == 0)
    columns = min(width, _GROUP // depth)
    rows = min(_GROUP // depth // columns, height)
    if rows == height and height % 2 == 0:
        rows = height // 2
    groups = -(-width // columns) * -(-height // rows) * (slices // depth)
    threads = groups * columns * rows * depth
    name = "x".join(map(str, block))
    yield f"groups_{name}", _log(groups)
    yield f"threads_{name}", float(columns * rows * depth)
    yield f"depth_{name}", float(depth)
    yield f"pad_{name}", log2(threads * block[0] * block[1] * block[2] / _texels(shape))


def _tiles(shape: _Shape, depth: int) -> Iterator[tuple[str, float]]:
    """Yield the numbers of 32-thread groups over a map cut into tiles, pixels or texels."""
    slices = -(-shape.slices // depth)
    tiles = -(-shape.width // 8) * -(-shape.height // 4)
    pixels = shape.width * shape.height
    yield f"tiles_{depth}", _log(tiles * slices)
    yield f"rows_{depth}", _log(-(-pixels // 32) * slices)
    yield f"lanes_{depth}", _log(-(-pixels * slices // 32))


def _special(op: OpSpec, shape: _Shape, weight_bytes: float) -> Iterator[tuple[str, float]]:
    """Yield the features by which runtimes choose a special kernel."""
    winograd = op.kind == "conv" and (op.kernel, op.stride, op.dilation, op.groups) == (3, 1, 1, 1)
    depth = min(-(-op.in_shape[3] // _SLICE), shape.slices) if winograd else 0
    tiles = -(-shape.width // _WINOGRAD_TILE) * -(-shape.height // _WINOGRAD_TILE)
    yield "winograd_slices", float(depth)
    yield "winograd_tiles", float(tiles if winograd else 0)
    # With few outputs per pixel, small weights go to constant memory and a thread takes a pixel.
    yield "constant_weights", float(weight_bytes if shape.slices <= 8 else 1 << 20)


#: Feature names, in order.
NAMES: Final = tuple(
    name for name, _ in _features(OpSpec(kind="linear", in_shape=(1, 1, 1, 1), out_channels=1))
)
