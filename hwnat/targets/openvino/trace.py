"""The kernels that OpenVINO's CPU plug-in executes: its executable graph with counters.

Each node of that graph reports the model's nodes that it was made from, its layout and its kernel.
Attributes such as strides come from the model.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnat.records.op import OpSpec
from hwnat.targets.base import require_file
from hwnat.targets.kernel import ACTIVATIONS, Call, opaque, to_op
from hwnat.targets.limits import reading
from hwnat.targets.onnx.graph import open_onnx
from hwnat.targets.openvino.graph import (
    ELEMENTWISE,
    LAYERS,
    ONNX,
    TYPES,
    Layer,
    graph_of,
    parts_of,
    require_fixed,
    tail_of,
    written_out,
)
from hwnat.targets.openvino.session import core, cpu_config
from hwnat.targets.profiled import Runs, profiled_ns
from hwnat.targets.trace import Graph, Removed, Trace, TracedOp

#: Layers that pass on their input's memory, unless the counters show that they take time.
_IN_PLACE: Final = frozenset({"Reorder", "Split", "Concatenation", "StridedSlice"})
_VIEWS: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_NAMED_BY_KIND: Final = re.compile(r"([A-Za-z]+)_\d+(?:/.*)?")
#: Operators that attention has at least: two products and a softmax.
_ATTENTION: Final = 3
#: Constants of integers up to this size, such as axes and pads, determine the work.
_SMALL: Final = 16
_STEPS: Final = 8


def trace_openvino(path: Path, *, runtime: str) -> Trace:
    """Compile a model as it is timed, run it, and describe every kernel that ran.

    Args:
        path: an OpenVINO .xml file or an ONNX file.
        runtime: name and version of the runtime.

    Raises:
        DataError: see `Target.trace`.
    """
    source = open_onnx(path, weights=False) if path.suffix == ".onnx" else None
    if source is None:
        require_file(path.with_suffix(".bin"), "OpenVINO weights")
        require_file(path, "OpenVINO")
    with reading(path, "OpenVINO"):
        model = core().read_model(path)
        require_fixed(model, path)
        compiled = core().compile_model(model, "CPU", cpu_config(1) | {"PERF_COUNT": True})
        request = compiled.create_infer_request()
        runs, readings = Runs(), list[dict[str, int]]()
        feed = [np.zeros(value.shape, value.element_type.to_dtype()) for value in model.inputs]
        while runs.again():
            request.infer(feed)
            readings.append(_microseconds(request))
        times = _mean_ns(readings[Runs.WARMUP - 1 :])
    joined = _Reading(
        model=model,
        graph=source.graph if source else graph_of(model),
        times=times,
        batch=int(model.inputs[0].shape[0]) if len(model.inputs[0].shape) > 1 else 1,
    )
    return joined.trace(compiled.get_runtime_model(), runtime)


def _microseconds(request: Any) -> dict[str, int]:  # noqa: ANN401
    """Return the mean duration of each layer over all runs so far."""
    return {
        record.node_name: round(record.real_time.total_seconds() * 1e6)
        for record in request.get_profiling_info()
    }


def _mean_ns(readings: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Return the mean durations of the layers, from readings before and after each counted run.

    The counters hold the mean over all runs since the warm-up began, cut to whole microseconds, so
    half of one is added. The duration of a run is the growth of the sum.
    """
    last = Runs.WARMUP + len(readings) - 1
    means = {}
    for name, mean in readings[-1].items():
        sums = [
            1000 * (Runs.WARMUP + count) * (reading.get(name, 0) + 0.5)
            for count, reading in enumerate(readings)
        ]
        grown = [after - before for before, after in pairwise(sums)]
        means[name] = max(0.0, profiled_ns(grown, error_ns=1000 * last)) if mean else 0.0
    return means


def _attends(kinds: Sequence[str], computed: Sequence[tuple[int, ...]]) -> bool:
    """Whether a kernel of several operators is attention of queries, keys and values."""
    known = {"Softmax", "MatMul"} <= {*kinds} <= {"Softmax", "MatMul", "Transpose"}
    return known and len(computed) >= 3 and all(len(shape) == 4 for shape in computed[:3])


