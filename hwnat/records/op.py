"""One fused operation or block, as a runtime will see it, and its canonical key."""

import re
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Final, Literal, get_args

from hwnat.errors import DataError

Kind = Literal["conv", "mbconv", "convpool", "mix", "linear"]
Activation = Literal["none", "relu", "hswish", "mish"]
DType = Literal["float32", "float16", "int8"]

#: What each kind says in its key after the input shape, in this order: (short name, field).
_KEY_FIELDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "conv": (("out", "out_channels"), ("k", "kernel"), ("s", "stride"), ("act", "act")),
    "mbconv": (
        ("mid", "mid_channels"),
        ("out", "out_channels"),
        ("k", "kernel"),
        ("s", "stride"),
        ("act", "act"),
        ("se", "se_channels"),
        ("skip", "residual"),
    ),
    "convpool": (("out", "out_channels"), ("act", "act")),
    "mix": (("out", "out_channels"), ("act", "act")),
    "linear": (("out", "out_channels"),),
}
_SHAPE: Final = re.compile(r"[1-9]\d{0,5}(?:x[1-9]\d{0,5}){3}")
_INTEGER: Final = re.compile(r"0|[1-9]\d{0,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpSpec:
    """A fused operation or block at batch `in_shape[0]`; equal work has an equal key.

    Kinds, each with what is fused into it:
        conv: k x k convolution, batch norm, activation.
        mbconv: inverted residual block; `mid_channels == in channels` means no expansion
            convolution; `se_channels` is the squeezed width, 0 for no squeeze-and-excitation.
        convpool: 1x1 convolution, batch norm, activation, global average pool.
        mix: 1x1 convolution without bias or batch norm on a 1x1 map, activation.
        linear: fully connected layer with bias on a 1x1 map.

    Attributes:
        in_shape: (batch, height, width, channels), NHWC, all at least 1.
    """

    kind: Kind
    in_shape: tuple[int, int, int, int]
    out_channels: int
    mid_channels: int = 0
    kernel: int = 1
    stride: int = 1
    act: Activation = "none"
    se_channels: int = 0
    residual: bool = False
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        problems = [
            (self.kind not in _KEY_FIELDS, f"unknown kind {self.kind!r}"),
            (len(self.in_shape) != 4 or min(self.in_shape) < 1, f"shape {self.in_shape}"),
            (self.out_channels < 1, f"out channels {self.out_channels}"),
            (self.kind in ("mix", "linear") and self.in_shape[1:3] != (1, 1), "a map over 1x1"),
            (self.kernel not in (1, 3, 5, 7), f"kernel {self.kernel}"),
            (self.stride not in (1, 2), f"stride {self.stride}"),
            (self.act not in get_args(Activation), f"activation {self.act!r}"),
            ((self.kind == "mbconv") != (self.mid_channels > 0), f"mid {self.mid_channels}"),
            (self.se_channels < 0, f"se {self.se_channels}"),
            (self.residual and not self._keeps_shape, "a shortcut over a change of shape"),
            (self.dtype not in get_args(DType), f"dtype {self.dtype!r}"),
            (self._stray is not None, f"{self._stray} without meaning for this kind"),
        ]
        for wrong, what in problems:
            if wrong:
                msg = f"Operation {self.kind}: {what} is not possible."
                raise DataError(msg)

    @property
    def _keeps_shape(self) -> bool:
        return self.stride == 1 and self.in_shape[3] == self.out_channels

    @property
    def _stray(self) -> str | None:
        """A field that is set although the key is silent on it: equal keys mean equal work."""
        return next((f for f, unset in _silent(self.kind) if getattr(self, f) != unset), None)

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output; padding is kernel // 2, so a stride rounds up."""
        if self.kind == "convpool":
            return 1, 1
        _, height, width, _ = self.in_shape
        return (height - 1) // self.stride + 1, (width - 1) // self.stride + 1

    @property
    def key(self) -> str:
        """Canonical text of this operation.

        >>> OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10).key
        'linear|in=1x1x1x64|out=10|float32'
        """
        parts = [self.kind, "in=" + "x".join(map(str, self.in_shape))]
        for short, field in _KEY_FIELDS[self.kind]:
            value = getattr(self, field)
            parts.append(f"{short}={int(value) if isinstance(value, bool) else value}")
        return "|".join([*parts, self.dtype])

    @classmethod
    def from_key(cls, key: str) -> "OpSpec":
        """Parse what `key` printed.

        Raises:
            DataError: the text is not the canonical key of any operation.
        """
        kind, *rest = key.split("|")
        fields = _KEY_FIELDS.get(kind)
        if fields is None or len(rest) != len(fields) + 2:
            msg = f"Not an operation key: {key[:120]!r}."
            raise DataError(msg)
        shape_text = rest[0].removeprefix("in=")
        if not _SHAPE.fullmatch(shape_text):
            msg = f"Operation key {key[:120]!r}: bad input shape {rest[0]!r}."
            raise DataError(msg)
        values: dict[str, object] = {}
        for (short, field), part in zip(fields, rest[1:-1], strict=True):
            name, _, text = part.partition("=")
            integral = field != "act"
            if name != short or (integral and not _INTEGER.fullmatch(text)):
                msg = f"Operation key {key[:120]!r}: expected {short}=…, found {part!r}."
                raise DataError(msg)
            values[field] = int(text) if integral else text
        if "residual" in values:
            values["residual"] = bool(values["residual"])
        shape = tuple(int(size) for size in shape_text.split("x"))
        spec = cls(kind=kind, in_shape=shape, dtype=rest[-1], **values)  # type: ignore[arg-type]
        if spec.key != key:
            msg = f"Operation key {key[:120]!r} is not canonical; write {spec.key!r}."
            raise DataError(msg)
        return spec


@cache
def _silent(kind: Kind) -> tuple[tuple[str, object], ...]:
    told = {field for _, field in _KEY_FIELDS.get(kind, ())} | {"dtype"}
    optional = (f for f in fields(OpSpec) if f.default is not MISSING and f.name not in told)
    return tuple((f.name, f.default) for f in optional)
