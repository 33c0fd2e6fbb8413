"""The plain PyTorch module of a single operator of any network, to export it by itself.

An operator with several operands gets one input; the other operands are stored tensors of the full
size. No runtime can fold those, no other operator computes them, and they are read from memory like
computed ones.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from hwnat.errors import UsageError
from hwnat.records.op import OpSpec

#: Kinds that compute along the last axis: they take (batch, height, width, channels) directly.
ROWS: Final = frozenset({"linear", "matmul", "softmax", "norm"})

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leakyrelu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "hswish": nn.Hardswish,
    "hsigmoid": nn.Hardsigmoid,
    "swish": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "mish": nn.Mish,
}


def by_rows(op: OpSpec) -> bool:
    """Whether an operator takes (b, h, w, c) instead of (b, c, h, w); never on a 1x1 map."""
    if op.kind == "norm" and op.mode in ("batch", "instance", "group"):
        return False
    return op.kind in ROWS and op.in_shape[1:3] != (1, 1)


def input_shape(op: OpSpec) -> tuple[int, int, int, int]:
    """Return the 4-D shape that a module of `op` takes."""
    batch, height, width, channels = op.in_shape
    return op.in_shape if by_rows(op) else (batch, channels, height, width)


class Operator(nn.Module):
    """One operator with its fused tail; operands after the first are passed in or stored.

    Args:
        op: an operation of an operator kind.
        alone: whether to store the operands after the first, so that there is one input.

    Raises:
        UsageError: the operation has no module.
    """

    def __init__(self, op: OpSpec, *, alone: bool = True) -> None:
        super().__init__()
        self.op, self.core = op, _core(op)
        self.act = ACTIVATIONS[op.act]() if op.kind != "act" else nn.Identity()
        shapes = operand_shapes(op)[1:] if alone else []
        self.stored = nn.ParameterList(
            nn.Parameter(torch.randn(shape, generator=_draw(index)))
            for index, shape in enumerate(shapes)
        )
        self.factor = nn.Parameter(torch.full((1,), 0.9)) if op.tail else None

    def forward(self, x: Tensor) -> Tensor:
        """Map the first operand, joined with the stored ones, to the operator's output."""
        return self.join(x, list(self.stored))

    def join(self, x: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Map the operands to the operator's output."""
        y = _joined(self.op, self.core, x, others)
        if self.factor is not None:
            for _ in range(self.op.tail):
                y = y * self.factor
        return self.act(y)  # type: ignore[no-any-return]


def operand_shapes(op: OpSpec) -> list[tuple[int, ...]]:
    """Return the shapes of an operator's computed operands, as its module takes them."""
    batch, height, width, channels = op.in_shape
    first = input_shape(op)
    if op.kind == "matmul":
        return [first, (batch, height, channels, op.out_channels)]
    if op.kind == "concat":
        return [(batch, part, height, width) for part in _parts(op)]
    if op.kind in ("add", "mul"):
        small = (batch, channels, 1, 1) if op.broadcast else first
        rest = [first] * max(0, op.operands - 2)
        return [first, *rest, *([small] if op.operands > 1 else [])]
    if op.residual:
        rows, columns = op.out_size
        out = op.out_channels or channels
        image = (batch, out, rows, columns)
        return [first, (batch, rows, columns, out) if by_rows(op) else image]
    return [first]


def _parts(op: OpSpec) -> list[int]:
    """Return the number of channels of each operand of a concatenation, the widest first."""
    widest, count = op.in_shape[3], op.operands
    rest = op.out_channels - widest
    if count < 2 or not count - 1 <= rest <= widest * (count - 1):
        msg = f"Operation {op.key}: {count} operands of up to {widest} channels cannot form it."
        raise UsageError(msg)
    share = rest // (count - 1)
    return [widest, *[share] * (count - 2), rest - share * (count - 2)]


def _draw(index: int) -> torch.Generator:
    return torch.Generator().manual_seed(index)


def _joined(op: OpSpec, core: nn.Module, x: Tensor, others: Sequence[Tensor]) -> Tensor:
    if op.kind == "matmul":
        return torch.matmul(x, others[0])
    if op.kind == "concat":
        return torch.cat([x, *others], 1)
    if op.kind in ("add", "mul"):
        if op.operands == 1:
            return core(x)  # type: ignore[no-any-return]
        for other in others:
            x = x + other if op.kind == "add" else x * other
        return x
    y: Tensor = core(x)
    return others[0] + y if op.residual else y


class _Constant(nn.Module):
    """Adds one stored number, or multiplies by it."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        self.plus, self.value = op.kind == "add", nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor to one of the same shape."""
        return x + self.value if self.plus else x * self.value


class _Move(nn.Module):
    """Copies a tensor: transposes it if the shape stays the same, else cuts or pads it."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        _, self.rows, self.columns, self.channels = op.out_shape
        self.whole = op.out_shape == op.in_shape
        grown = [o - i for o, i in zip(op.out_shape, op.in_shape, strict=True)]
        self.cut, self.more = min(grown) < 0, max(0, grown[3])
        self.pad = nn.ZeroPad2d((0, max(0, grown[2]), 0, max(0, grown[1])))

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, h, w, c), or to (b, channels, rows, columns)."""
        if self.whole:
            return x.permute(0, 2, 3, 1)
        if self.cut:
            x = x[:, : self.channels, : self.rows, : self.columns]
        x = self.pad(x) if any(self.pad.padding) else x
        return nn.functional.pad(x, [0, 0, 0, 0, 0, self.more]) if self.more else x


def _core(op: OpSpec) -> nn.Module:
    """Return the module for the first operand; the identity if the operator only joins operands."""
    if op.kind in ("matmul", "concat"):
        return nn.Identity()
    if op.kind in ("add", "mul"):
        return _Constant(op) if op.operands == 1 else nn.Identity()
    rule = _CORES.get(op.kind)
    uneven = bool(op.stride_w or op.dilation_w or op.weights)
    if rule is None or uneven or (op.kind == "resize" and op.mode != "none"):
        msg = f"Operation {op.key}: there is no module for it."
        raise UsageError(msg)
    return rule(op)


def _conv(op: OpSpec) -> nn.Module:
    channels = op.in_shape[3]
    groups = channels if op.kind == "dwconv" else op.groups
    kernel = (op.kernel, op.kernel_w or op.kernel)
    before, pad = _padding(op, kernel)
    sizes = (channels, op.out_channels, kernel, op.stride, pad, op.dilation, groups)
    return _after(before, nn.Conv2d(*sizes))


def _deconv(op: OpSpec) -> nn.Module:
    kernel = (op.kernel, op.kernel_w or op.kernel)
    pads, more = [], []
    for size, out, k in zip(op.in_shape[1:3], op.out_size, kernel, strict=True):
        reach = (size - 1) * op.stride + (k - 1) * op.dilation + 1
        pads.append(max(0, -(-(reach - out) // 2)))
        more.append(out - reach + 2 * pads[-1])
    if min(more) < 0 or max(more) >= max(op.stride, op.dilation):
        msg = f"Operation {op.key}: no padding of a transposed convolution gives that output."
        raise UsageError(msg)
    return nn.ConvTranspose2d(
        op.in_shape[3], op.out_channels, kernel, op.stride, (pads[0], pads[1]),
        (more[0], more[1]), op.groups, dilation=op.dilation,
    )  # fmt: skip


def _pool(op: OpSpec) -> nn.Module:
    kernel = (op.kernel, op.kernel_w or op.kernel)
    before, pad = _padding(op, kernel)
    pool = nn.MaxPool2d if op.mode == "max" else nn.AvgPool2d
    return _after(before, pool(kernel, op.stride, pad))


def _padding(op: OpSpec, kernel: tuple[int, int]) -> tuple[nn.Module | None, tuple[int, int]]:
    """Return a module that pads unevenly, or None, and the padding of the window itself.

    Raises:
        UsageError: no padding gives the output's size.
    """
    edges, even = [], True
    for size, out, k in zip(op.in_shape[1:3], op.out_size, kernel, strict=True):
        span = (k - 1) * op.dilation + 1
        total = max(0, (out - 1) * op.stride + span - size)
        pad = -(-total // 2)
        if pad >= span or (size + total - span) // op.stride + 1 != out:
            msg = f"Operation {op.key}: no padding gives {out} outputs of {size} inputs."
            raise UsageError(msg)
        even &= (size + 2 * pad - span) // op.stride + 1 == out and 2 * pad <= 2 * (span // 2)
        edges.append((total // 2, total - total // 2, pad))
    if even:
        return None, (edges[0][2], edges[1][2])
    (top, bottom, _), (left, right, _) = edges
    return nn.ZeroPad2d((left, right, top, bottom)), (0, 0)


def _after(before: nn.Module | None, module: nn.Module) -> nn.Module:
    return module if before is None else nn.Sequential(before, module)


def _linear(op: OpSpec) -> nn.Module:
    linear = nn.Linear(op.in_shape[3], op.out_channels)
    return linear if by_rows(op) else nn.Sequential(nn.Flatten(), linear)


def _softmax(op: OpSpec) -> nn.Module:
    return nn.Softmax(-1) if by_rows(op) else nn.Sequential(nn.Flatten(), nn.Softmax(1))


def _norm(op: OpSpec) -> nn.Module:
    channels = op.in_shape[3]
    if op.mode in ("layer", "rms"):
        norm = nn.LayerNorm(channels) if op.mode == "layer" else nn.RMSNorm(channels)
        return norm if by_rows(op) else nn.Sequential(nn.Flatten(), norm)
    if op.mode == "group":
        groups = next(divisor for divisor in (32, 16, 8, 4, 2, 1) if channels % divisor == 0)
        return nn.GroupNorm(groups, channels)
    if op.mode == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.BatchNorm2d(channels)


def _global(op: OpSpec) -> nn.Module:
    return nn.AdaptiveMaxPool2d(1) if op.mode == "max" else nn.AdaptiveAvgPool2d(1)


_CORES: Final[dict[str, Callable[[OpSpec], nn.Module]]] = {
    "conv": _conv,
    "dwconv": _conv,
    "deconv": _deconv,
    "linear": _linear,
    "pool": _pool,
    "gpool": _global,
    "act": lambda op: ACTIVATIONS[op.act](),
    "softmax": _softmax,
    "norm": _norm,
    "resize": lambda op: nn.Upsample(size=op.out_size, mode="nearest"),
    "move": _Move,
}
