"""The grammar of operation keys: the kinds of operations, and the fields in the key of each."""

from functools import cache
from typing import Final, Literal

BlockKind = Literal[
    "mbconv", "convpool", "mix", "projconv", "tokenconv", "attention", "feedforward", "tokenhead"
]
OperatorKind = Literal[
    "conv",
    "dwconv",
    "deconv",
    "linear",
    "matmul",
    "pool",
    "gpool",
    "add",
    "mul",
    "concat",
    "act",
    "softmax",
    "norm",
    "resize",
    "move",
    "opaque",
]
Kind = Literal[BlockKind, OperatorKind]
Activation = Literal[
    "none",
    "relu",
    "relu6",
    "leakyrelu",
    "prelu",
    "elu",
    "hswish",
    "hsigmoid",
    "swish",
    "sigmoid",
    "tanh",
    "gelu",
    "mish",
]
Mode = Literal["none", "max", "avg", "layer", "rms", "group", "instance", "batch"]
DType = Literal[
    "float32",
    "float16",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
    "float64",
    "bfloat16",
    "other",
]

#: Short name in a key -> field of `OpSpec`. Fields appear in a key in this order.
SHORT: Final[dict[str, str]] = {
    "mid": "mid_channels",
    "out": "out_channels",
    "k": "kernel",
    "s": "stride",
    "act": "act",
    "se": "se_channels",
    "skip": "residual",
    "op": "mode",
    "n": "operands",
    "g": "groups",
    "d": "dilation",
    "kw": "kernel_w",
    "o": "out_hw",
    "bc": "broadcast",
    "t": "tail",
    "f": "form",
}
#: Kind -> fields that its key always holds, and fields that it holds if they are not the default.
SAYS: Final[dict[str, tuple[str, str]]] = {
    "mbconv": ("mid out k s act se skip", ""),
    "convpool": ("out act", ""),
    "mix": ("out act", ""),
    "projconv": ("mid out k s act se", ""),
    "tokenconv": ("mid out k s act se", ""),
    "attention": ("mid act op", ""),
    "feedforward": ("mid act op", ""),
    "tokenhead": ("mid out act", ""),
    "conv": ("out k s act", "skip g d kw o t"),
    "dwconv": ("out k s act", "skip d kw o t"),
    "deconv": ("out k s act", "g d kw o t"),
    "linear": ("out", "act skip t"),
    "matmul": ("out", "act skip t"),
    "pool": ("k s op", "act kw o t"),
    "gpool": ("op", "act t"),
    "add": ("act n", "bc t"),
    "mul": ("act n", "bc t"),
    "concat": ("out n", "act t"),
    "act": ("act", "t"),
    "softmax": ("", ""),
    "norm": ("op", "act skip t"),
    "resize": ("o", "act t"),
    "move": ("", "out o"),
    "opaque": ("f", ""),
}
#: Fields whose value is text.
TEXT: Final = frozenset({"act", "mode", "form"})


@cache
def fields_of(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields that the key of a kind always holds, and those it holds if they are set."""
    always, optional = SAYS.get(kind, ("", ""))
    return tuple(SHORT[s] for s in always.split()), tuple(SHORT[s] for s in optional.split())
