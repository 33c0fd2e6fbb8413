"""Block tables of nn-Meter's hybrid-transformer branch: a JSON object, key -> milliseconds.

Keys have the form that the branch's table builder writes (microsoft/nn-Meter, branch
dev/hybrid-transformer, examples/test_transformer/build_lut): `hw` is the side of the input map.

    firstconv_{hw}_{cin}_{cout}_{stride}_{kernel}
    conv_{hw}_{cin}_{cout}_{expansion}_{stride}_{act}_{kernel}_{se|nose}
    transds_{hw}_{cin}_{cout}_{stride}_{expansion}
    transattn_{hw}_{channels}_{act}_{value scale}_{ln|bn}
    transffn_{hw}_{channels}_{expansion}_{act}_{ln|bn}
    mbpool_{hw}_{cin}_{cout}_{expansion}_{act}

Values that keys lack are those of that builder: the width of squeeze-and-excitation (a quarter of
the expanded width), the kernel of `transds` (3) and the activation of `firstconv` and `transds`
(h-swish). The width of the attention values is channels x scale, although heads of 16 channels may
make it smaller.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from hwnat.errors import DataError
from hwnat.records.kinds import Mode
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Facts, Imported, Importer, Request, Source, Unit
from hwnat.table.importers.intake import Intake
from hwnat.table.importers.values import json_pairs

_NUMBER: Final = r"([1-9]\d{0,4})"
_ACT: Final = "hard_swish"
_NORMS: Final[Mapping[str, Mode]] = {"ln": "layer", "bn": "batch"}


class NnMeterBlocks:
    """The importer of CNN and transformer blocks timed on the CPUs of phones."""

    format = "nn-meter-blocks"
    unit: Unit = "ms"
    options: Mapping[str, str] = MappingProxyType({})

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read one or more files of one device.

        Raises:
            DataError: a file is damaged or in another format; unless lenient, also if a value is
                not a latency or a key has two values.
        """
        intake = Intake(request, name=self.format, unit=self.unit, sources=sources)
        for source in sources:
            for foreign, value in json_pairs(source):
                if isinstance(value, list | tuple):
                    msg = (
                        f"{source.name}: {foreign[:80]}: expected a number of milliseconds, "
                        f"found {value!r:.60}."
                    )
                    raise DataError(msg)
                op = block(foreign)
                if op is None:
                    intake.leave_out(foreign, "not the key of a known block of this format")
                    continue
                intake.add(op, value, foreign=foreign, where=source.name)
        return intake.done(
            granularity="block",
            facts=Facts(target="tflite", runtime="TensorFlow Lite", precision="fp32", batch=1),
        )


def block(foreign: str) -> OpSpec | None:
    """Return the block that a key describes; None if it describes none.

    >>> block("transffn_16_48_2_hard_swish_ln").key
    'feedforward|in=1x16x16x48|mid=96|act=hswish|op=layer|float32'
    """
    for pattern, build in _BLOCKS:
        if match := pattern.fullmatch(foreign):
            try:
                return build(*match.groups())
            except DataError:
                return None
    return None


def _shape(side: str, channels: str) -> tuple[int, int, int, int]:
    return (1, int(side), int(side), int(channels))


def _first(side: str, cin: str, cout: str, stride: str, kernel: str) -> OpSpec:
    return OpSpec(
        kind="conv",
        in_shape=_shape(side, cin),
        out_channels=int(cout),
        kernel=int(kernel),
        stride=int(stride),
        act="hswish",
    )


def _conv(*parts: str) -> OpSpec:
    side, cin, cout, expansion, stride, kernel, se = parts
    mid = int(cin) * int(expansion)
    return OpSpec(
        kind="projconv",
        in_shape=_shape(side, cin),
        out_channels=int(cout),
        mid_channels=mid,
        kernel=int(kernel),
        stride=int(stride),
        act="hswish",
        se_channels=max(1, mid // 4) if se == "se" else 0,
    )


def _down(side: str, cin: str, cout: str, stride: str, expansion: str) -> OpSpec:
    mid = int(cin) * int(expansion)
    return OpSpec(
        kind="tokenconv",
        in_shape=_shape(side, cin),
        out_channels=int(cout),
        mid_channels=mid,
        kernel=3,
        stride=int(stride),
        act="hswish",
        se_channels=max(1, mid // 4),
    )


def _attention(side: str, channels: str, scale: str, norm: str) -> OpSpec:
    return OpSpec(
        kind="attention",
        in_shape=_shape(side, channels),
        mid_channels=int(channels) * int(scale),
        act="hswish",
        mode=_NORMS[norm],
    )


def _feedforward(side: str, channels: str, expansion: str, norm: str) -> OpSpec:
    return OpSpec(
        kind="feedforward",
        in_shape=_shape(side, channels),
        mid_channels=int(channels) * int(expansion),
        act="hswish",
        mode=_NORMS[norm],
    )


def _head(side: str, cin: str, cout: str, expansion: str) -> OpSpec:
    return OpSpec(
        kind="tokenhead",
        in_shape=_shape(side, cin),
        out_channels=int(cout),
        mid_channels=int(cin) * int(expansion),
        act="hswish",
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("#", _NUMBER).replace("ACT", _ACT), re.ASCII)


_BLOCKS: Final[tuple[tuple[re.Pattern[str], Callable[..., OpSpec]], ...]] = (
    (_compiled("firstconv_#_#_#_#_#"), _first),
    (_compiled("conv_#_#_#_#_#_ACT_#_(se|nose)"), _conv),
    (_compiled("transds_#_#_#_#_#"), _down),
    (_compiled("transattn_#_#_ACT_#_(ln|bn)"), _attention),
    (_compiled("transffn_#_#_#_ACT_(ln|bn)"), _feedforward),
    (_compiled("mbpool_#_#_#_#_ACT"), _head),
)

_CHECK: type[Importer] = NnMeterBlocks
