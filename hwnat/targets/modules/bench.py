"""A small network with several copies of an operator, and its baseline without the operator.

Timed alone, an operator reads its input in the file's layout instead of the layout of the runtime's
kernels. ONNX Runtime would change layouts around each convolution, and could not fuse anything that
needs a second computed tensor. So small stems compute the operands from a one-channel image, and
the network keeps one pixel of each result. The time of an operator is the difference to the
baseline, divided by the number of copies. The method, repeating small operators in one graph and
subtracting a baseline, follows Puzzletron in NVIDIA's Model Optimizer.
"""

from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec
from hwnat.targets.modules.operators import Operator, by_rows, operand_shapes
from hwnat.targets.trace import Trace

Form = Literal["conv", "pool", "slice"]

#: Forms to try, in order, until the runtime executes the intended operators.
FORMS: Final[tuple[Form, ...]] = ("pool", "conv", "slice")
#: Intended time of all copies together, so that the difference exceeds the noise.
_AIM_NS: Final = 150_000
_MOST: Final = 8
#: Number of values whose copying takes negligible time.
_SMALL: Final = 8192
#: Rough speed of one core: multiply-accumulates and bytes per nanosecond, and a kernel's start.
_MACS_PER_NS, _BYTES_PER_NS, _START_NS = 15.0, 5.0, 2000
#: Kinds without weights; an optimiser merges two of them that read the same input.
_WEIGHTLESS: Final = frozenset(
    {"pool", "gpool", "add", "mul", "concat", "act", "softmax", "resize", "move", "matmul"}
)


