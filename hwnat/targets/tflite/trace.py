"""The kernels that the TFLite interpreter executes, and which of them XNNPACK runs.

Activations are fused in the file: they are options of the previous operator. XNNPACK does not
report how it runs its operators. It is known to pad the input of a convolution itself, so a PAD
that nothing else reads belongs to its convolution.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnat.targets.kernel import Call, to_op
from hwnat.targets.tflite.plan import PlanOp, TfliteFile, read_plan
from hwnat.targets.trace import Removed, Trace, TracedOp

#: TFLite operator -> ONNX operator.
_ONNX: Final = {
    "CONV_2D": "Conv",
    "DEPTHWISE_CONV_2D": "Conv",
    "TRANSPOSE_CONV": "ConvTranspose",
    "FULLY_CONNECTED": "Gemm",
    "BATCH_MATMUL": "MatMul",
    "AVERAGE_POOL_2D": "AveragePool",
    "MAX_POOL_2D": "MaxPool",
    "MEAN": "ReduceMean",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
    "SUM": "ReduceSum",
    "ARG_MAX": "ArgMax",
    "ARG_MIN": "ArgMin",
    "ADD": "Add",
    "SUB": "Sub",
    "MUL": "Mul",
    "DIV": "Div",
    "POW": "Pow",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
    "SQUARED_DIFFERENCE": "SquaredDifference",
    "EQUAL": "Equal",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
    "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or",
    "LOGICAL_NOT": "Not",
    "SELECT": "Where",
    "SELECT_V2": "Where",
    "ABS": "Abs",
    "CEIL": "Ceil",
    "COS": "Cos",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "LOG": "Log",
    "NEG": "Neg",
    "ROUND": "Round",
    "RSQRT": "Rsqrt",
    "SIGN": "Sign",
    "SIN": "Sin",
    "SQRT": "Sqrt",
    "SQUARE": "Square",
    "CAST": "Cast",
    "QUANTIZE": "QuantizeLinear",
    "DEQUANTIZE": "DequantizeLinear",
    "RELU": "Relu",
    "RELU6": "Clip",
    "RELU_N1_TO_1": "Clip",
    "RELU_0_TO_1": "Clip",
    "LEAKY_RELU": "LeakyRelu",
    "PRELU": "PRelu",
    "ELU": "Elu",
    "HARD_SWISH": "HardSwish",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "GELU": "Gelu",
    "SOFTMAX": "Softmax",
    "CONCATENATION": "Concat",
    "RESIZE_BILINEAR": "Resize",
    "RESIZE_NEAREST_NEIGHBOR": "Resize",
    "PAD": "Pad",
    "PADV2": "Pad",
    "MIRROR_PAD": "Pad",
    "TRANSPOSE": "Transpose",
    "SLICE": "Slice",
    "STRIDED_SLICE": "StridedSlice",
    "SPLIT": "Split",
    "SPLIT_V": "Split",
    "PACK": "Concat",
    "UNPACK": "Split",
    "BROADCAST_TO": "Expand",
    "GATHER": "Gather",
    "GATHER_ND": "GatherND",
    "EMBEDDING_LOOKUP": "Gather",
    "TILE": "Tile",
    "DEPTH_TO_SPACE": "DepthToSpace",
    "SPACE_TO_DEPTH": "SpaceToDepth",
}
_VIEWS: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
#: Operators with axes as their second input.
_REDUCTIONS: Final = frozenset(
    {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "ARG_MAX", "ARG_MIN"}
)
#: Operators with weights as their second input.
_WEIGHTED: Final = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}
)
#: Constants of integers up to this size, such as axes and pads, determine the work.
_SMALL: Final = 16
#: Number of an ActivationFunctionType -> ONNX operator.
_FUSED: Final = {0: "", 1: "Relu", 2: "Clip", 3: "Clip", 4: "Tanh"}


def trace_tflite(
    path: Path, *, runtime: str, places: Mapping[int, tuple[str, ...]] | None = None
) -> Trace:
    """Load a file as for timing and describe every operator that runs.

    Args:
        path: path of the file.
        runtime: name and version of the runtime.
        places: position of an operator -> its names; other operators are named after their output.

    Raises:
        DataError: see `Target.trace`.
    """
    file = read_plan(path, places or {})
    merged, removed = _merge(file)
    ops = []
    for last, call, names in merged:
        op, reason = to_op(call)
        ops.append(TracedOp(op=op, reason=reason, nodes=names, kernel=_kernel(last, call)))
    return Trace(
        target="tflite", runtime=runtime, batch=file.batch, ops=tuple(ops), removed=tuple(removed)
    )


def trace_onnx_as_tflite(path: Path, *, split: bool, runtime: str) -> Trace:
    """Convert an ONNX file as `export` would write the network, and trace the result.

    Raises:
        DataError: see `Target.trace`.
        UsageError: some operators have no TFLite form; the message names the first ones.
    """
    from hwnat.targets.tflite.convert import convert_onnx

    with tempfile.TemporaryDirectory(prefix="hwnat-trace-") as folder:
        file = Path(folder, path.stem + ".tflite")
        imported, origins = convert_onnx(path, file, split_depthwise=split)
        names = {
            index: tuple(imported.node(place) for place in places)
            for index, (_, places) in enumerate(origins)
        }
        traced = trace_tflite(file, runtime=runtime, places=names)
    # Batch norms were folded before anything was written.
    groups = imported.graph.group({i: op.nodes for i, op in enumerate(traced.ops)})
    ops = tuple(replace(op, nodes=groups[i] or op.nodes) for i, op in enumerate(traced.ops))
    known = {name for op in ops for name in op.nodes} | {removed.node for removed in traced.removed}
    gone = imported.graph.removed(known)
    return replace(traced, ops=ops, removed=(*traced.removed, *gone))


def _kernel(last: PlanOp, call: Call) -> str:
    split = call.attributes.get("split", False)
    name = "DEPTHWISE_CONV_2D in parts" if split else last.kind
    return f"{'XNNPACK' if last.delegated else 'TFLite'} {name}"


class _Merger:
    """Visits a file once and describes each kernel, which may consist of several operators."""

    def __init__(self, file: TfliteFile) -> None:
        self.file = file
        self.producer = {out: op for op in file.operators for out in op.outputs}
        self.readers: dict[int, list[PlanOp]] = {}
        for op in file.operators:
            for value in op.inputs:
                self.readers.setdefault(value, []).append(op)
        self.constants = set(file.values)
        #: Output of an operator that is fused into a later one -> that operator.
        self.absorbed: dict[int, PlanOp] = {}

    def lone(self, value: int, kind: str) -> PlanOp | None:
        """Return the operator of a kind that computes a value, if the value is read only once."""
        made = self.producer.get(value)
        if made is None or made.kind != kind or value in self.file.results:
            return None
        return made if len(self.readers.get(value, ())) == 1 else None

    def scalar(self, value: int) -> float | None:
        """Return a stored float of one element."""
        data = self.file.values.get(value)
        if data is None or len(data) != 4 or self.file.types[value] != "float32":
            return None
        return float(np.asarray(data, np.uint8).view(np.float32)[0])

    def integers(self, value: int) -> list[int]:
        """Return a stored tensor of integers."""
        raw = np.asarray(self.file.values[value], np.uint8)
        return [int(number) for number in raw.view(self.file.types[value])]

    def detail(self, op: PlanOp) -> tuple[str, ...]:
        """Return the options, operands, results and small integers of an operator."""
        lines = [f"{op.kind} {sorted((name, str(value)) for name, value in op.options.items())}"]
        for value in (*op.inputs, *op.outputs):
            line = f"{self.file.types[value]} {self.file.shapes[value]}"
            if value in self.constants:
                line += " stored"
            integers = "int" in self.file.types[value] and value in self.file.values
            if integers and op.kind not in _WEIGHTED and prod(self.file.shapes[value]) <= _SMALL:
                line += f" {self.integers(value)}"
            lines.append(line)
        return tuple(lines)

    def call(self, op: PlanOp) -> Call:
        """Describe one operator."""
        file, options = self.file, op.options
        computed = [i for i in op.inputs if i not in self.constants]
        if op.kind == "TRANSPOSE_CONV":
            computed = computed[-1:]
        stored = [i for i in op.inputs[1:2] if i in self.constants]
        x, y = file.shapes[computed[0]] if computed else (), file.shapes[op.outputs[0]]
        weight = file.shapes[stored[0]] if stored else None
        attributes: dict[str, Any] = {
            "strides": (options.get("strideH", 1), options.get("strideW", 1)),
            "dilations": (options.get("dilationHFactor", 1), options.get("dilationWFactor", 1)),
            "kernel": (weight or ())[1:3],
            "axis": options.get("axis", -1),
        }
        if "POOL" in op.kind:
            attributes["kernel"] = (options["filterHeight"], options["filterWidth"])
        if op.kind == "CONV_2D" and weight and x:
            attributes["group"] = x[3] // weight[3]
        if op.kind == "RESIZE_BILINEAR":
            attributes["mode"] = "linear"
        if op.kind == "DEPTHWISE_CONV_2D" and x:
            attributes["group"] = x[3]
        if op.kind in _REDUCTIONS and stored and stored[0] in file.values:
            attributes["axes"] = self.integers(stored[0])
        weighted = op.kind in _WEIGHTED and bool(stored)
        inputs = [file.shapes[i] for i in computed]
        if op.kind == "FULLY_CONNECTED" and weight and x and x[-1] != weight[-1]:
            inputs[0] = (prod(x) // weight[-1], weight[-1])  # it flattens its input itself
        return Call(
            kind=_ONNX.get(op.kind, op.kind),
            inputs=tuple(inputs),
            output=y,
            batch=file.batch,
            nhwc=True,
            attributes=attributes,
            weight=weight,
            weights=file.types[stored[0]] if weighted else "",
            act=_FUSED.get(options.get("fusedActivationFunction", 0), "an unknown activation"),
            dtype=file.types[computed[0] if computed else op.outputs[0]],
            out_dtype=file.types[op.outputs[0]],
            label=op.kind.replace("_", "-"),
            detail=self.detail(op),
        )


def _merge(file: TfliteFile) -> tuple[list[tuple[PlanOp, Call, tuple[str, ...]]], list[Removed]]:
    """Return (operator, call, names) of each kernel, and the nodes that take no time."""
    merger, removed = _Merger(file), []
    kernels: dict[int, tuple[PlanOp, Call, tuple[str, ...]]] = {}
    for op in file.operators:
        if all(value in merger.constants for value in op.inputs):
            merger.constants.update(op.outputs)
            why = "computed once, from constants"
            removed += [Removed(node=name, kind=op.kind, why=why) for name in op.names]
            continue
        if op.kind in _VIEWS:
            why = "another view of the same data"
            removed += [Removed(node=name, kind=op.kind, why=why) for name in op.names]
            continue
        call, names = merger.call(op), list(op.names)
        for absorb in (_padded, _summed, _hard_sigmoid):
            taken = absorb(merger, op, call, kernels)
            if taken is not None:
                call, parts = taken
                names = [name for part in parts for name in kernels.pop(part)[2]] + names
        kernels[op.outputs[0]] = (op, call, tuple(dict.fromkeys(names)))
    return list(kernels.values()), removed


_Kernels = dict[int, tuple[PlanOp, Call, tuple[str, ...]]]


def _padded(m: _Merger, op: PlanOp, call: Call, kernels: _Kernels) -> tuple[Call, list[int]] | None:
    """Fuse a PAD before a convolution into the convolution."""
    if call.kind != "Conv" or m.lone(op.inputs[0], "PAD") is None:
        # Parts of one split convolution read the same zeros.
        pad = m.producer.get(op.inputs[0])
        shared = pad is not None and pad.kind == "PAD" and op.kind == "DEPTHWISE_CONV_2D"
        if not shared or pad is None:
            return None
        alike = {reader.kind for reader in m.readers[op.inputs[0]]} == {"DEPTHWISE_CONV_2D"}
        if not alike:
            return None
        before = m.file.shapes[pad.inputs[0]]
        parts = [op.inputs[0]] if op.inputs[0] in kernels else []
        return replace(call, inputs=(before, *call.inputs[1:])), parts
    pad = m.producer[op.inputs[0]]
    return replace(call, inputs=(m.file.shapes[pad.inputs[0]], *call.inputs[1:])), [op.inputs[0]]


def _summed(m: _Merger, op: PlanOp, call: Call, kernels: _Kernels) -> tuple[Call, list[int]] | None:
    """Recognise a sum of depthwise convolutions over parts of the columns as one convolution."""
    if op.kind != "ADD" or not set(op.inputs) <= kernels.keys():
        return None
    terms = [kernels[value] for value in op.inputs]
    kinds = {(term.kind, term.inputs, str(term.attributes.get("strides"))) for _, term, _ in terms}
    whole = all(o.kind == "DEPTHWISE_CONV_2D" or c.attributes.get("split") for o, c, _ in terms)
    lone = all(len(m.readers[value]) == 1 for value in op.inputs)
    if len(kinds) != 1 or not (whole and lone) or any(c.act for _, c, _ in terms):
        return None
    first = terms[0][1]
    height = first.attributes["kernel"][0]
    width = sum(term.attributes["kernel"][1] for _, term, _ in terms)
    attributes = dict(first.attributes) | {
        "kernel": (height, width),
        "dilations": (1, 1),
        "split": True,
    }
    merged = replace(first, attributes=attributes, act=call.act)
    return merged, list(op.inputs)


def _hard_sigmoid(m: _Merger, op: PlanOp, call: Call, _: _Kernels) -> tuple[Call, list[int]] | None:
    """Recognise relu6(x + 3) / 6."""
    if op.kind != "MUL" or len(op.inputs) != 2 or call.act:
        return None
    factor, shifted = m.scalar(op.inputs[1]), m.lone(op.inputs[0], "ADD")
    if shifted is None or factor is None or abs(6 * factor - 1) > 1e-6:
        return None
    if m.scalar(shifted.inputs[-1]) != 3.0 or shifted.options["fusedActivationFunction"] != 3:
        return None
    return replace(call, kind="HardSigmoid"), [op.inputs[0]]
