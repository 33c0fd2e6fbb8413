"""A fused operation or block, as a runtime executes it, and its canonical key."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Final, Literal, get_args

from hwnat.errors import DataError
from hwnat.records.kinds import (
    SAYS,
    SHORT,
    TEXT,
    Activation,
    BlockKind,
    DType,
    Kind,
    Mode,
    fields_of,
)

#: Parsed keys that are kept: those of a large file, and 100 MB of memory at most.
_KEYS: Final = 1 << 16

_SHAPE: Final = re.compile(r"[1-9]\d{0,5}(?:x[1-9]\d{0,5}){3}")
_SIZE: Final = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})")
_INTEGER: Final = re.compile(r"0|[1-9]\d{0,5}")
_FORM: Final = re.compile(r"[A-Za-z0-9-]{1,64}\.[0-9a-f]{16}")
#: Largest size in a key.
LARGEST: Final = 999_999


@dataclass(frozen=True, slots=True, kw_only=True)
class OpSpec:
    """A fused operation or block. Equal work has an equal key.

    Blocks, each with the layers that are fused into it:
        mbconv: inverted residual block; `mid_channels == in channels` means no expansion
            convolution; `se_channels` is the squeezed width, 0 for no squeeze-and-excitation.
        convpool: 1x1 convolution, batch norm, activation, global average pool.
        mix: 1x1 convolution without bias or batch norm on a 1x1 map, activation.
        projconv: mbconv whose shortcut holds a 1x1 convolution if the number of channels
            changes, after an average pool if the stride is above 1.
        tokenconv: projconv on a sequence of tokens, which is reshaped to a map and back.
        attention: self-attention over height x width tokens with a shortcut; `mid_channels` is
            the width of all values, `mode` the normalisation in front.
        feedforward: two linear layers with `mid_channels` between them, and a shortcut.
        tokenhead: 1x1 convolution of tokens to `mid_channels`, global average pool, 1x1
            convolution to `out_channels`, classifier.

    Operators. Batch norm and bias are folded in; the activation, a shortcut and further
    element-wise operations (the tail) are fused if the runtime fuses them:
        conv, dwconv, deconv: dense or grouped, depthwise, transposed convolution.
        linear: fully connected layer with bias along the last axis.
        matmul: product of two computed tensors, (h, w, c) by (h, c, out).
        pool, gpool: window and global pooling; `mode` is max or avg.
        add, mul: element-wise over `operands` tensors, one of them `broadcast` from 1x1.
        concat: concatenation of `operands` tensors to `out_channels`; `in_shape` is that of the
            widest.
        act, softmax, norm: activation, softmax or normalisation that was not fused; `mode` is
            the normalisation.
        resize: resize to `out_hw`.
        div: element-wise quotient, otherwise as add and mul.
        unary: element-wise function of one tensor; `mode` is the function.
        binary: element-wise function of `operands` tensors besides add, mul and div; `mode` is the
            function.
        reduce: reduction over some axes to `out_hw` and `out_channels`; `mode` is the function.
        gather: lookup of rows by index; `in_shape` is the shape of the result.
        cast: change of the data type to `weights`; quantisation and dequantisation too.
        sdpa: fused attention of (heads, tokens, channels) queries to `mid_channels` keys;
            `out_channels` is the width of a value.
        lstm, gru: recurrent layer of `out_channels` over a sequence of tokens, in `operands`
            directions.
        move: change of layout or padding: transpose, reshape with a copy, pad, slice, split,
            gather.
        opaque: any other kernel. It can be measured and looked up. It has no cost and no features,
            so it is never interpolated, estimated or transferred.

    Attributes:
        in_shape: (batch, height, width, channels), NHWC, all at least 1; a sequence of tokens
            is (batch, 1, tokens, channels).
        kernel: height of the window, and its width unless `kernel_w` is set.
        out_hw: height and width of the output, unless they are those of the input divided by the
            stride and rounded up.
        residual: whether a tensor is added to the output: the input of a block, or any other
            tensor of the same shape for an operator.
        stride_w, dilation_w: stride and dilation along the width, if they are not those along the
            height; 0 otherwise.
        weights: data type of the weights, if it is not `dtype`.
        tail: number of element-wise operations that are fused besides `act` and the shortcut.
        form: for `opaque`, the runtime's operators, a dot, and 16 hexadecimal digits of the
            SHA-256 of everything that determines the work. `in_shape` is that of the first
            computed input, with ones in front or the leading axes joined.
    """

    kind: Kind
    in_shape: tuple[int, int, int, int]
    out_channels: int = 0
    mid_channels: int = 0
    kernel: int = 1
    stride: int = 1
    act: Activation = "none"
    se_channels: int = 0
    residual: bool = False
    mode: Mode = "none"
    operands: int = 1
    groups: int = 1
    dilation: int = 1
    kernel_w: int = 0
    out_hw: tuple[int, int] | None = None
    broadcast: bool = False
    tail: int = 0
    stride_w: int = 0
    dilation_w: int = 0
    weights: DType | Literal[""] = ""
    form: str = ""
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        for wrong, what in self._problems():
            if wrong:
                msg = f"Operation {self.kind}: {what} is not possible."
                raise DataError(msg)

    def _problems(self) -> Iterator[tuple[bool, str]]:
        """Yield (is wrong, description); each check relies on the checks before it."""
        yield self.kind not in SAYS, f"unknown kind {self.kind!r}"
        shape = self.in_shape
        yield len(shape) != 4 or not 1 <= min(shape) <= max(shape) <= LARGEST, f"shape {shape}"
        yield self._needs("out_channels") and self.out_channels < 1, f"out {self.out_channels}"
        yield self.kind == "mix" and self.in_shape[1:3] != (1, 1), "a map over 1x1"
        block = self.kind in get_args(BlockKind)
        yield block and self.kernel not in (1, 3, 5, 7), f"kernel {self.kernel}"
        yield block and self.stride not in (1, 2), f"stride {self.stride}"
        sizes = (self.kernel, self.stride, self.operands, self.groups, self.dilation)
        yield not 1 <= min(sizes) <= max(sizes) <= LARGEST, f"sizes {sizes}"
        yield self.act not in get_args(Activation), f"activation {self.act!r}"
        yield self._needs("mid_channels") != (self.mid_channels > 0), f"mid {self.mid_channels}"
        widths = (self.kernel_w, self.stride_w, self.dilation_w)
        counts = (self.out_channels, self.mid_channels, self.se_channels, self.tail, *widths)
        yield not 0 <= min(counts) <= max(counts) <= LARGEST, f"counts {counts}"
        yield (
            block and self.residual and not self._keeps_shape,
            "a shortcut over a change of shape",
        )
        yield self.mode not in get_args(Mode), f"mode {self.mode!r}"
        yield self._needs("mode") and self.mode == "none", "no mode"
        yield self.kind == "act" and self.act == "none", "no activation"
        opaque = self.kind == "opaque" and not _FORM.fullmatch(self.form)
        yield opaque, f"form {self.form[:100]!r}"
        yield self.kind == "resize" and self.out_hw is None, "no output size"
        yield self.kernel_w == self.kernel, f"a square kernel written as {self.kernel_w} wide"
        yield self.stride_w == self.stride, f"an even stride written as {self.stride_w} wide"
        yield self.dilation_w == self.dilation, f"an even dilation of width {self.dilation_w}"
        yield self.weights not in ("", *get_args(DType)), f"weights {self.weights!r}"
        yield self.weights == self.dtype, f"weights of the same type {self.weights}"
        yield self._needs("weights") and not self.weights, "no data type of the result"
        channels, out = self.in_shape[3], self.out_channels
        yield bool(channels % self.groups or out % self.groups), f"{self.groups} groups"
        yield self.kind == "dwconv" and bool(out % channels), f"out {out} of {channels} channels"
        yield self.out_hw is not None and not self._says_size, f"output size {self.out_hw}"
        yield self.dtype not in get_args(DType), f"dtype {self.dtype!r}"
        stray = self._stray
        yield stray is not None, f"{stray} without meaning for this kind"

    def _needs(self, field: str) -> bool:
        return field in fields_of(self.kind)[0]

    @property
    def _keeps_shape(self) -> bool:
        out = self.out_channels or self.in_shape[3]
        return self.out_size == self.in_shape[1:3] and self.in_shape[3] == out

    @property
    def _default_size(self) -> tuple[int, int]:
        _, height, width, _ = self.in_shape
        across = self.stride_w or self.stride
        return (height - 1) // self.stride + 1, (width - 1) // across + 1

    @property
    def _says_size(self) -> bool:
        """Whether `out_hw` is possible and not the default, so that equal work has one key."""
        size = self.out_hw
        if size is None or len(size) != 2 or not 1 <= min(size) <= max(size) <= LARGEST:
            return False
        return self._needs("out_hw") or size != self._default_size

    @property
    def _stray(self) -> str | None:
        """A field that is set but is not part of the key, so that equal keys mean equal work."""
        return next((f for f in _silent(self.kind) if getattr(self, f) != _defaults()[f]), None)

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output: `out_hw`, or the input over the stride, rounded up."""
        if self.kind in ("convpool", "gpool", "tokenhead"):
            return 1, 1
        return self.out_hw or self._default_size

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """(batch, height, width, channels) of the output."""
        return (self.in_shape[0], *self.out_size, self.out_channels or self.in_shape[3])

    @property
    def key(self) -> str:
        """Canonical text of this operation.

        >>> OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10).key
        'linear|in=1x1x1x64|out=10|float32'
        >>> OpSpec(kind="conv", in_shape=(1, 8, 8, 4), out_channels=4, kernel=3, groups=2).key
        'conv|in=1x8x8x4|out=4|k=3|s=1|act=none|g=2|float32'
        """
        always, optional = fields_of(self.kind)
        parts = [self.kind, "in=" + "x".join(map(str, self.in_shape))]
        held = (*always, *(f for f in optional if getattr(self, f) != _defaults()[f]))
        parts += [f"{_SHORTENED[field]}={_print(getattr(self, field))}" for field in held]
        return "|".join([*parts, self.dtype])

    @classmethod
    @lru_cache(maxsize=_KEYS)
    def from_key(cls, key: str) -> "OpSpec":
        """Parse a canonical key; an import parses each of its keys several times.

        Raises:
            DataError: the text is not the canonical key of any operation.
        """
        kind, *rest = key.split("|")
        if kind not in SAYS or len(rest) < 2:
            msg = f"Not an operation key: {key[:120]!r}."
            raise DataError(msg)
        shape_text = rest[0].removeprefix("in=")
        if not _SHAPE.fullmatch(shape_text):
            msg = f"Operation key {key[:120]!r}: bad input shape {rest[0]!r}."
            raise DataError(msg)
        values = _parse_fields(kind, rest[1:-1], key=key[:120])
        shape = tuple(int(size) for size in shape_text.split("x"))
        spec = cls(kind=kind, in_shape=shape, dtype=rest[-1], **values)  # type: ignore[arg-type]
        if spec.key != key:
            msg = f"Operation key {key[:120]!r} is not canonical; write {spec.key!r}."
            raise DataError(msg)
        return spec


