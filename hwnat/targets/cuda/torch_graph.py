"""The operators, arguments and names that the graph in a `torch.export` file may use.

Some of PyTorch's operators open files. The operators that our modules need are listed here, and
every other operator is refused. PyTorch also generates Python code with the names in the graph and
runs it, so a name must be an identifier.
"""

import json
import operator
import re
from collections.abc import Iterator
from typing import Any, Final

_AS_TEXT: Final = """
adaptive_avg_pool2d.default adaptive_max_pool2d.default add.Tensor add_.Tensor alias.default
avg_pool2d.default batch_norm.default cat.default chunk.default clamp.default clone.default
contiguous.default conv2d.default conv2d.padding conv_transpose2d.input div.Tensor dropout.default
elu.default elu_.default exp.default flatten.using_ints gelu.default group_norm.default
hardsigmoid.default hardsigmoid_.default hardswish.default hardswish_.default hardtanh.default
hardtanh_.default instance_norm.default layer_norm.default leaky_relu.default leaky_relu_.default
linear.default log_softmax.int matmul.default max_pool2d.default mean.dim mish.default
mish_.default mul.Tensor mul_.Tensor neg.default pad.default permute.default pow.Tensor_Scalar
prelu.default relu.default relu6.default relu6_.default relu_.default reshape.default
rms_norm.default scaled_dot_product_attention.default select.int sigmoid.default sigmoid_.default
silu.default silu_.default slice.Tensor softmax.int softplus.default split_with_sizes.default
sqrt.default squeeze.dim sub.Tensor sum.dim_IntList tanh.default tanh_.default transpose.int
unsqueeze.default upsample_bilinear2d.vec upsample_nearest2d.vec view.default
"""
_OPERATORS: Final = frozenset(f"aten.{name}" for name in _AS_TEXT.split())
#: Kinds of arguments that an operator may have; no graphs, objects, devices or file names.
_ARGUMENTS: Final = frozenset(
    f"as_{kind}"
    for kind in ("tensor", "tensors", "int", "ints", "float", "floats", "bool", "bools", "none")
)
#: Text arguments that select a mode.
_WORDS: Final = frozenset({"constant", "same", "valid", "none", "tanh"})
#: Names of values, and of parameters inside modules.
_NAME: Final = re.compile(r"[\w.]*", re.ASCII)
#: Contexts of input and output trees that are not names; any other context names arguments.
_CONTEXTS: Final = (None, "null", "[]")


def is_known(target: object) -> bool:
    """Whether the reader accepts the operator of an exported graph's node."""
    # A file does not store the selection of one of several results as an operator.
    return target is operator.getitem or str(target) in _OPERATORS


def why_refused(model: Any) -> str | None:  # noqa: ANN401 - JSON
    """Return what a graph in JSON contains that is not allowed; None if all of it is.

    Raises:
        LookupError, TypeError, AttributeError: the JSON is not a graph.
    """
    for node in model["graph_module"]["graph"]["nodes"]:
        target = str(node["target"])
        if not target.startswith("torch.ops.") or target[10:] not in _OPERATORS:
            return f"calls {target!r:.80}, which no model of hwnat needs"
        for given in node["inputs"]:
            for kind, value in given["arg"].items():
                if kind not in _ARGUMENTS and not (kind == "as_string" and value in _WORDS):
                    return f"gives {target} {kind} {value!r:.80}, which no model of hwnat needs"
    odd = next((name for name in _names(model) if not _NAME.fullmatch(str(name))), None)
    return None if odd is None else f"has {odd!r:.80} for a name"


def _names(model: Any) -> Iterator[object]:  # noqa: ANN401
    """Yield every value that becomes a name in the Python code that PyTorch generates."""
    for key, value in items(model["graph_module"]):
        if key == "name" or key.endswith("_name") or key == "fqn":
            yield value
        elif key == "forward_arg_names":
            yield from value or ()
        elif key in ("in_spec", "out_spec"):
            contexts = (context for name, context in items(json.loads(value)) if name == "context")
            yield from (context for context in contexts if context not in _CONTEXTS)


def items(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield every key of nested JSON with its value, at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
