"""How the functions of an imported network become TFLite operators."""

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import fx

from hwnat.targets.modules import functions
from hwnat.targets.tflite.file import type_number
from hwnat.targets.tflite.lowering import Lowering, Rule, order_of, shape


def _computed(low: Lowering, node: fx.Node, arguments: Sequence[object]) -> list[fx.Node]:
    return [low.operand(node, argument) for argument in arguments]


def broadcast(low: Lowering, node: fx.Node, operands: Sequence[fx.Node]) -> list[int]:
    """Return operands whose shapes broadcast in the file, and decide the order of the result."""
    rank = len(shape(node))
    full = [o for o in operands if o.op != "get_attr" and len(shape(o)) == rank]
    turned = [o in low.last for o in full]
    last = rank > 2 and (all(turned) or (rank == 4 and any(turned))) and bool(full)
    low.home(node, last=last)
    return [_operand(low, operand, rank, last=last) for operand in operands]


def _operand(low: Lowering, operand: fx.Node, rank: int, *, last: bool) -> int:
    size = shape(operand)
    if operand.op == "get_attr":
        values = low.stored(operand)
        if values.size == 1:
            return low.file.constant(values.reshape(1))
        if len(size) < rank and last:
            values = values.reshape(*[1] * (rank - len(size)), *size)
        return low.file.constant(
            values.transpose(order_of(values.ndim, last=True)) if last else values
        )
    if len(size) == rank or not last:
        return low.tensor(operand, last=last)
    wide = (*[1] * (rank - len(size)), *size)
    tensor = low.reshape(low.tensor(operand, last=False), wide, low.dtype(operand))
    return low.permute(tensor, wide, order_of(rank, last=True), low.dtype(operand))


def _binary(kind: str, options: str = "NONE") -> Rule:
    def write(low: Lowering, node: fx.Node, _: object) -> int:
        operands = _computed(low, node, node.args)
        return low.emit(node, kind, broadcast(low, node, operands), options)

    return write


def _unary(kind: str) -> Rule:
    def write(low: Lowering, node: fx.Node, _: object) -> int:
        return low.emit(node, kind, [_alike(low, node)])

    return write


def _alike(low: Lowering, node: fx.Node) -> int:
    """Return the operand of an element-wise function, whose order of axes the result keeps."""
    source = low.operand(node, node.args[0])
    low.home(node, last=source in low.last)
    return low.tensor(source)


def _reciprocal(low: Lowering, node: fx.Node, _: object) -> int:
    return low.emit(node, "DIV", [low.file.scalar(1), _alike(low, node)], "DivOptions")


def _clamp(low: Lowering, node: fx.Node, _: object) -> int:
    _, least, most = node.args
    x = _alike(low, node)
    for bound, kind in ((least, "MAXIMUM"), (most, "MINIMUM")):
        if isinstance(bound, float):
            inputs = [x, low.file.scalar(bound)]
            x = low.emit(node, kind, inputs, "MaximumMinimumOptions")
    return x


def _cast(low: Lowering, node: fx.Node, _: object) -> int:
    return low.emit(node, "CAST", [_alike(low, node)], "CastOptions", **_cast_types(low, node))


def _cast_types(low: Lowering, node: fx.Node) -> dict[str, Any]:
    source = low.operand(node, node.args[0])
    return {
        "inDataType": type_number(low.dtype(source)),
        "outDataType": type_number(low.dtype(node)),
    }


def _prelu(low: Lowering, node: fx.Node, _: object) -> int:
    operands = _computed(low, node, node.args)
    x, slope = broadcast(low, node, operands)
    return low.emit(node, "PRELU", [x, slope])