@cache
def _silent(kind: str) -> tuple[str, ...]:
    """Return the fields that are not part of the keys of a kind."""
    return tuple(sorted(_defaults().keys() - {*itertools.chain(*fields_of(kind))}))


_SHORTENED: Final = {field: short for short, field in SHORT.items()}


def _parse_fields(kind: str, parts: list[str], *, key: str) -> dict[str, object]:
    """Parse the fields between shape and data type; the canonical key checks their order."""
    always, optional = fields_of(kind)
    values: dict[str, object] = {}
    for index, part in enumerate(parts):
        short, _, text = part.partition("=")
        field = SHORT.get(short, "")
        expected = always[index] if index < len(always) else ""
        value = _parse(field, text)
        if value is None or (field != expected if expected else field not in optional):
            known = _SHORTENED[expected] if expected else " or ".join(SAYS[kind][1].split())
            msg = f"Operation key {key!r}: expected {known or 'the data type'}=…, found {part!r}."
            raise DataError(msg)
        values[field] = value
    if len(parts) < len(always):
        msg = f"Not an operation key: {key!r}; {_SHORTENED[always[len(parts)]]}=… is missing."
        raise DataError(msg)
    return values


def _parse(field: str, text: str) -> object:
    """Return the value of a field, or None if the text is not a value of this field."""
    if field in TEXT:
        return text
    if field == "out_hw":
        size = _SIZE.fullmatch(text)
        return (int(size[1]), int(size[2])) if size else None
    if not _INTEGER.fullmatch(text):
        return None
    return bool(int(text)) if field in ("residual", "broadcast") else int(text)


def _print(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(int(value) if isinstance(value, bool) else value)


@cache
def _defaults() -> dict[str, object]:
    return {f.name: f.default for f in fields(OpSpec) if f.name in _SHORTENED}
