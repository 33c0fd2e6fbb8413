"""A TFLite file from a PyTorch module, in NHWC throughout and so without transposes.

The module is traced with torch.fx and batch norms are folded. Each remaining module becomes one or
more operators of version 1, which every runtime in use loads. A module that `RULES` does not list
is refused by name; the writer never approximates. fp32 only.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.tflite.lowering import Lowering, module_of
from hwnat.targets.tflite.rules import RULES


def write_tflite(
    module: nn.Module,
    examples: Shape | Sequence[torch.Tensor],
    path: Path,
    *,
    split_depthwise: bool = True,
) -> dict[str, int]:
    """Write `module`, which is in evaluation mode, for fixed shapes; return its counts.

    Args:
        module: the module to write; it is not changed.
        examples: the shape (batch, channels, height, width) of its only input, an image, or one
            tensor for each input.
        path: the file to write.
        split_depthwise: write a depthwise convolution with too many taps for XNNPACK's fast
            kernels as a sum of dilated convolutions over parts of its columns.

    Raises:
        UsageError: the module cannot be traced, or the writer does not support part of it.
    """
    content, origins = lower(module, examples, split_depthwise=split_depthwise)
    path.write_bytes(content)
    kinds = [kind for kind, _ in origins]
    return {"operators": len(kinds), "transposes": kinds.count("TRANSPOSE")}


def lower(
    module: nn.Module, examples: Shape | Sequence[torch.Tensor], *, split_depthwise: bool = True
) -> tuple[bytes, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return a file's content and, for each of its operators, (kind, places in the module).

    Raises:
        UsageError: see `write_tflite`.
    """
    lowering = Lowering(_trace(module, examples), RULES, split=split_depthwise)
    content = lowering.run()
    places = map(tuple, lowering.places)
    return content, tuple(zip(lowering.file.kinds, places, strict=True))


def _trace(module: nn.Module, examples: Shape | Sequence[torch.Tensor]) -> fx.GraphModule:
    """Trace, record the shape of every node, fold batch norms and remove identities."""
    from torch.fx.passes.shape_prop import ShapeProp

    given = [e for e in examples if isinstance(e, torch.Tensor)]
    given = given or [torch.zeros([size for size in examples if isinstance(size, int)])]
    try:
        if isinstance(module, fx.GraphModule):  # the caller relies on its names
            traced = copy.deepcopy(module)
        else:
            # The tracer traces into its root, even if a rule covers the root's type.
            traced = fx.symbolic_trace(nn.Sequential(module) if type(module) in RULES else module)
        with torch.no_grad():
            ShapeProp(traced).propagate(*given)
    except (fx.proxy.TraceError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        shapes = ", ".join(str(tuple(example.shape)) for example in given)
        msg = f"No TFLite file of {type(module).__name__} for input {shapes}: {reason}"
        raise UsageError(msg) from error
    calls = Counter(node.target for node in traced.graph.nodes)
    for node in list(traced.graph.nodes):
        part = module_of(traced, node)
        if type(part) is nn.BatchNorm2d:
            source = node.args[0]
            conv = module_of(traced, source)
            alone = len(source.users) == calls[source.target] == 1
            if type(conv) is not nn.Conv2d or not alone or part.running_mean is None:
                continue  # its own rule writes or refuses it
            traced.set_submodule(source.target, fuse_conv_bn_eval(conv, part))
        elif not isinstance(part, nn.Identity | nn.modules.dropout._DropoutNd):
            continue
        node.replace_all_uses_with(node.args[0])
        traced.graph.erase_node(node)
    return traced
