"""Rules for ONNX operators that move, select or reduce elements."""

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from hwnat.targets.modules import functions
from hwnat.targets.onnx.builder import Rule
from hwnat.targets.onnx.reader import Reader, Refused, axis_of

#: Elements of a matrix that interpolates along one axis.
_LARGEST_RESIZE: Final = 1 << 22


def _shaped(r: Reader, shape: tuple[int, ...]) -> fx.Node:
    """Append a reshape; a flattening of all but the batch is a module."""
    before = r.shape(0)
    if before == shape:
        return r.input(0)
    if len(shape) == 2 and len(before) > 2 and before[0] == shape[0]:
        return r.call(nn.Flatten(), r.input(0))
    return r.function(torch.reshape, r.input(0), shape)


def _reshape(r: Reader) -> fx.Node:
    wanted = r.integers("shape", 1)
    before, copy = r.shape(0), not r.attribute("allowzero", 0)
    if wanted is None:
        why = "its shape is absent"
        raise Refused(why)
    shape = [before[i] if size == 0 and copy else size for i, size in enumerate(wanted)]
    if shape.count(-1) == 1:
        rest = int(np.prod([size for size in shape if size != -1]))
        shape[shape.index(-1)] = int(np.prod(before)) // max(1, rest)
    return _shaped(r, tuple(shape))


def _flatten(r: Reader) -> fx.Node:
    shape, axis = r.shape(0), int(r.attribute("axis", 1))
    axis = axis + len(shape) if axis < 0 else axis
    return _shaped(r, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))))


def _squeeze(r: Reader) -> fx.Node:
    shape, axes = r.shape(0), r.integers("axes", 1)
    gone = {i for i, size in enumerate(shape) if size == 1}
    if axes is not None:
        gone = {axis_of(axis, len(shape)) for axis in axes}
    return _shaped(r, tuple(size for i, size in enumerate(shape) if i not in gone))


