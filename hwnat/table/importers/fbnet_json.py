"""FBNet's latency lookup tables as JSON, in microseconds.

Meta published the method but no table, so the forms are those of public re-implementations:

- A list with one member per layer: null for a layer that is not searched, otherwise the latencies
  of its candidates, as a list in FBNet's order (k3_e1, k3_e1_g2, k3_e3, k3_e6, the same with k5,
  and skip if the block keeps its shape) or as an object by name (`ir_k3_e3`, `ir_k3_s2` for two
  groups, `skip`). Shapes are those of FBNet's 22 layers at `resolution`, with `strides`.
- An object whose keys contain the shape, spelt as in HW-NAS-Bench: `ConvBlock_H56_W56_Cin24_…`.

An `e1` block has an expansion convolution to the same width, and `g2` groups it. No operation key
describes either, so both are left out by name. Activations are ReLU.

Source: FBNet, arXiv:1812.03443, tables 1 and 2.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Facts, Imported, Importer, Request, Source, Unit
from hwnat.table.importers.intake import Intake
from hwnat.table.importers.values import Pairs, json_content

#: Channels and number of layers of each stage, and the strides of stem and stages.
_STAGES: Final = ((16, 1), (24, 4), (32, 4), (64, 4), (112, 4), (184, 4), (352, 1))
_STEM: Final = 16
_STRIDES: Final = "2,1,2,2,2,1,2,1"
#: Candidates in order, as in the paper's table 2.
_CANDIDATES: Final = tuple(
    [f"ir_k{kernel}_{rest}" for kernel in (3, 5) for rest in ("e1", "s2", "e3", "e6")] + ["skip"]
)
_CANDIDATE: Final = re.compile(r"ir_k(3|5|7)_(e[1-9]|s[24])")
_LONG: Final = re.compile(
    r"(ConvBlock|ConvNorm|AvgP|FC|Skip)((?:_(?:H|W|Cin|Cout|exp|kernel|stride|group)[1-9]\d{0,5})+)"
)
_PART: Final = re.compile(r"([A-Za-z]+)(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """The place and shape of a searched layer's candidates."""

    size: int
    channels: int
    out: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        return self.stride == 1 and self.channels == self.out


class FbnetJson:
    """The importer of both forms: lists by layer, and objects with shapes in their keys."""

    format: str = "fbnet-json"
    unit: Unit = "us"
    options: Mapping[str, str] = {
        "resolution": "side of the input image in pixels; needed for the list form",
        "strides": f"strides of stem and stages, for the list form; default {_STRIDES}",
    }

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read the tables of one device.

        Raises:
            DataError: a file is damaged or in another form, or a value is not a latency.
            UsageError: an option is invalid, or `resolution` is missing for the list form.
        """
        intake = Intake(request, name=self.format, unit=self.unit, sources=sources)
        for source in sources:
            content = json_content(source)
            if isinstance(content, Pairs):
                _take_keys(content, source, intake)
            elif isinstance(content, list) and content:
                _take_layers(content, _layers(intake), source, intake)
            else:
                msg = f"{source.name}: expected a list of layers or an object of operations."
                raise DataError(msg)
        return intake.done(granularity="block", facts=Facts(batch=1))


def _layers(intake: Intake) -> tuple[_Layer, ...]:
    """Return the 22 searched layers."""
    resolution, strides = intake.option("resolution"), intake.option("strides", _STRIDES)
    if not re.fullmatch(r"[1-9]\d{0,4}", resolution):
        msg = f"Option resolution={resolution!r:.40} is not a number of pixels, such as 224."
        raise UsageError(msg)
    if not re.fullmatch(r"[12](,[12]){7}", strides):
        msg = f"Option strides={strides!r:.40}: give 8 of 1 and 2, such as {_STRIDES}."
        raise UsageError(msg)
    stem, *rest = map(int, strides.split(","))
    size, channels = (int(resolution) - 1) // stem + 1, _STEM
    layers: list[_Layer] = []
    for (out, count), first in zip(_STAGES, rest, strict=True):
        for index in range(count):
            stride = first if index == 0 else 1
            layers.append(_Layer(size=size, channels=channels, out=out, stride=stride))
            size, channels = (size - 1) // stride + 1, out
    return tuple(layers)


def _take_layers(
    content: Sequence[object], layers: Sequence[_Layer], source: Source, intake: Intake
) -> None:
    searched = [(index, layer) for index, layer in enumerate(content) if layer is not None]
    if len(searched) != len(layers):
        msg = f"{source.name}: {len(searched)} searched layers, FBNet has {len(layers)}; fix it."
        raise DataError(msg)
    for index, held in enumerate(content):
        if held is None:
            intake.leave_out(f"layer {index}", "not searched, so not timed")
    for (index, held), layer in zip(searched, layers, strict=True):
        where = f"{source.name}: layer {index}"
        for name, value in _candidates(held, layer, where=where):
            foreign = f"layer {index} {name}"
            op = _candidate(name, layer)
            if isinstance(op, str):
                intake.latency_ns(foreign, value, where=where)
                intake.leave_out(foreign, op)
            else:
                # Layers with the same shape are timed separately.
                intake.add_repeat(op, value, foreign=foreign, where=where)


def _candidates(held: object, layer: _Layer, *, where: str) -> Iterator[tuple[str, object]]:
    """Yield name and value of a layer's candidates."""
    if isinstance(held, Pairs):
        if len(dict(held)) != len(held):
            msg = f"{where}: a candidate occurs twice. Remove one."
            raise DataError(msg)
        yield from held
        return
    names = _CANDIDATES if layer.keeps_shape else _CANDIDATES[:-1]
    if not isinstance(held, list) or len(held) not in (len(names), len(_CANDIDATES)):
        size = len(held) if isinstance(held, list) else type(held).__name__
        msg = f"{where}: expected a list of {len(names)} latencies, not {size}; see `strides`."
        raise DataError(msg)
    yield from zip(_CANDIDATES, held, strict=False)


