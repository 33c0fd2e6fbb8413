"""Parse the text of Once-for-All and its successors: block names with a few numbers each.

    expanded_conv-input:20x20x48-output:20x20x48-expand:144-kernel:3-stride:1-idskip:1-se:1-hs:0:
      count: 98
      mean: 0.7753877551020408
      std: 0.0126237811317558

This is a small subset of YAML. Any other line is refused by number, so nothing is misread.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hwnat.errors import DataError
from hwnat.records.arch import make_divisible
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Source
from hwnat.table.importers.values import refuse_name

_FIELD: Final = re.compile(r"( +)([a-z]+): +(\S+) *")
_NAME: Final = re.compile(r"([A-Za-z]\w*)((?:-[a-z]+:[0-9x]+)+)", re.ASCII)
_SIZES: Final = re.compile(r"[1-9]\d{0,5}(?:x[1-9]\d{0,5}x[1-9]\d{0,5})?")
_NUMBER: Final = re.compile(r"\d{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One key, its fields as text, and its line."""

    key: str
    line: int
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockName:
    """The parts of a key.

    Attributes:
        kind: the first word.
        in_shape: (height, width, channels); a single number is channels on a 1x1 map.
        out_shape: the same for the output.
        numbers: the other attributes.
    """

    kind: str
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    numbers: Mapping[str, int]


def items(source: Source, *, names: Sequence[str]) -> tuple[Item, ...]:
    """Split a file into keys with the fields `names`, each exactly once; keys may repeat.

    Raises:
        DataError: the file has other content; the message names file and line.
    """
    items: list[Item] = []
    fields: dict[str, str] = {}
    for line, text in enumerate(source.text.splitlines(), 1):
        if not text.strip():
            continue
        if not text.startswith(" "):
            key, fields = _key(text, where=source.at(line)), {}
            _check_complete(source, items, names)
            items.append(Item(key=key, line=line, fields=fields))
            continue
        field = _FIELD.fullmatch(text)
        if field is None or not items:
            msg = f"{source.at(line)}: expected '  name: number' below a key, found {text[:60]!r}."
            raise DataError(msg)
        if field[2] not in names or field[2] in fields:
            state = "again" if field[2] in fields else f"which is none of {', '.join(names)}"
            msg = f"{source.at(line)}: {items[-1].key}: found field '{field[2]}', {state}."
            raise DataError(msg)
        fields[field[2]] = field[3]
    _check_complete(source, items, names)
    if not items:
        msg = f"{source.name}: no entries. Is this the right file?"
        raise DataError(msg)
    return tuple(items)


def _key(text: str, *, where: str) -> str:
    try:
        refuse_name(text)
    except ValueError as unprintable:
        msg = f"{where}: {unprintable}. Is this the right file?"
        raise DataError(msg) from unprintable
    key = text.rstrip(" ").removesuffix(":")
    if key + ":" != text.rstrip(" ") or not key or any(c in key for c in " \t#'\"{}[]&*!|>%@`"):
        msg = f"{where}: expected a block's name and a colon, found {text[:60]!r}."
        raise DataError(msg)
    return key


def _check_complete(source: Source, items: Sequence[Item], names: Sequence[str]) -> None:
    """Refuse a last item that lacks a field."""
    missing = [name for name in names if items and name not in items[-1].fields]
    if missing:
        msg = f"{source.at(items[-1].line)}: {items[-1].key} has no '{missing[0]}'; is it cut off?"
        raise DataError(msg)


def block_name(key: str) -> BlockName | None:
    """Parse a key; None if it has a different form.

    >>> block_name("Logits-input:1x1x64-output:10").out_shape
    (1, 1, 10)
    """
    match = _NAME.fullmatch(key)
    if match is None:
        return None
    pairs = [part.split(":") for part in match[2].removeprefix("-").split("-")]
    fields = dict(map(tuple, pairs))
    if len(fields) != len(pairs) or not {"input", "output"} <= fields.keys():
        return None
    shapes = [fields.pop("input"), fields.pop("output")]
    if not all(map(_SIZES.fullmatch, shapes)) or not all(map(_NUMBER.fullmatch, fields.values())):
        return None
    in_shape, out_shape = map(_shape, shapes)
    numbers = {name: int(text) for name, text in fields.items()}
    return BlockName(kind=match[1], in_shape=in_shape, out_shape=out_shape, numbers=numbers)


def _shape(text: str) -> tuple[int, int, int]:
    *size, channels = map(int, text.split("x"))
    height, width = size or (1, 1)
    return height, width, channels


def mbconv(name: BlockName, *, mid: int, act: Activation) -> OpSpec:
    """Return the inverted residual block of a name with kernel, stride, idskip and se.

    Raises:
        DataError: such a block is not possible.
    """
    numbers = name.numbers
    if not {numbers["idskip"], numbers["se"]} <= {0, 1}:
        msg = f"idskip:{numbers['idskip']} or se:{numbers['se']} is neither 0 nor 1"
        raise DataError(msg)
    return OpSpec(
        kind="mbconv",
        in_shape=(1, *name.in_shape),
        out_channels=name.out_shape[2],
        mid_channels=mid,
        kernel=numbers["kernel"],
        stride=numbers["stride"],
        act=act,
        se_channels=make_divisible(mid // 4) if numbers["se"] else 0,
        residual=bool(numbers["idskip"]),
    )


def check_output(op: OpSpec, name: BlockName) -> OpSpec:
    """Return the operation if its output is that of the name.

    Raises:
        DataError: it is not, because the padding differs or the key is damaged.
    """
    if (size := op.out_shape[1:]) != name.out_shape:
        ours, theirs = ("x".join(map(str, shape)) for shape in (size, name.out_shape))
        msg = f"its output would be {ours}, not {theirs}"
        raise DataError(msg)
    return op
