"""A PyTorch module from an ONNX file, for networks that the TFLite writer supports.

Every node becomes modules and functions that carry its name, so that a written or traced operator
can be matched to its node. One error names all nodes that cannot be imported. Nothing is
approximated.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import fx

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.onnx.builder import ModuleBuilder, no_form
from hwnat.targets.onnx.graph import OnnxModel
from hwnat.targets.onnx.reader import DTYPES
from hwnat.targets.onnx.rules import RULES
from hwnat.targets.trace import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An imported network.

    Attributes:
        module: the module in evaluation mode; axes are in the order of the ONNX file. It returns
            a tuple if there are several outputs.
        examples: zeros of the shape and type of each input.
        names: name of a module or function -> name of its ONNX node.
        graph: nodes of the file.
        path: the ONNX file, for messages.
    """

    module: fx.GraphModule
    examples: tuple[torch.Tensor, ...]
    names: dict[str, str]
    graph: Graph
    path: Path

    @property
    def input_shape(self) -> Shape:
        """Shape of the input, NCHW.

        Raises:
            UsageError: the network does not take one batch of float images.
        """
        shapes = [tuple(example.shape) for example in self.examples]
        kinds = {example.dtype for example in self.examples}
        if len(shapes) != 1 or len(shapes[0]) != 4 or kinds != {torch.float32}:
            taken = ", ".join(f"{tuple(e.shape)} {e.dtype}" for e in self.examples)
            msg = (
                f"{self.path} takes {taken}; here only a model of one float32 batch of images can "
                "be written. Use target tflite in fp32, onnx or openvino."
            )
            raise UsageError(msg)
        batch, channels, height, width = shapes[0]
        return batch, channels, height, width

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
        DataError: a constant cannot be computed.
    """
    import onnx

    examples, refused = [], []
    for name, (number, shape) in source.inputs.items():
        kind = str(onnx.helper.tensor_dtype_to_np_dtype(number))
        if kind in DTYPES:
            examples.append(torch.zeros(shape, dtype=DTYPES[kind]))
        else:
            refused.append(f"input '{name:.80}' is {kind}; known are {', '.join(DTYPES)}")
    if refused:
        raise no_form(path, refused)
    builder = ModuleBuilder(source, RULES, path)
    builder.run()
    return Imported(
        module=builder.finish(),
        examples=tuple(examples),
        names=builder.names,
        graph=source.graph,
        path=path,
    )