def write_softmax(low: Lowering, node: fx.Node, source: fx.Node, axis: int, kind: str) -> int:
    """Append a softmax along any axis, in the order of axes that has it last."""
    rank = len(shape(node))
    fields: dict[str, Any] = {"beta": 1.0} if kind == "SOFTMAX" else {}
    options = "SoftmaxOptions" if kind == "SOFTMAX" else "LogSoftmaxOptions"
    places = {
        turned: order_of(rank, last=turned)[-1] for turned in (source in low.last, False, True)
    }
    fits = [turned for turned, last in places.items() if last == axis]
    if fits:
        low.home(node, last=fits[0])
        return low.emit(node, kind, [low.tensor(source, last=fits[0])], options, **fields)
    low.home(node, last=False)
    order = [i for i in range(rank) if i != axis] + [axis]
    size = shape(source)
    turned = low.permute(low.tensor(source, last=False), size, order, low.dtype(node))
    after = [size[i] for i in order]
    made = low.file.add(kind, [turned], after, options, **fields)
    return low.permute(made, after, np.argsort(order).tolist(), low.dtype(node))


def _log_softmax(low: Lowering, node: fx.Node, _: object) -> int:
    source, axis = node.args
    rank = len(shape(node))
    if not isinstance(axis, int):
        raise low.refusal(node, "runs along no axis")
    return write_softmax(low, node, low.operand(node, source), axis % rank, "LOG_SOFTMAX")


def _softmax(low: Lowering, node: fx.Node, _: object) -> int:
    source, axis = node.args
    if not isinstance(axis, int):
        raise low.refusal(node, "runs along no axis")
    return write_softmax(low, node, low.operand(node, source), axis % len(shape(node)), "SOFTMAX")


def _reshape(low: Lowering, node: fx.Node, _: object) -> int:
    """Write a RESHAPE; maps stay as they are if batch and channels stay apart."""
    source = low.operand(node, node.args[0])
    before, after = shape(source), shape(node)
    order = order_of(len(before), last=source in low.last)
    moved = [axis for axis in order if before[axis] != 1]
    kept = before[:2] == after[:2] and min(len(before), len(after)) > 2
    if source in low.last and kept:
        low.home(node, last=True)
        tensor = low.tensor(source)
    else:
        low.home(node, last=False)
        tensor = low.tensor(source, last=source in low.last and moved == sorted(moved))
    return low.reshape(tensor, low.size(node), low.dtype(node))


def _permute(low: Lowering, node: fx.Node, _: object) -> int:
    """Write a TRANSPOSE, or nothing if the file has the axes in the wanted order already."""
    source, perm = low.operand(node, node.args[0]), node.args[1]
    rank = len(shape(node))
    inside = order_of(rank, last=source in low.last)
    orders = {}
    for last in (False, True):
        wanted = [perm[axis] for axis in order_of(rank, last=last)]  # type: ignore[index]
        orders[last] = [inside.index(axis) for axis in wanted]
    size = low.size(source)

    def moves(order: list[int]) -> bool:
        moved = [axis for axis in order if size[axis] != 1]
        return moved != sorted(moved)

    last = rank > 2 and moves(orders[False]) and not moves(orders[True])
    low.home(node, last=last)
    return low.permute(low.tensor(source), size, orders[last], low.dtype(node))


def _cat(low: Lowering, node: fx.Node, _: object) -> int:
    parts, *dims = node.args
    dim = node.kwargs.get("dim", dims[0] if dims else 0)
    if not isinstance(parts, list | tuple) or not isinstance(dim, int):
        raise low.refusal(node, f"joins {parts!r:.40} along axis {dim}")
    operands = _computed(low, node, parts)
    broadcast(low, node, operands)  # decides the order
    last = node in low.last
    inputs = [low.tensor(operand, last=last) for operand in operands]
    axis = low.axis(node, dim)
    return low.emit(node, "CONCATENATION", inputs, "ConcatenationOptions", axis=axis)


def _along(low: Lowering, node: fx.Node, values: Sequence[Any]) -> list[Any]:
    """Return values, one for each axis, in the order of the file."""
    return [values[axis] for axis in order_of(len(values), last=node in low.last)]


def _crop(low: Lowering, node: fx.Node, _: object) -> int:
    x = _alike(low, node)
    bounds = _along(low, node, node.args[1])  # type: ignore[arg-type]
    starts, ends, steps = (
        low.file.constant(np.array(column, np.int32)) for column in zip(*bounds, strict=True)
    )
    source = low.size(low.operand(node, node.args[0]))
    if all((a, b, s) == (0, n, 1) for (a, b, s), n in zip(bounds, source, strict=True)):
        return x
    if all(step == 1 for *_, step in bounds):
        size = low.file.constant(np.array(low.size(node), np.int32))
        return low.emit(node, "SLICE", [x, starts, size], "SliceOptions")
    return low.emit(node, "STRIDED_SLICE", [x, starts, ends, steps], "StridedSliceOptions")


