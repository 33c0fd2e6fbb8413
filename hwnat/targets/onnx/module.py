"""A PyTorch module from an ONNX file, for the family of networks that the TFLite writer knows.

Every node becomes one module under the node's own name, so that what is written and traced can be
told by it. What has no module here is refused, all of it at once and by name; nothing is
approximated.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import fx

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.onnx.builder import ModuleBuilder
from hwnat.targets.onnx.graph import OnnxGraph
from hwnat.targets.onnx.rules import RULES
from hwnat.targets.trace import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An imported network.

    Attributes:
        module: in evaluation mode; takes and returns NCHW.
        names: name of a module -> name of the node it stands for.
        graph: the file's.
    """

    module: fx.GraphModule
    input_shape: Shape
    names: dict[str, str]
    graph: Graph

    def node(self, name: str) -> str:
        """Return the ONNX node of a module's name."""
        return self.names.get(name, name)


def import_onnx(source: OnnxGraph, path: Path) -> Imported:
    """Return an opened ONNX file as a module.

    Args:
        source: what `open_onnx` returned; it refuses damaged files before torch is loaded.
        path: of the file, for messages.

    Raises:
        UsageError: it holds what has no module here; every such node is named.
    """
    inputs = list(source.inputs.items())
    if len(inputs) != 1 or len(inputs[0][1][1]) != 4 or inputs[0][1][0] != 1:
        taken = ", ".join(f"{name} {shape}" for name, (_, shape) in inputs)
        msg = (
            f"{path} takes {taken}; only a model of one float32 batch of images can be written as "
            "TFLite. Use a table of onnx or openvino."
        )
        raise UsageError(msg)
    outputs = [value.name for value in source.model.graph.output]
    if len(outputs) != 1:
        msg = (
            f"{path} has the outputs {', '.join(outputs):.200}; only a model with one can be "
            "written as TFLite. Export it with one output, or use a table of onnx or openvino."
        )
        raise UsageError(msg)
    builder = ModuleBuilder(source, RULES)
    name, (_, shape) = inputs[0]
    builder.run(name, path)
    batch, channels, height, width = shape
    return Imported(
        module=builder.finish(),
        input_shape=(batch, channels, height, width),
        names=builder.names,
        graph=source.graph,
    )