class _Reading:
    """Joins the executable graph, the model and the file."""

    def __init__(
        self,
        *,
        model: Any,  # noqa: ANN401
        graph: Graph,
        times: Mapping[str, float],
        batch: int,
    ) -> None:
        self.graph, self.times, self.batch = graph, times, batch
        self.model = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
        self.constants: set[str] = set()
        self.types: dict[str, str] = {}

    def trace(self, executable: Any, runtime: str) -> Trace:  # noqa: ANN401
        """Describe every node of the executable graph that computes a value."""
        every = [self._layer(node) for node in executable.get_ordered_ops()]
        layers = [layer for layer in every if layer is not None and layer.inputs]
        anchors = {index: self._anchors(layer) for index, layer in enumerate(layers)}
        groups = self.graph.group(self._followed(anchors))
        ops, views = [], []
        for index, layer in enumerate(layers):
            took = self.times.get(layer.name, 0)
            if layer.kind in _VIEWS or (layer.kind in _IN_PLACE and took == 0):
                why = "another view of the same data"
                nodes = [self.graph.by_name[name] for name in groups[index]]
                views += [Removed(node=node.name, kind=node.kind, why=why) for node in nodes]
                continue
            op, reason = self._describe(layer, groups[index])
            ops.append(
                TracedOp(
                    op=op,
                    reason=reason,
                    nodes=groups[index],
                    kernel=f"{layer.kind} {layer.kernel}",
                    profile_ns=took,
                )
            )
        executed = {name for names in groups.values() for name in names}
        return Trace(
            target="openvino",
            runtime=runtime,
            batch=self.batch,
            ops=tuple(ops),
            removed=(*views, *self.graph.removed(executed)),
        )

    def _followed(self, anchors: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
        """Add element-wise nodes that no layer names to the layer that computes their operands.

        The plug-in drops their names where it fuses several of them into one activation.
        """
        owner = {name: layer for layer, names in reversed(list(anchors.items())) for name in names}
        groups = {layer: list(names) for layer, names in anchors.items()}
        for node in self.graph.nodes:
            computed = [value for value in node.inputs if value not in self.graph.constants]
            makers = [self.graph.producer.get(value) for value in computed]
            owners = {owner.get(maker.name) if maker else None for maker in makers}
            if self.graph.folded(node) is not None:
                continue
            loose = node.name not in owner and ONNX.get(node.kind, node.kind) in ELEMENTWISE
            if loose and len(owners) == 1 and (layer := owners.pop()) is not None:
                owner[node.name] = layer
                groups[layer].append(node.name)
        return groups

    def _layer(self, node: Any) -> Layer | None:  # noqa: ANN401
        info = {
            name: str(getattr(value, "value", value)) for name, value in node.get_rt_info().items()
        }
        name, kind = node.get_friendly_name(), info.get("layerType", node.get_type_name())
        sources = [port.get_source_output() for port in node.inputs()]
        names = [source.get_node().get_friendly_name() for source in sources]
        precision = info.get("outputPrecisions", "f32").split(",")[0]
        self.types[name] = TYPES.get(precision, precision)
        if kind == "Const" or (names and all(operand in self.constants for operand in names)):
            self.constants.add(name)
            return None
        if kind in ("Input", "Output"):
            return None
        return Layer(
            name=name,
            kind=kind,
            kernel=info.get("primitiveType", ""),
            types=tuple(self.types.get(operand, "other") for operand in (*names, name)),
            parts=parts_of(info.get("originalLayersNames", ""), self.model),
            inputs=tuple(
                (operand, tuple(map(int, source.get_shape())))
                for operand, source in zip(names, sources, strict=True)
            ),
            output=tuple(map(int, node.output(0).get_shape())),
        )

    def _anchors(self, layer: Layer) -> list[str]:
        """Return the file's nodes that a layer was made from."""
        names = []
        for part in layer.parts:
            node = self._file_node(part)
            if node is not None and node not in names:
                names.append(node)
        return names

    def _file_node(self, part: str) -> str | None:
        """Return the file's node that a node of the model belongs to; None if there is none."""
        at = self.model.get(part)
        for _ in range(_STEPS):
            name = part.removesuffix("/WithoutBiases")
            if name in self.graph.by_name:
                return name
            if name in self.graph.producer:
                return self.graph.producer[name].name
            readers = [] if at is None else at.output(0).get_target_inputs()
            if len(readers) != 1:
                return None
            at = next(iter(readers)).get_node()
            part = at.get_friendly_name()
        return None

    def _kind(self, part: str) -> str:
        """Return the ONNX operator of a part; the plug-in names parts that it adds by kind."""
        node = self.model.get(part)
        named = _NAMED_BY_KIND.fullmatch(part)
        kind = node.get_type_name() if node is not None else named[1] if named else ""
        return ONNX.get(kind, kind)

    def _describe(self, layer: Layer, group: tuple[str, ...]) -> tuple[OpSpec, str]:
        """Return the operation of a layer, and why it is opaque; the reason may be empty."""
        parts = [(part, self._kind(part)) for part in layer.parts]
        parts = written_out(parts, {self.graph.by_name[name].kind for name in group})
        loose = [(part, kind) for part, kind in parts if kind in ELEMENTWISE]
        heavy = [(part, kind) for part, kind in parts if kind not in ELEMENTWISE]
        several = len(heavy) > 1
        computed = [shape for name, shape in layer.inputs if name not in self.constants]
        attends = several and _attends([kind for _, kind in heavy], computed)
        if attends:
            layer = replace(layer, kind="ScaledDotProductAttention")
        kind = LAYERS.get(layer.kind) or (heavy[0][1] if heavy else "")
        if not kind:
            arithmetic = [part for part in loose if part[1] not in ACTIVATIONS]
            main = (arithmetic or loose or [("", layer.kind)])[0]
            loose, kind = [part for part in loose if part != main], main[1]
            heavy = [main]
        stored = [shape for name, shape in layer.inputs[1:2] if name in self.constants]
        rooted = kind in ("Conv", "ConvTranspose", "Gemm") and bool(stored)
        acts = [operator for _, operator in loose if operator in ACTIVATIONS]
        if layer.kind == "MVN" and not self._over_channels(heavy, computed):
            kind = "InstanceNormalization"
        attributes = self._attributes(heavy[0][0] if heavy else "", kind, stored)
        if kind in ("LSTM", "GRU"):  # the plug-in splits both directions, and the batch comes first
            attributes = {"hidden_size": layer.output[-1], "layout": 1}
        call = Call(
            kind=kind,
            inputs=tuple(computed[:1] if rooted else computed),
            output=layer.output,
            batch=self.batch,
            attributes=attributes,
            weight=stored[0] if stored and rooted else None,
            act=acts[0] if acts else "",
            residual=rooted and len(computed) > 1,
            tail=tail_of([kind for _, kind in loose], rooted=rooted, sums=len(computed) - 1),
            dtype=self._dtype(layer),
            weights=layer.types[1] if rooted and "int" in layer.types[1] else "",
            out_dtype=layer.types[-1],
            label="-".join(kind for _, kind in parts) or layer.kind,
            detail=self._detail(layer),
        )
        if attends:
            return to_op(replace(call, tail=len(parts) - _ATTENTION))
        if several:
            parts_text = ", ".join(layer.parts)
            return opaque(call), f"OpenVINO computes {parts_text} in one kernel, which has no key"
        return to_op(call)

    def _over_channels(self, heavy: list[tuple[str, str]], shapes: list[tuple[int, ...]]) -> bool:
        """Whether a normalisation is over the last axis, as that of a layer is."""
        node = self.model.get(heavy[0][0]) if heavy else None  # the file may spell it out
        if node is None or node.get_input_size() < 2 or not shapes:
            return True
        axes = node.input(1).get_source_output().get_node()
        if not hasattr(axes, "get_data"):
            return True
        rank = len(shapes[0])
        return {int(axis) % rank for axis in axes.get_data().ravel()} == {rank - 1}

    def _dtype(self, layer: Layer) -> str:
        """Return the type in which a kernel computes, which is not that of stored weights."""
        computed = [
            kind
            for (name, _), kind in zip(layer.inputs, layer.types, strict=False)
            if name not in self.constants
        ]
        first = computed[0] if computed else layer.types[-1]
        suffix = layer.kernel.rpartition("_")[2]
        return TYPES[suffix] if suffix in ("f32", "f16", "bf16") else first

    def _detail(self, layer: Layer) -> tuple[str, ...]:
        """Return the operators, attributes, operands and small integers of a kernel."""
        lines = [layer.kind, f"{layer.types} {layer.output}"]
        lines += [
            f"{shape} {'stored' if name in self.constants else 'computed'}"
            for name, shape in layer.inputs
        ]
        for node in (self.model[part] for part in layer.parts if part in self.model):
            attributes = sorted((name, str(said)) for name, said in node.get_attributes().items())
            lines.append(f"{node.get_type_name()} {attributes}")
            for port in node.inputs():
                source = port.get_source_output().get_node()
                small = source.get_type_name() == "Constant" and prod(port.get_shape()) <= _SMALL
                if small and port.get_element_type().is_integral():
                    lines.append(f"{source.get_data().ravel().tolist()}")
        return tuple(lines)

    def _attributes(self, part: str, kind: str, stored: list[tuple[int, ...]]) -> dict[str, Any]:
        node = self.model.get(part)
        if node is None:
            return {}
        attributes = dict(node.get_attributes())
        weight = stored[0] if stored else ()
        if kind == "Conv" and weight:
            spread = len(weight) - len(node.output(0).get_shape())  # a leading axis of groups
            attributes |= {"kernel": weight[2 + spread :], "group": weight[0] if spread else 1}
        elif kind in ("MaxPool", "AveragePool"):
            attributes["kernel"] = attributes.get("kernel", ())
        elif kind.startswith("Reduce"):
            axes = node.input(1).get_source_output().get_node()
            shape = node.output(0).get_shape()
            # For a global pool, the ONNX reader computes the axes instead of storing them.
            known = hasattr(axes, "get_data")
            attributes["axes"] = axes.get_data().ravel().tolist() if known else range(2, len(shape))
        return attributes