def _flip(low: Lowering, node: fx.Node, _: object) -> int:
    x = _alike(low, node)
    for axis in node.args[1]:  # type: ignore[union-attr]
        place = low.file.constant(np.array([low.axis(node, axis)], np.int32))  # type: ignore[arg-type]
        x = low.emit(node, "REVERSE_V2", [x, place], "ReverseV2Options")
    return x


def _pad(low: Lowering, node: fx.Node, _: object) -> int:
    x, value = _alike(low, node), node.args[2]
    edges = low.file.constant(np.array(_along(low, node, node.args[1]), np.int32))  # type: ignore[arg-type]
    if value == 0:
        return low.emit(node, "PAD", [x, edges], "PadOptions")
    fill = low.file.scalar(float(value))  # type: ignore[arg-type]
    return low.emit(node, "PADV2", [x, edges, fill], "PadV2Options")


def _take(low: Lowering, node: fx.Node, _: object) -> int:
    source, index = _computed(low, node, node.args[:2])
    axis: Any = node.args[2]
    one = len(shape(index)) == 1
    low.home(node, last=one and source in low.last)
    x = low.tensor(source, last=node in low.last)
    place = order_of(len(shape(source)), last=node in low.last).index(axis)
    fields = {"axis": place}
    return low.emit(node, "GATHER", [x, low.tensor(index, last=False)], "GatherOptions", **fields)


def _reduce(low: Lowering, node: fx.Node, _: object) -> int:
    source, kind, axes, keep = node.args
    operand = low.operand(node, source)
    return _reduced(low, node, operand, str(kind), axes, bool(keep))  # type: ignore[arg-type]


def _reduced(
    low: Lowering, node: fx.Node, source: fx.Node, kind: str, axes: Sequence[int], keep: bool
) -> int:
    turned = _reduced_order(low, source, axes, keep=keep)
    low.home(node, last=turned and keep)
    order = order_of(len(shape(source)), last=turned)
    places = sorted(order.index(axis) for axis in axes)
    inputs = [low.tensor(source, last=turned), low.file.constant(np.array(places, np.int32))]
    return low.emit(node, kind, inputs, "ReducerOptions", keepDims=keep)


def _reduced_order(low: Lowering, source: fx.Node, axes: Sequence[int], *, keep: bool) -> bool:
    """Whether an operand may keep its channels last: the axes that stay must be in order."""
    if source not in low.last:
        return False
    left = [axis for axis in order_of(len(shape(source)), last=True) if axis not in axes]
    return keep or left == sorted(left)


def _extreme(kind: str, options: str) -> Rule:
    def write(low: Lowering, node: fx.Node, _: object) -> int:
        source = low.operand(node, node.args[0])
        axis: Any = node.args[1]
        keep, axis = bool(node.args[2]), axis % len(shape(source))
        turned = _reduced_order(low, source, [axis], keep=False)
        order = order_of(len(shape(source)), last=turned)
        place = low.file.constant(np.array(order.index(axis), np.int32))
        inputs = [low.tensor(source, last=turned), place]
        low.home(node, last=False)
        after = [size for i, size in enumerate(shape(source)) if i != axis]
        fields: dict[str, Any] = {"outputType": type_number("int64"), "dtype": "int64"}
        made = low.file.add(kind, inputs, after, options, **fields)
        return low.reshape(made, shape(node), "int64") if keep else made

    return write


def _matmul(low: Lowering, node: fx.Node, _: object) -> int:
    left, right = _computed(low, node, node.args)
    rank = len(shape(node))
    if rank > 5 or min(len(shape(left)), len(shape(right))) < 2:
        raise low.refusal(node, f"multiplies {shape(left)} by {shape(right)}")
    low.home(node, last=False)
    inputs = [low.tensor(operand, last=False) for operand in (left, right)]
    return low.emit(node, "BATCH_MATMUL", inputs, "BatchMatMulOptions", adjX=False, adjY=False)


