"""The inputs of a model file: names, shapes and types, and random values that fit them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Layout, Shape
from hwnat.targets.trace import Node

#: Types of inputs that can be drawn, as NumPy names.
FLOATS: Final = frozenset({"float16", "float32", "float64"})
INTEGERS: Final = frozenset(
    {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
)
DRAWN: Final = FLOATS | INTEGERS | {"bool"}
#: Types whose whole range is drawn: pixels, and the numbers of quantised models.
_BYTES: Final = frozenset({"int8", "uint8"})
#: Operators whose integer result stays within the range of their operands.
_KEPT: Final = frozenset(
    {
        *("CAST", "CONCAT", "CONCATENATION", "CONVERT", "EXPAND", "EXPANDDIMS", "FLATTEN"),
        *("IDENTITY", "MAX", "MAXIMUM", "MIN", "MINIMUM", "PAD", "RESHAPE", "SLICE", "SPLIT"),
        *("SPLITV", "SQUEEZE", "STRIDEDSLICE", "TILE", "TRANSPOSE", "UNSQUEEZE", "WHERE"),
        *("SELECT", "SELECTV2", "BROADCAST", "BROADCASTTO", "VARIADICSPLIT", "PACK", "MUL"),
    }
)
#: Operators that shift or scale integers by amounts that are not followed.
_SHIFTED: Final = frozenset({"ADD", "SUB", "MULTIPLY"})
#: Number of inputs that a message lists.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input of a model file, in the file's own layout.

    Attributes:
        name: name of the input in the file.
        shape: its fixed shape; empty for a scalar.
        dtype: NumPy name of its type.
        low: least integer that it takes.
        high: exclusive upper bound of the integers that it takes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: int = 0
    high: int = 2

    def __str__(self) -> str:
        """Return the name, shape and type for messages."""
        return f"{self.name:.80} ({shown(self.shape)} {self.dtype})"


def tensor_spec(
    name: str, shape: Iterable[int], dtype: str, path: Path, *, high: int | None = None
) -> TensorSpec:
    """Return the record of an input.

    Args:
        name: name of the input.
        shape: fixed shape.
        dtype: NumPy name of the type, or the runtime's name if NumPy has none.
        path: the file, for messages.
        high: exclusive upper bound of integers, from what the file does with them; None draws
            any byte, and 0 or 1 for longer integers.

    Raises:
        DataError: values of the type cannot be drawn.
    """
    if dtype not in DRAWN:
        msg = (
            f"{path}: input '{name:.80}' takes {dtype} values, which cannot be drawn at random; "
            f"export it with one of: {', '.join(sorted(DRAWN))}."
        )
        raise DataError(msg)
    low, top = 0, 2 if high is None else max(1, high)
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        if high is None and dtype in _BYTES:
            low, top = int(limits.min), int(limits.max) + 1
        top = min(top, int(limits.max) + 1)
    return TensorSpec(name=name, shape=tuple(map(int, shape)), dtype=dtype, low=low, high=top)


def random_feed(
    signature: Sequence[TensorSpec], rng: np.random.Generator
) -> list[npt.NDArray[Any]]:
    """Draw one array for each input.

    Floats are standard normal, integers lie in their bounds, and booleans are fair.
    """
    return [_drawn(spec, rng) for spec in signature]


def _drawn(spec: TensorSpec, rng: np.random.Generator) -> npt.NDArray[Any]:
    if spec.dtype in FLOATS:
        dtype = np.float64 if spec.dtype == "float64" else np.float32
        return np.asarray(rng.standard_normal(spec.shape, dtype=dtype), dtype=spec.dtype)
    if spec.dtype == "bool":
        return np.asarray(rng.integers(0, 2, spec.shape), dtype=bool)
    return np.asarray(rng.integers(spec.low, spec.high, spec.shape, dtype=spec.dtype))


def check_feed(
    feed: Sequence[npt.NDArray[Any]], signature: Sequence[TensorSpec], path: Path
) -> list[npt.NDArray[Any]]:
    """Return arrays in row-major order that fit the inputs of a file.

    Raises:
        DataError: the number of arrays, a type or a shape does not fit.
    """
    if len(feed) != len(signature):
        listed = ", ".join(map(str, signature))
        msg = f"{path} has {len(signature)} inputs, {listed}; {len(feed)} arrays were given."
        raise DataError(msg)
    for array, spec in zip(feed, signature, strict=True):
        if array.dtype != spec.dtype or array.shape != spec.shape:
            msg = f"{path}: input {spec} was given {shown(array.shape)} {array.dtype}."
            raise DataError(msg)
    # `ascontiguousarray` would give a scalar an axis.
    return [np.asarray(array, order="C") for array in feed]


def image_shape(
    signature: Sequence[TensorSpec],
    path: Path,
    *,
    layout: Layout = "NCHW",
    types: Sequence[str] = ("float32",),
) -> Shape:
    """Return the shape of a file's only input, an image, as NCHW.

    Raises:
        DataError: the file has other inputs; the message names them.
    """
    first = signature[0] if len(signature) == 1 else None
    if first is None or len(first.shape) != 4 or first.dtype not in types:
        listed = ", ".join(map(str, signature)) or "none"
        msg = (
            f"{path} must have one 4-D {' or '.join(types)} input to be run on images; it has "
            f"{listed}. Export it again."
        )
        raise DataError(msg)
    batch, *sides = first.shape
    height, width, channels = sides if layout == "NHWC" else (*sides[1:], sides[0])
    return batch, channels, height, width


def shown(shape: Iterable[object]) -> str:
    """Return a shape as text, such as 1x3x48x192."""
    return "x".join(map(str, shape)) or "scalar"


def require_fixed_shapes(inputs: Mapping[str, Sequence[int | str | None]], path: Path) -> None:
    """Refuse inputs with dynamic shapes.

    Args:
        inputs: name of an input -> its sizes; a size that is not fixed is None, below 1 or a name.
        path: the file.

    Raises:
        DataError: a size is not fixed; the message has the option that fixes it.
    """
    open_ = {
        name: sizes
        for name, sizes in inputs.items()
        if not all(isinstance(size, int) and size > 0 for size in sizes)
    }
    if not open_:
        return
    few = list(open_.items())[:_SHOWN]
    listed = " and ".join(
        f"input '{name:.80}' has the dynamic shape {shown(_symbols(sizes)):.80}"
        for name, sizes in few
    )
    options = " ".join(f"--shape {name:.80}={shown(_example(sizes)):.80}" for name, sizes in few)
    msg = (
        f"{path}: {listed}; latency needs fixed shapes. Name the sizes that you deploy, for "
        f"example: {options}"
    )
    raise DataError(msg)


def _symbols(sizes: Sequence[int | str | None]) -> list[int | str | None]:
    """Return sizes with a question mark for those without a name."""
    return [size if isinstance(size, str) else "?" if (size or 0) < 1 else size for size in sizes]


def _example(sizes: Sequence[int | str | None]) -> list[int]:
    """Return plausible sizes for those that are not fixed."""
    usual = 224 if len(sizes) == 4 else 128
    channels = 3 if len(sizes) == 4 else usual
    guess = [1, channels, *[usual] * len(sizes)]
    return [
        size if isinstance(size, int) and size > 0 else guess[at] for at, size in enumerate(sizes)
    ]


def parse_shapes(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of options such as input=1x3x48x192, by the name of the input.

    A shape without a name is for the only input of a model, and has the name "".

    Raises:
        UsageError: a word is not a shape, or an input is named twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        sizes = text.lower().split("x")
        if not all(re.fullmatch("[1-9][0-9]{0,8}", size) for size in sizes):
            msg = (
                f"--shape {word:.80} is not a shape. Write the sizes with x between them after the "
                "name of the input: --shape input=1x3x224x224"
            )
            raise UsageError(msg)
        if name in shapes:
            msg = f"--shape has two shapes for input '{name:.80}'; leave one out."
            raise UsageError(msg)
        shapes[name] = tuple(map(int, sizes))
    return shapes


def named_shapes(
    shapes: Mapping[str, tuple[int, ...]],
    inputs: Mapping[str, Sequence[int | str | None]],
    path: Path,
) -> dict[str, tuple[int, ...]]:
    """Return shapes by the names of inputs; a lone input need not be named.

    Args:
        shapes: result of `parse_shapes`.
        inputs: name of an input -> its sizes, of which some are not fixed.
        path: the file.

    Raises:
        UsageError: the file has no such input, or it has another rank.
    """
    names = list(inputs)
    listed = ", ".join(f"{name:.80}" for name in names[:_SHOWN])
    named = {}
    for word, shape in shapes.items():
        name = word or (names[0] if len(names) == 1 else "")
        text = shown(shape)
        if name not in inputs:
            wrong = f"no input '{word:.80}'" if word else "several inputs"
            msg = (
                f"{path} has {wrong}; its inputs are {listed}. Name one of them: "
                f"--shape {names[0]:.80}={text:.80}"
            )
            raise UsageError(msg)
        if len(inputs[name]) != len(shape):
            msg = (
                f"{path}: --shape {name:.80}={text:.80} has {len(shape)} sizes, but the input has "
                f"{len(inputs[name])}: {shown(_symbols(inputs[name])):.80}."
            )
            raise UsageError(msg)
        named[name] = shape
    return named


def index_bounds(nodes: Sequence[Node], sizes: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return exclusive upper bounds of the values that index something.

    Args:
        nodes: all nodes in an order in which they can run.
        sizes: name of a node -> input that it reads as indices -> size of the indexed axis.

    Returns:
        Value -> least size of all axes that it indexes, also after casts, reshapes and joins. A
        value that is shifted before it is an index gets half the size.
    """
    bounds: dict[str, int] = {}
    for node in reversed(nodes):
        wanted = [bounds[value] for value in node.outputs if value in bounds]
        kind = node.kind.upper().replace("_", "")
        if wanted and (kind in _KEPT or kind in _SHIFTED):
            limit = min(wanted) if kind in _KEPT else max(1, min(wanted) // 2)
            for value in node.inputs:
                bounds[value] = min(limit, bounds.get(value, limit))
        for value, size in sizes.get(node.name, {}).items():
            bounds[value] = min(size, bounds.get(value, size))
    return bounds
