"""Exact costs of operations, computed without a framework: parameters and multiply-accumulates.

Source: NAT and Once-for-All count only convolutions and linear layers. `macs_torchprofile` adds the
element-wise products that torchprofile counts: one per h-swish output and one per scaled element.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hwnat.errors import DataError
from hwnat.records.op import OpSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Costs of one forward pass at the batch size of the operations.

    Attributes:
        params: number of trainable values, including batch-norm scales and shifts.
        folded_params: number of values left in a deployed file after batch norms are folded.
        macs: multiply-accumulates of convolutions and linear layers.
        macs_torchprofile: `macs` plus the element-wise products that torchprofile counts.
    """

    params: int
    folded_params: int
    macs: int
    macs_torchprofile: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            params=self.params + other.params,
            folded_params=self.folded_params + other.folded_params,
            macs=self.macs + other.macs,
            macs_torchprofile=self.macs_torchprofile + other.macs_torchprofile,
        )


#: Gates of a recurrent layer.
_GATES: Final = {"lstm": 4, "gru": 3}
#: Kinds with weights. The windows of `convpool` and `mix` are 1x1.
_WEIGHTED: Final = ("conv", "dwconv", "deconv", "convpool", "mix", "linear")
#: Kinds with weights and a batch norm, which is folded into a bias.
_NORMED: Final = ("conv", "dwconv", "deconv", "convpool")


def op_cost(op: OpSpec) -> Cost:
    """Return the cost of one operation; an operation without weights or products is free.

    Raises:
        DataError: the operation is opaque, so its cost is unknown.
    """
    if op.kind == "opaque":
        msg = f"Operation {op.key}: the cost of an opaque operation is unknown; measure it."
        raise DataError(msg)
    if op.kind in ("mbconv", "projconv", "tokenconv"):
        return _mbconv_cost(op)
    if op.kind in ("attention", "feedforward", "tokenhead"):
        return _token_cost(op)
    if op.kind in _GATES:
        return _recurrent_cost(op)
    if op.kind == "sdpa":
        batch, heads, tokens, channels = op.in_shape
        macs = batch * heads * tokens * op.mid_channels * (channels + op.out_channels)
        return Cost(params=0, folded_params=0, macs=macs, macs_torchprofile=macs)
    if op.kind not in (*_WEIGHTED, "matmul"):
        return Cost(params=0, folded_params=0, macs=0, macs_torchprofile=0)
    batch, height, width, channels = op.in_shape
    # These convolve every input pixel; the others convolve once per output pixel.
    whole = op.kind in ("convpool", "deconv")
    area = batch * (height * width if whole else op.out_size[0] * op.out_size[1])
    window = op.kernel * (op.kernel_w or op.kernel)
    weights_per_output = window * (1 if op.kind == "dwconv" else channels // op.groups)
    weights = weights_per_output * op.out_channels
    params = 0 if op.kind == "matmul" else weights
    bias = op.out_channels if op.kind in (*_NORMED, "linear") else 0
    muls = area * op.out_channels if op.act == "hswish" else 0
    return Cost(
        params=params + bias * (2 if op.kind in _NORMED else 1),
        folded_params=params + bias,
        macs=weights * area,
        macs_torchprofile=weights * area + muls,
    )


def _mbconv_cost(op: OpSpec) -> Cost:
    batch, height, width, channels = op.in_shape
    area_in = batch * height * width
    area_out = batch * op.out_size[0] * op.out_size[1]
    product = 1 if op.act == "hswish" else 0
    mid, squeezed = op.mid_channels, op.se_channels
    expands = mid != channels
    weights = op.kernel**2 * mid + mid * op.out_channels + (channels * mid if expands else 0)
    norms = mid + op.out_channels + (mid if expands else 0)
    if op.kind != "mbconv" and channels != op.out_channels:
        weights += channels * op.out_channels
        norms += op.out_channels
    gate = 2 * mid * squeezed + squeezed + mid if squeezed else 0
    macs = op.kernel**2 * mid * area_out + mid * op.out_channels * area_out
    macs += channels * mid * area_in if expands else 0
    if op.kind != "mbconv" and channels != op.out_channels:
        macs += channels * op.out_channels * area_out
    macs += 2 * mid * squeezed * batch
    muls = product * mid * (area_out + (area_in if expands else 0))
    muls += mid * area_out if squeezed else 0
    return Cost(
        params=weights + 2 * norms + gate,
        folded_params=weights + norms + gate,
        macs=macs,
        macs_torchprofile=macs + muls,
    )


def _recurrent_cost(op: OpSpec) -> Cost:
    """Return the cost of a recurrent layer: products of each token and of the state."""
    batch, height, tokens, channels = op.in_shape
    hidden, gates = op.out_channels, _GATES[op.kind]
    weights = op.operands * gates * hidden * (channels + hidden)
    params = weights + op.operands * gates * 2 * hidden
    macs = batch * height * tokens * weights
    return Cost(params=params, folded_params=params, macs=macs, macs_torchprofile=macs)


def _token_cost(op: OpSpec) -> Cost:
    """Return the cost of a block of a hybrid transformer.

    Queries and keys are as wide as the input.

    Normalisation, softmax, tables of relative positions and the classifier of a `tokenhead` are
    not counted, because their sizes are not in the key.
    """
    batch, height, width, channels = op.in_shape
    tokens, mid = height * width, op.mid_channels
    weights = {
        "attention": 2 * channels * (channels + mid),
        "feedforward": 2 * channels * mid,
        "tokenhead": channels * mid,
    }[op.kind]
    macs = tokens * weights
    if op.kind == "attention":
        macs += tokens * tokens * (channels + mid)
    if op.kind == "tokenhead":
        weights += mid * op.out_channels
        macs += mid * op.out_channels
    macs *= batch
    return Cost(params=weights, folded_params=weights, macs=macs, macs_torchprofile=macs)


def total_cost(ops: Iterable[OpSpec]) -> Cost:
    """Return the sum of the costs of `ops`; without operations it is zero."""
    return sum(map(op_cost, ops), Cost(params=0, folded_params=0, macs=0, macs_torchprofile=0))
