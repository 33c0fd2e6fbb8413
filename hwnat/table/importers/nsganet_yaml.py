"""NSGANetV2's latency table in milliseconds: blocks of both widths, many resolutions, one file.

Keys do not name the activation. It follows from the stage, which channels and squeeze identify. The
file times `final_expand_layer` without the pooling after it, so it becomes a 1x1 `conv`. With
`head=convpool` it stands for the whole head of the MobileNetV3 spaces.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import make_divisible
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3, Skeleton
from hwnat.table.importers.base import Facts, Imported, Importer, Request, Source, Unit
from hwnat.table.importers.intake import Intake
from hwnat.table.importers.ofa_text import (
    BlockName,
    Item,
    block_name,
    check_output,
    items,
    mbconv,
)
from hwnat.table.importers.ofa_yaml import covered_space
from hwnat.table.importers.values import number

_FIELDS: Final = ("mean", "var")
_BLOCK: Final = {"expand", "kernel", "stride", "idskip", "se"}


class NsganetYaml:
    """The importer of NSGANetV2's latency table."""

    format: str = "nsganet-yaml"
    unit: Unit = "ms"
    options: Mapping[str, str] = {
        "head": "conv: final_expand_layer as it was timed, without pooling (default); convpool: "
        "let it stand for the head although its pooling is missing",
    }

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read the files of one device.

        Raises:
            DataError: a file is damaged, a value is not a latency, or a key has two values.
            UsageError: `head` is neither conv nor convpool.
        """
        intake = Intake(request, name=self.format, unit=self.unit, sources=sources)
        head = intake.option("head", "conv")
        if head not in ("conv", "convpool"):
            msg = f"Option head={head!r:.40} is invalid; give conv or convpool."
            raise UsageError(msg)
        ops: dict[str, OpSpec] = {}
        for source in sources:
            for item in items(source, names=_FIELDS):
                op = _take(item, source, intake, head=head)
                if op is not None:
                    ops[op.key] = op
        return intake.done(
            granularity="block",
            space=covered_space(ops),
            facts=Facts(batch=1, precision="fp32"),
        )


def _take(item: Item, source: Source, intake: Intake, *, head: str) -> OpSpec | None:
    """Pass one item to the intake; return its operation, or None if it has no key."""
    name, where = block_name(item.key), source.at(item.line)
    if name is None:
        intake.leave_out(item.key, "not a block's name of this format")
        return None
    try:
        op = _operation(name, head=head)
    except DataError as refused:
        intake.leave_out(item.key, str(refused))
        return None
    variance = number(item.fields["var"], where=f"{where}: {item.key}: var")
    if variance < 0:
        msg = f"{where}: {item.key}: variance {variance:g} is negative. Correct it."
        raise DataError(msg)
    mean = item.fields["mean"]
    intake.add(op, mean, foreign=item.key, where=where, std=sqrt(variance))
    if op.kind == "convpool":
        message = "holds no pooling: the file times the convolution alone"
        intake.find("part-missing", "warning", where=where, key=op.key, message=message)
    return op


def _operation(name: BlockName, *, head: str) -> OpSpec:
    """Return the operation of a name.

    Raises:
        DataError: no operation key describes it.
    """
    shape, out = (1, *name.in_shape), name.out_shape[2]
    if name.kind == "MBConv" and name.numbers.keys() == _BLOCK:
        mid = make_divisible(name.in_shape[2] * name.numbers["expand"])
        return check_output(mbconv(name, mid=mid, act=_activation(name)), name)
    if name.numbers:
        msg = f"{name.kind} has no such attributes in this format"
        raise DataError(msg)
    if name.kind == "final_expand_layer" and head == "convpool":
        if name.in_shape[:2] != name.out_shape[:2]:
            msg = "its output is of another size"
            raise DataError(msg)
        return OpSpec(kind="convpool", in_shape=shape, out_channels=out, act="hswish")
    return check_output(_plain(name.kind, shape, out), name)


def _plain(kind: str, shape: tuple[int, int, int, int], out: int) -> OpSpec:
    """Return an operation other than an inverted residual block."""
    if kind == "first_conv":
        return OpSpec(
            kind="conv", in_shape=shape, out_channels=out, kernel=3, stride=2, act="hswish"
        )
    if kind == "final_expand_layer":
        return OpSpec(kind="conv", in_shape=shape, out_channels=out, act="hswish")
    if kind == "feature_mix_layer":
        return OpSpec(kind="mix", in_shape=shape, out_channels=out, act="hswish")
    if kind == "classifier":
        return OpSpec(kind="linear", in_shape=shape, out_channels=out)
    msg = f"no operation of this format is called {kind}"
    raise DataError(msg)


def _activation(name: BlockName) -> Activation:
    """Return the activation of the stages whose blocks have these channels and squeeze.

    Raises:
        DataError: no stage has such blocks, or the stages differ.
    """
    acts = {act for _, skeleton in MBV3.skeletons for act in _matches(skeleton, name)}
    if len(acts) != 1:
        msg = f"its activation is unknown: {len(acts)} stages of the space have such channels"
        raise DataError(msg)
    return acts.pop()


def _matches(skeleton: Skeleton, name: BlockName) -> list[Activation]:
    ends, squeezed = (name.in_shape[2], name.out_shape[2]), bool(name.numbers["se"])
    acts = []
    if ends == (skeleton.stem_channels,) * 2 and not squeezed and name.numbers["expand"] == 1:
        acts.append(skeleton.first_act)
    before = skeleton.stem_channels
    for stage in skeleton.stages:
        if squeezed == stage.se and ends in ((before, stage.channels), (stage.channels,) * 2):
            acts.append(stage.act)
        before = stage.channels
    return acts


_CHECK: type[Importer] = NsganetYaml