def copies(op: OpSpec) -> int:
    """Return how often to run an operator in one graph."""
    moved = 4 * (prod(op.in_shape) * op.operands + prod(op.out_shape))
    guess = _START_NS + op_cost(op).macs / _MACS_PER_NS + moved / _BYTES_PER_NS
    return max(1, min(_MOST, round(_AIM_NS / guess)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A network with `count` copies of an operator, or the same network without them.

    Attributes:
        form: how one pixel of a result is taken. A convolution or a pool keeps the runtime's
            layout; a slice makes the runtime change back to the file's layout.
        base: whether this is the network without the operator.
    """

    op: OpSpec
    count: int
    form: Form = "conv"
    base: bool = False

    @property
    def key(self) -> str:
        """Canonical text; baselines of operators with equal operands are equal."""
        if not self.base:
            return f"bench|{self.count}|{self.form}|{self.op.key}"
        shapes = ";".join("x".join(map(str, shape)) for shape in operand_shapes(self.op))
        rows = "rows" if by_rows(self.op) else "flat" if self.flat else "image"
        shared = "one" if self.shared else "each"
        return f"base|{self.count}|{self.form}|{rows}|{shared}|{shapes}"

    @property
    def shared(self) -> bool:
        """Whether all copies read the same operands; not for a sum, which may overwrite one."""
        return self.op.kind not in _WEIGHTLESS and not self.op.residual

    @property
    def flat(self) -> bool:
        """Whether the operator works on (b, c) vectors."""
        return self.op.kind in ("linear", "softmax") and self.op.in_shape[1:3] == (1, 1)

    @property
    def baseline(self) -> "Bench":
        """The same network without the operator."""
        return replace(self, base=True)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The module's input: a one-channel image that is large enough for every operand."""
        shapes = operand_shapes(self.op)
        batch = self.op.in_shape[0]
        first, last = (1, 2) if by_rows(self.op) else (2, 3)
        height = max(shape[first] for shape in shapes)
        width = max(shape[last] for shape in shapes)
        return (batch, height, width, 1) if by_rows(self.op) else (batch, 1, height, width)

    def module(self) -> nn.Module:
        """Return the network.

        Raises:
            UsageError: the operator has no module.
        """
        return _BenchModule(self)


def difference(bench: Bench, with_op: Trace, without: Trace) -> Counter[str] | str:
    """Return how often the runtime executes other operators more with the operator than without.

    Only moves may differ, because each of them has a latency of its own. A negative count is of a
    move that only the baseline makes. Operators that take one pixel of a map are left out. If any
    other operator differs, or the operator runs more or less often than `count`, the reason is
    returned instead.
    """
    one, two = Counter(op.key for op in with_op.specs), Counter(op.key for op in without.specs)
    ran = one[bench.op.key] - two[bench.op.key]
    if ran != bench.count:
        return f"the runtime executes it {ran} times instead of {bench.count}"
    one.subtract(two)
    one[bench.op.key] = 0
    rest = Counter({key: count for key, count in one.items() if count and not _is_tail(key)})
    large = max(prod(bench.op.in_shape) // 8, _SMALL)
    for key in list(rest):
        other = OpSpec.from_key(key)
        known = other.kind != "opaque"
        if known and max(prod(other.in_shape), prod(other.out_shape)) <= large:
            del rest[key]
        elif other.kind != "move":
            return f"adding it also adds or removes {key}"
    return rest


def _is_tail(key: str) -> bool:
    """Whether an operator reads only a small part of its input."""
    op = OpSpec.from_key(key)
    if op.kind == "move":
        return op.out_hw is not None and min(op.out_hw) == 1
    return (
        op.kind in ("pool", "conv") and op.kernel == 1 and op.out_size == (1, 1) != op.in_shape[1:3]
    )


class _BenchModule(nn.Module):
    """Stems, copies of the operator and tails; the small results are concatenated."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.count, self.base, self.form = bench.count, bench.base, bench.form
        self.flat, self.rows = bench.flat, by_rows(bench.op)
        shapes = operand_shapes(bench.op)
        sets = 1 if bench.shared else bench.count
        size = bench.input_shape[1:3] if self.rows else bench.input_shape[2:]
        stem = _RowStem if self.rows else _Stem
        self.stems: Any = nn.ModuleList(
            nn.ModuleList(stem(shape, size) for shape in shapes) for _ in range(sets)
        )
        # A runtime may fuse a sum into either convolution that it adds, but not into a pool, and
        # some runtimes not into a convolution that already has an activation.
        self.blur = nn.ReLU() if self.form == "conv" else nn.MaxPool2d(3, 1, 1)
        made = [] if self.base else [Operator(bench.op, alone=False) for _ in range(self.count)]
        self.operators: Any = nn.ModuleList(made)
        self.flatten, self.moves = nn.Flatten(), bench.op.kind == "move"
        # All tails differ, because an optimiser would merge equal ones.
        far = max(*bench.op.in_shape, *bench.op.out_shape)
        widths = [shape[-1 if self.rows else 1] for shape in shapes]
        self.sums = bench.op.residual
        result = bench.op.out_shape[3] if not self.base else widths[-1 if self.sums else 0]
        if self.moves and bench.op.out_shape == bench.op.in_shape and not self.base:
            result = bench.op.in_shape[1]  # it was transposed
        self.results = nn.ModuleList(_pixel(self.form, result, far + i) for i in range(self.count))
        self.others: Any = nn.ModuleList(
            nn.ModuleList(_pixel(self.form, width, far + self.count + i) for width in widths)
            for i in range(sets)
        )

        for values in self.operators.parameters():
            if values.ndim == 1:  # scales start as ones, and an optimiser merges equal operators
                nn.init.uniform_(values, 0.5, 1.5)

    def forward(self, image: Tensor) -> Tensor:
        """Return every copy's pixel and those of its operands."""
        sets = [[stem(image) for stem in stems] for stems in self.stems]
        if self.sums and not self.rows:
            sets = [[x, *map(self.blur, others)] for x, *others in sets]
        if self.flat:
            sets = [[self.flatten(x) for x in operands] for operands in sets]
        pieces = []
        # Vectors are kept whole, so the baseline needs the shared one only once as a result.
        count = 1 if self.base and self.flat and len(sets) < self.count else self.count
        for index in range(count):
            x, *others = sets[index % len(sets)]
            plain = others[0] if self.sums else x
            y = plain if self.base or self._by_slice else self.operators[index].join(x, others)
            pieces.append(self._tail(y, self.results[index], result=True))
        for operands, tails in zip(sets, self.others, strict=True):
            # A sum may overwrite an operand only if nothing else reads that operand.
            read = operands[:1] if self.sums else operands
            pieces += [self._tail(x, tail) for x, tail in zip(read, tails, strict=False)]
        return torch.cat(pieces, 3 if self.rows else 1)

    @property
    def _by_slice(self) -> bool:
        """Whether taking a slice makes the runtime move the whole tensor, as intended."""
        return self.moves and self.form == "slice"

    def _tail(self, y: Tensor, pixel: nn.Module, *, result: bool = False) -> Tensor:
        if self.flat:
            return y
        if self.rows:
            return y[:, :1, :1]
        if result and self.form == "slice" and not self.base:
            return y[:, :, :1, :1]
        return pixel(y)  # type: ignore[no-any-return]


def _pixel(form: Form, channels: int, step: int) -> nn.Module:
    """Return a module that takes the first pixel of a map with sides of less than `step` pixels."""
    return nn.Conv2d(channels, 16, 1, step) if form == "conv" else nn.MaxPool2d(1, step)


class _Stem(nn.Module):
    """Makes a (b, c, h, w) tensor from a one-channel image by a 1x1 convolution."""

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int]) -> None:
        super().__init__()
        self.small, self.conv = nn.MaxPool2d(1, 9999), nn.Conv2d(1, shape[1], 1)
        self.rows, self.columns = shape[2:]
        self.one = shape[2:] == (1, 1) != size
        self.cut = shape[2:] not in ((1, 1), size)

    def forward(self, image: Tensor) -> Tensor:
        """Map (b, 1, H, W) to (b, c, h, w)."""
        image = self.small(image) if self.one else image
        return self.conv(image[:, :, : self.rows, : self.columns] if self.cut else image)  # type: ignore[no-any-return]


class _RowStem(nn.Module):
    """Makes a (b, h, w, c) tensor from a one-channel image by an outer product."""

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = shape[1:3]
        self.cut = shape[1:3] != size
        self.weight = nn.Parameter(torch.randn(shape[3]))

    def forward(self, image: Tensor) -> Tensor:
        """Map (b, H, W, 1) to (b, h, w, c)."""
        return (image[:, : self.height, : self.width] if self.cut else image) * self.weight