def _candidate(name: str, layer: _Layer) -> OpSpec | str:
    """Return the operation of a candidate, or the reason why it has no key."""
    if name == "skip":
        return _skip((1, layer.size, layer.size, layer.channels), layer.out, layer.stride)
    match = _CANDIDATE.fullmatch(name)
    if match is None:
        return "not a candidate of FBNet"
    groups = int(match[2][1]) if match[2][0] == "s" else 1
    expand = 1 if groups > 1 else int(match[2][1])
    shape = (1, layer.size, layer.size, layer.channels)
    return _block(shape, layer.out, (int(match[1]), layer.stride), expand, groups)


def _block(
    shape: tuple[int, int, int, int], out: int, window: tuple[int, int], expand: int, groups: int
) -> OpSpec | str:
    """Return a block with (kernel, stride) `window`, or the reason why it has no key."""
    if groups > 1:
        return "its 1x1 convolutions are grouped, which no key of a block says"
    if expand == 1:
        return "it expands to the same width with a convolution, which no key of a block says"
    kernel, stride = window
    try:
        return OpSpec(
            kind="mbconv",
            in_shape=shape,
            mid_channels=shape[3] * expand,
            out_channels=out,
            kernel=kernel,
            stride=stride,
            act="relu",
            residual=stride == 1 and shape[3] == out,
        )
    except DataError as refused:
        return str(refused)


def _skip(shape: tuple[int, int, int, int], out: int, stride: int) -> OpSpec | str:
    """Return a 1x1 convolution if the skip changes the shape; otherwise it does nothing."""
    if stride == 1 and shape[3] == out:
        return "it does nothing"
    return OpSpec(kind="conv", in_shape=shape, out_channels=out, stride=stride, act="relu")


def _take_keys(content: Pairs, source: Source, intake: Intake) -> None:
    for foreign, value in content:
        op = _spelled(foreign)
        if isinstance(op, str):
            intake.leave_out(foreign, op)
        else:
            intake.add(op, value, foreign=foreign, where=source.name)


def _spelled(foreign: str) -> OpSpec | str:
    """Return the operation of a key with a shape, or the reason why there is none."""
    match = _LONG.fullmatch(foreign)
    pairs = _PART.findall(match[2]) if match else []
    fields = {name: int(text) for name, text in pairs}
    if match is None or len(fields) != len(pairs):
        return "not an operation's name of this format"
    try:
        return _from_parts(match[1], fields)
    except KeyError as missing:
        return f"it does not say {missing.args[0]}"
    except DataError as refused:
        return str(refused)


def _from_parts(kind: str, fields: Mapping[str, int]) -> OpSpec | str:
    out = fields["Cout"]
    if kind == "FC":
        return OpSpec(kind="linear", in_shape=(1, 1, 1, fields["Cin"]), out_channels=out)
    shape = (1, fields["H"], fields["W"], fields["Cin"])
    if kind == "Skip":
        return _skip(shape, out, fields["stride"])
    window = (fields["kernel"], fields["stride"])
    if kind == "ConvBlock":
        return _block(shape, out, window, fields["exp"], fields["group"])
    if kind == "AvgP":
        if window[0] != shape[1] or shape[1] != shape[2]:
            return "it pools over a part of the map, with a padding that its name does not say"
        return OpSpec(kind="gpool", in_shape=shape, mode="avg")
    return OpSpec(
        kind="conv",
        in_shape=shape,
        out_channels=out,
        kernel=window[0],
        stride=window[1],
        act="relu",
        groups=fields["group"],
    )


_CHECK: type[Importer] = FbnetJson