def _unsqueeze(r: Reader) -> fx.Node:
    shape, axes = list(r.shape(0)), r.integers("axes", 1) or []
    for axis in sorted(axis_of(axis, len(shape) + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return _shaped(r, tuple(shape))


def _transpose(r: Reader) -> fx.Node:
    order = r.attribute("perm", list(range(len(r.shape(0))))[::-1])
    return r.function(torch.permute, r.input(0), tuple(order))


def _concat(r: Reader) -> fx.Node:
    axis = axis_of(int(r.attribute("axis", 1)), len(r.shape(0)))
    parts = [r.input(index) for index in range(r.inputs)]
    return r.function(torch.cat, parts, axis) if len(parts) > 1 else parts[0]


def _split(r: Reader) -> list[fx.Node]:
    shape = r.shape(0)
    axis = r.axis(0, len(shape))
    sizes, count = r.integers("split", 1), int(r.attribute("num_outputs", r.outputs))
    if sizes is None:
        whole = -(-shape[axis] // count)
        sizes = [min(whole, shape[axis] - whole * i) for i in range(count)]
    starts = np.cumsum([0, *sizes]).tolist()
    bounds = [(0, size, 1) for size in shape]
    made = []
    for start, stop in pairwise(starts):
        bounds[axis] = (start, stop, 1)
        made.append(r.function(functions.crop, r.input(0), tuple(bounds)))
    return made


def _slice(r: Reader) -> fx.Node:
    shape = r.shape(0)
    starts, ends = r.integers("starts", 1), r.integers("ends", 2)
    if starts is None or ends is None:
        why = "its bounds are absent"
        raise Refused(why)
    axes = r.integers("axes", 3)
    steps = r.integers("steps", 4) or [1] * len(starts)
    bounds, flipped = [(0, size, 1) for size in shape], []
    for axis, start, end, step in zip(
        range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True
    ):
        place = axis_of(axis, len(shape))
        taken = range(shape[place])[start:end:step]
        if not taken:
            why = f"takes nothing of axis {place}"
            raise Refused(why)
        if step < 0:
            flipped.append(place)
            taken = taken[::-1]
        bounds[place] = (taken[0], taken[-1] + 1, abs(step))
    x = r.function(functions.crop, r.input(0), tuple(bounds))
    return r.function(torch.flip, x, flipped) if flipped else x


def _gather(r: Reader) -> fx.Node:
    shape = r.shape(0)
    axis = r.axis(0, len(shape))
    if not r.is_stored(1):
        return r.function(functions.take, r.input(0), r.input(1), axis)
    index = r.weights(1).astype(np.int64)
    if ((index < -shape[axis]) | (index >= shape[axis])).any():
        why = f"an index is outside of axis {axis}"
        raise Refused(why)
    return _taken(r, r.input(0), index % shape[axis], axis)


def _taken(r: Reader, x: fx.Node, index: npt.NDArray[Any], axis: int) -> fx.Node:
    return r.function(functions.take, x, r.constant(index.astype(np.int32)), axis)


def _pad(r: Reader) -> fx.Node:
    shape, mode = r.shape(0), r.attribute("mode", "constant")
    name = "pads" if r.opset > 1 else "paddings"
    edges, value = r.integers(name, 1), r.stored(2)
    axes = r.integers("", 3) if r.has(3) else None
    r.stored(3)
    fill = float(r.attribute("value", 0.0) if value is None else value.reshape(-1)[0])
    places = [axis_of(axis, len(shape)) for axis in (axes or range(len(shape)))]
    if edges is None or len(edges) != 2 * len(places):
        why = "its pads do not fit its axes"
        raise Refused(why)
    pads = [(0, 0)] * len(shape)
    for index, place in enumerate(places):
        pads[place] = int(edges[index]), int(edges[index + len(places)])
    if mode in ("edge", "reflect", "wrap"):
        return _repeated(r, shape, pads, mode)
    if mode != "constant":
        why = f"mode {mode:.20}"
        raise Refused(why)
    if r.dtype(0) not in ("float32", "") and fill != 0:
        why = f"pads {r.dtype(0)} with {fill}"
        raise Refused(why)
    return _with_edges(r, r.input(0), shape, pads, fill)


def _with_edges(
    r: Reader, x: fx.Node, shape: tuple[int, ...], pads: list[tuple[int, int]], fill: float
) -> fx.Node:
    """Append a constant border; a negative width cuts."""
    if min(min(pair) for pair in pads) < 0:
        cut = [(max(0, -a), size + min(0, b), 1) for size, (a, b) in zip(shape, pads, strict=True)]
        x = r.function(functions.crop, x, tuple(cut))
    grown = tuple((max(0, a), max(0, b)) for a, b in pads)
    if not any(map(any, grown)):
        return x
    return r.function(functions.pad, x, grown, fill)


def _repeated(r: Reader, shape: tuple[int, ...], pads: list[tuple[int, int]], mode: str) -> fx.Node:
    """Append a border of the tensor's own elements, which are taken by their position."""
    x = r.input(0)
    for axis, (size, (before, after)) in enumerate(zip(shape, pads, strict=True)):
        if (before, after) == (0, 0):
            continue
        if min(before, after) < 0:
            why = f"mode {mode} with a negative pad"
            raise Refused(why)
        index = np.pad(np.arange(size), (before, after), mode=mode)  # type: ignore[call-overload]
        x = _taken(r, x, index, axis)
    return x


def _expand(r: Reader) -> fx.Node:
    r.stored(1)
    return r.function(torch.broadcast_to, r.input(0), r.result())


def _tile(r: Reader) -> fx.Node:
    repeats = r.integers("", 1)
    if repeats is None or r.opset < 6:
        why = "its repeats are not a stored list"
        raise Refused(why)
    return r.function(torch.tile, r.input(0), tuple(repeats))


def _depth_to_space(r: Reader) -> fx.Node:
    block, mode, x = int(r.attribute("blocksize")), r.attribute("mode", "DCR"), r.input(0)
    if mode == "CRD":
        channels = r.shape(0)[1]
        order = np.arange(channels).reshape(-1, block * block).T.reshape(-1)
        x = _taken(r, x, order, 1)
    return r.function(functions.depth_to_space, x, block)


def _space_to_depth(r: Reader) -> fx.Node:
    return r.function(functions.space_to_depth, r.input(0), int(r.attribute("blocksize")))


def _axes(r: Reader) -> list[int] | None:
    """Return the axes of a reduction; None if it does nothing."""
    rank, axes = len(r.shape(0)), r.integers("axes", 1)
    idle = bool(r.attribute("noop_with_empty_axes", 0))
    if not axes:
        return None if idle else list(range(rank))
    return sorted(axis_of(axis, rank) for axis in axes)


def _reduction(kind: str, before: str = "", after: str = "") -> Rule:
    """Return the rule of a reduction with a function before and after it."""

    def rule(r: Reader) -> fx.Node:
        axes, keep, x = _axes(r), bool(r.attribute("keepdims", 1)), r.input(0)
        if before:
            x = r.function(torch.mul, x, x) if before == "square" else _applied(r, before, x)
        if axes is not None:
            x = _reduced(r, x, kind, axes, keep=keep)
        return _applied(r, after, x) if after else x

    return rule


def _reduced(r: Reader, x: fx.Node, kind: str, axes: list[int], *, keep: bool) -> fx.Node:
    if kind == "MEAN" and len(r.shape(0)) == 4 and axes == [2, 3]:
        x = r.call(nn.AdaptiveAvgPool2d(1), x)
        return x if keep else r.call(nn.Flatten(), x, mark="_flat")
    return r.function(functions.reduce, x, kind, tuple(axes), keep)


def _applied(r: Reader, name: str, x: fx.Node) -> fx.Node:
    return r.function(getattr(torch, name), x)


def _extreme(function: Any) -> Rule:  # noqa: ANN401
    def rule(r: Reader) -> fx.Node:
        axis = r.axis(0, len(r.shape(0)))
        return r.function(function, r.input(0), axis, bool(r.attribute("keepdims", 1)))

    return rule


def _resize(r: Reader) -> fx.Node:
    """Append a resize, which is a product with one matrix for each axis that changes.

    The matrices come from ONNX's own definition of the node. Where TFLite has an operator with the
    same matrices, that is used.
    """
    before, after = r.shape(0), r.result()
    matrices = _resize_matrices(r, before, after)
    if len(before) == 4 and set(matrices) <= {2, 3}:
        for mode, corners in (("nearest", None), ("nearest-exact", None), ("bilinear", False)):
            if _is_mode(matrices, before, after, mode, corners):
                return r.call(_upsample(after, mode, corners), r.input(0))
        if _is_mode(matrices, before, after, "bilinear", True):
            return r.call(_upsample(after, "bilinear", True), r.input(0))
    x = r.input(0)
    for axis, matrix in matrices.items():
        largest = matrix.argmax(axis=1)
        if np.array_equal(matrix, np.eye(before[axis], dtype=np.float32)[largest]):
            x = _taken(r, x, largest, axis)
            continue
        order = [i for i in range(len(before)) if i != axis] + [axis]
        back = np.argsort(order).tolist()
        x = r.function(torch.permute, x, tuple(order)) if axis != len(before) - 1 else x
        x = r.function(torch.matmul, x, r.constant(np.ascontiguousarray(matrix.T)))
        x = r.function(torch.permute, x, tuple(back)) if axis != len(before) - 1 else x
    return x


def _resize_matrices(
    r: Reader, before: tuple[int, ...], after: tuple[int, ...]
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the matrix (after, before) of each axis that changes."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = (
        *("mode", "nearest_mode", "coordinate_transformation_mode", "cubic_coeff_a"),
        *("exclude_outside", "antialias", "extrapolation_value", "keep_aspect_ratio_policy"),
    )
    said = {name: value for name in names if (value := r.attribute(name)) is not None}
    policy = said.pop("keep_aspect_ratio_policy", "stretch")
    axes = r.attribute("axes") or list(range(len(before)))
    if r.kind == "Upsample" or r.opset < 11:
        scales = r.attribute("scales") if r.opset < 9 and r.kind == "Upsample" else r.stored(1)
        said |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        r.stored(1)
        scales = r.stored(2)
        r.stored(3)
    crops = said.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if crops or policy != "stretch" or r.inputs > 4:
        why = "crops or keeps the aspect ratio"
        raise Refused(why)
    given: dict[int, float] | None = None
    if scales is not None and len(scales):
        given = {axis_of(axis, len(before)): s for axis, s in zip(axes, scales, strict=True)}
    matrices = {}
    for axis, (size, out) in enumerate(zip(before, after, strict=True)):
        scale = out / size if given is None else float(given.get(axis, 1.0))
        if size == out and scale == 1.0:
            continue
        if size * out > _LARGEST_RESIZE:
            why = f"resizes {size} to {out}"
            raise Refused(why)
        ints = [onnx.numpy_helper.from_array(np.array([size, out], np.int64), "z")]
        floats = [onnx.numpy_helper.from_array(np.array([1.0, scale], np.float32), "s")]
        ends = ["x", "", "", "z"] if given is None else ["x", "", "s"]
        node = onnx.helper.make_node("Resize", ends, ["y"], **said)
        graph = onnx.helper.make_graph(
            [node],
            "resize",
            [onnx.helper.make_tensor_value_info("x", 1, [size, size])],
            [onnx.helper.make_tensor_value_info("y", 1, None)],
            ints if given is None else floats,
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
        evaluator: Any = ReferenceEvaluator(model)
        rows = evaluator.run(None, {"x": np.eye(size, dtype=np.float32)})[0]
        if rows.shape != (size, out):
            why = f"its scale {scale} does not give {out} of {size}"
            raise Refused(why)
        matrices[axis] = np.ascontiguousarray(rows.T, np.float32)
    return matrices


def _upsample(after: tuple[int, ...], mode: str, corners: bool | None) -> nn.Upsample:
    return nn.Upsample(size=after[2:], mode=mode, align_corners=corners)


def _is_mode(
    matrices: dict[int, npt.NDArray[np.float32]],
    before: tuple[int, ...],
    after: tuple[int, ...],
    mode: str,
    corners: bool | None,
) -> bool:
    """Whether a resize of PyTorch has the given matrices."""
    linear = "linear" if mode == "bilinear" else mode
    for axis in (2, 3):
        eye = torch.eye(before[axis]).unsqueeze(1)
        rows = nn.functional.interpolate(eye, size=after[axis], mode=linear, align_corners=corners)
        known = matrices.get(axis, np.eye(before[axis], dtype=np.float32))
        if not np.allclose(rows[:, 0].T.numpy(), known, atol=1e-5):
            return False
    return True


MOVES: Final[dict[str, Rule]] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "ReduceMean": _reduction("MEAN"),
    "ReduceSum": _reduction("SUM"),
    "ReduceMax": _reduction("REDUCE_MAX"),
    "ReduceMin": _reduction("REDUCE_MIN"),
    "ReduceProd": _reduction("REDUCE_PROD"),
    "ReduceL1": _reduction("SUM", before="abs"),
    "ReduceL2": _reduction("SUM", before="square", after="sqrt"),
    "ReduceSumSquare": _reduction("SUM", before="square"),
    "ReduceLogSum": _reduction("SUM", after="log"),
    "ArgMax": _extreme(torch.argmax),
    "ArgMin": _extreme(torch.argmin),
    "Resize": _resize,
    "Upsample": _resize,
}
