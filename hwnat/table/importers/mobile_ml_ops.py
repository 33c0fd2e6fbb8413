"""Convert a row of mobile-ml-benchmark's operator file to the operation it describes."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec

#: A feature cell is a dictionary of numbers and quoted words, as Python prints it.
_ITEM: Final = r"'[A-Za-z_]+': (?:'[^'{}]{0,40}'|\d{1,12})"
_FEATURE: Final = re.compile(rf"\{{{_ITEM}(?:, {_ITEM})*\}}", re.ASCII)
_PAIR: Final = re.compile(r"'([A-Za-z_]+)': '?([^'{},]*)'?")
_INTEGER: Final = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_LINK: Final = re.compile(r"linked_:_([a-z_]+)_\d+")
_ACTIVATIONS: Final[Mapping[str, Activation]] = {
    "relu": "relu",
    "hard_swish": "hswish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
_Size = Callable[[str], int]
_Fields = dict[str, Any]


def described(
    operation: str, feature: str, kernels: Sequence[str], *, where: str
) -> tuple[OpSpec | None, str]:
    """Return the operation that a row describes, or None and why it has no key.

    A kernel that computes its activation itself does not name it. The activations belong to the
    graph and not to a phone, so the longest list that any phone's kernel names is used.

    Raises:
        DataError: the sizes are damaged or impossible; the message names `where`.
    """
    sizes = _sizes(feature, where=where)

    def size(name: str) -> int:
        if not _INTEGER.fullmatch(sizes.get(name, "")):
            msg = f"{where}: {name} of {operation} is {sizes.get(name)!r}, not a positive integer."
            raise DataError(msg)
        return int(sizes[name])

    make = _MAKERS.get(operation)
    if make is None:
        return None, f"operation {operation} has no key"
    tail = max(map(_LINK.findall, kernels), key=len)
    acts = [_ACTIVATIONS[name] for name in tail if name in _ACTIVATIONS]
    try:
        act = acts[0] if acts else "none"
        return OpSpec(**make(size), act=act, tail=len(tail) - bool(acts)), ""
    except DataError as refused:
        msg = f"{where}: {refused}"
        raise DataError(msg) from refused


def _sizes(cell: str, *, where: str) -> dict[str, str]:
    """Parse a feature cell into name -> value."""
    if not _FEATURE.fullmatch(cell):
        msg = f"{where}: {cell!r:.80} is not a set of named sizes."
        raise DataError(msg)
    pairs = _PAIR.findall(cell)
    if len(dict(pairs)) != len(pairs):
        msg = f"{where}: a size stands there twice in {cell!r:.80}."
        raise DataError(msg)
    return dict(pairs)


def _square(size: _Size) -> _Fields:
    side = size("Input_shape")
    return {"in_shape": (1, side, side, size("Input_channel"))}


def _windowed(size: _Size) -> _Fields:
    """Return the fields of a window over a square map; padding is a separate operation."""
    fields = _square(size) | {"kernel": size("Kernel"), "stride": size("Stride")}
    side, out = size("Input_shape"), size("Output_shape")
    if (side - 1) // fields["stride"] + 1 != out:
        fields["out_hw"] = (out, out)
    return fields


def _conv(size: _Size) -> _Fields:
    return _windowed(size) | {
        "kind": "conv",
        "out_channels": size("Filter"),
        "groups": size("Group"),
    }


def _dwconv(size: _Size) -> _Fields:
    # `Filter` is the depth multiplier here.
    out = size("Input_channel") * size("Filter")
    return _windowed(size) | {"kind": "dwconv", "out_channels": out}


def _linear(size: _Size) -> _Fields:
    return {
        "kind": "linear",
        "in_shape": (1, 1, 1, size("Input_channel")),
        "out_channels": size("Filter"),
    }


def _concat(size: _Size) -> _Fields:
    """Return a concatenation; with three or more inputs the file has only the first width."""
    first, out, operands = size("Input_channel"), size("Filter"), size("Kernel")
    widest = max(first, out - first) if operands == 2 else first
    side = size("Input_shape")
    shape = (1, side, side, widest)
    return {"kind": "concat", "in_shape": shape, "out_channels": out, "operands": operands}


_MAKERS: Final[Mapping[str, Callable[[_Size], _Fields]]] = {
    "CONV_2D": _conv,
    "CONV_2D_GROUP": _conv,
    "DEPTHWISE_CONV_2D": _dwconv,
    "FULLY_CONNECTED": _linear,
    "MEAN": lambda size: _square(size) | {"kind": "gpool", "mode": "avg"},
    "MAX_POOL_2D": lambda size: _windowed(size) | {"kind": "pool", "mode": "max"},
    "AVERAGE_POOL_2D": lambda size: _windowed(size) | {"kind": "pool", "mode": "avg"},
    "CONCATENATION": _concat,
}
