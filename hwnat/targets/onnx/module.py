"""A PyTorch module from an ONNX file, for networks that the TFLite writer supports.

Every node becomes one module with the node's name, so that a written or traced operator can be
matched to its node. One error names all nodes that have no module. Nothing is approximated.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import fx

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.onnx.builder import ModuleBuilder
from hwnat.targets.onnx.graph import OnnxModel
from hwnat.targets.onnx.rules import RULES
from hwnat.targets.trace import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An imported network.

    Attributes:
        module: the module in evaluation mode; it takes and returns NCHW.
        input_shape: shape of the input, NCHW.
        names: name of a module -> name of its ONNX node.
        graph: nodes of the file.
    """

    module: fx.GraphModule
    input_shape: Shape
    names: dict[str, str]
    graph: Graph

    def node(self, name: str) -> str:
        """Return the name of a module's ONNX node."""
        return self.names.get(name, name)


def import_onnx(source: OnnxModel, path: Path) -> Imported:
    """Return an opened ONNX file as a module.

    Args:
        source: the result of `open_onnx`, which refuses damaged files before torch is loaded.
        path: path of the file, for messages.

    Raises:
        UsageError: some nodes have no module; the message names the first ones.
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