def _where(low: Lowering, node: fx.Node, _: object) -> int:
    inputs = broadcast(low, node, _computed(low, node, node.args))
    return low.emit(node, "SELECT_V2", inputs, "SelectV2Options")


def _expand(low: Lowering, node: fx.Node, _: object) -> int:
    operands = [low.operand(node, node.args[0])]
    size_of = broadcast(low, node, operands)
    size = low.file.constant(np.array(low.size(node), np.int32))
    return low.emit(node, "BROADCAST_TO", [*size_of, size], "BroadcastToOptions")


def _tile(low: Lowering, node: fx.Node, _: object) -> int:
    x = _alike(low, node)
    repeats = low.file.constant(np.array(_along(low, node, node.args[1]), np.int32))  # type: ignore[arg-type]
    return low.emit(node, "TILE", [x, repeats], "TileOptions")


def _blocks(kind: str, options: str) -> Rule:
    def write(low: Lowering, node: fx.Node, _: object) -> int:
        source, block = low.operand(node, node.args[0]), node.args[1]
        return low.emit(node, kind, [low.tensor(source, last=True)], options, blockSize=block)

    return write


FUNCTIONS: Final[dict[Any, Rule]] = {
    operator.add: _binary("ADD", "AddOptions"),
    operator.sub: _binary("SUB", "SubOptions"),
    operator.mul: _binary("MUL", "MulOptions"),
    torch.mul: _binary("MUL", "MulOptions"),
    operator.truediv: _binary("DIV", "DivOptions"),
    torch.pow: _binary("POW", "PowOptions"),
    torch.maximum: _binary("MAXIMUM", "MaximumMinimumOptions"),
    torch.minimum: _binary("MINIMUM", "MaximumMinimumOptions"),
    torch.eq: _binary("EQUAL", "EqualOptions"),
    torch.ne: _binary("NOT_EQUAL", "NotEqualOptions"),
    torch.lt: _binary("LESS", "LessOptions"),
    torch.le: _binary("LESS_EQUAL", "LessEqualOptions"),
    torch.gt: _binary("GREATER", "GreaterOptions"),
    torch.ge: _binary("GREATER_EQUAL", "GreaterEqualOptions"),
    torch.logical_and: _binary("LOGICAL_AND", "LogicalAndOptions"),
    torch.logical_or: _binary("LOGICAL_OR", "LogicalOrOptions"),
    torch.logical_not: _unary("LOGICAL_NOT"),
    torch.sqrt: _unary("SQRT"),
    torch.rsqrt: _unary("RSQRT"),
    torch.exp: _unary("EXP"),
    torch.log: _unary("LOG"),
    torch.neg: _unary("NEG"),
    torch.abs: _unary("ABS"),
    torch.floor: _unary("FLOOR"),
    torch.ceil: _unary("CEIL"),
    torch.round: _unary("ROUND"),
    torch.sin: _unary("SIN"),
    torch.cos: _unary("COS"),
    torch.sign: _unary("SIGN"),
    torch.reciprocal: _reciprocal,
    torch.clamp: _clamp,
    torch.where: _where,
    torch.softmax: _softmax,
    torch.log_softmax: _log_softmax,
    torch.reshape: _reshape,
    torch.permute: _permute,
    torch.cat: _cat,
    torch.flip: _flip,
    torch.matmul: _matmul,
    torch.broadcast_to: _expand,
    torch.tile: _tile,
    torch.argmax: _extreme("ARG_MAX", "ArgMaxOptions"),
    torch.argmin: _extreme("ARG_MIN", "ArgMinOptions"),
    functions.cast: _cast,
    functions.crop: _crop,
    functions.depth_to_space: _blocks("DEPTH_TO_SPACE", "DepthToSpaceOptions"),
    functions.pad: _pad,
    functions.prelu: _prelu,
    functions.reduce: _reduce,
    functions.space_to_depth: _blocks("SPACE_TO_DEPTH", "SpaceToDepthOptions"),
    functions.take: _take,
}
