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
from hwnat.targets.onnx.graph import open_onnx
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


def import_onnx(path: Path) -> Imported:
    """Read an ONNX file as a module.

    Raises:
        DataError: see `open_onnx`.
        UsageError: it holds what has no module here; every such node is named.
    """
    source = open_onnx(path)
    inputs = list(source.inputs.items())
    if len(inputs) != 1 or len(inputs[0][1][1]) != 4 or inputs[0][1][0] != 1:
        taken = ", ".join(f"{name} {shape}" for name, (_, shape) in inputs)
        msg = f"{path} takes {taken}; only one float32 batch of images can be written as TFLite."
        raise UsageError(msg + " Use a table of onnx or openvino.")
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
