"""The plain PyTorch module of one operation or of a whole network.

Timed one-block models, subnets of a supernet and exported networks are all built here, so a latency
table describes the modules that are deployed.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.targets.modules import operators
from hwnat.targets.modules.operators import Operator

#: Batch-norm constants of Once-for-All and of every published NAT network.
BN_EPS = 1e-5
BN_MOMENTUM = 0.1


def activation(name: Activation) -> nn.Module:
    """Return the module of an activation; `none` is the identity."""
    kinds: dict[Activation, type[nn.Module]] = {
        "none": nn.Identity,
        "relu": nn.ReLU,
        "hswish": nn.Hardswish,
        "mish": nn.Mish,
    }
    return kinds[name]()


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with the constants of the published networks."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def conv(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1) -> nn.Conv2d:
    """Return a dense convolution without bias that halves the map, rounding up, if strided."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


class SqueezeExcite(nn.Module):
    """Scale channels by a gate computed from their spatial means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        gate: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return x * gate


class MBConv(nn.Module):
    """Inverted residual block: expand, depthwise, squeeze-and-excite, project."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        channels, mid = op.in_shape[3], op.mid_channels
        self.residual = op.residual
        self.expand: nn.Module = nn.Identity()
        if mid != channels:
            parts = {"conv": conv(channels, mid), "bn": norm(mid), "act": activation(op.act)}
            self.expand = nn.Sequential(OrderedDict(parts))
        depthwise = nn.Conv2d(
            mid, mid, op.kernel, op.stride, op.kernel // 2, groups=mid, bias=False
        )
        parts = {"conv": depthwise, "bn": norm(mid), "act": activation(op.act)}
        self.depthwise = nn.Sequential(OrderedDict[str, nn.Module](parts))
        self.se = SqueezeExcite(mid, op.se_channels) if op.se_channels else nn.Identity()
        parts = {"conv": conv(mid, op.out_channels), "bn": norm(op.out_channels)}
        self.project = nn.Sequential(OrderedDict[str, nn.Module](parts))

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, out, h / stride, w / stride)."""
        y: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


def op_module(op: OpSpec) -> nn.Module:
    """Return a newly initialised module that maps NCHW to NCHW; `linear` returns (b, classes).

    Operators that work on the rows of a map larger than 1x1 take NHWC; see
    `hwnat.targets.modules.operators.by_rows`.

    Raises:
        UsageError: the operator has no module.
    """
    channels = op.in_shape[3]
    if op.kind == "mbconv":
        return MBConv(op)
    if not _in_a_space(op):
        return Operator(op)
    if op.kind == "linear":
        return nn.Sequential(
            OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(channels, op.out_channels))
        )
    dense = conv(channels, op.out_channels, op.kernel, op.stride)
    if op.kind == "mix":
        return nn.Sequential(OrderedDict(conv=dense, act=activation(op.act)))
    parts = OrderedDict[str, nn.Module](
        conv=dense, bn=norm(op.out_channels), act=activation(op.act)
    )
    if op.kind == "convpool":
        parts["pool"] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(parts)


def _in_a_space(op: OpSpec) -> bool:
    """Whether networks of a space may contain this operation, which then needs their module."""
    if op.kind == "conv":
        values = op.residual, op.groups, op.dilation, op.kernel_w, op.out_hw, op.tail
        plain = values == (False, 1, 1, 0, None, 0)
        return plain and op.kernel % 2 == 1 and op.act in ("none", "relu", "hswish", "mish")
    if op.kind == "linear":
        return (op.in_shape[1:3], op.act, op.residual, op.tail) == ((1, 1), "none", False, 0)
    return op.kind in ("convpool", "mix")


def network(ops: Sequence[OpSpec]) -> nn.Sequential:
    """Return the network of `ops` in order, children named by position."""
    return nn.Sequential(*map(op_module, ops))


def input_shape(op: OpSpec) -> tuple[int, int, int, int]:
    """Return the 4-D shape a module of `op` takes."""
    return operators.input_shape(op)
