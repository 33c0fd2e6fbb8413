"""From JSON or TOML values to records: strict, one line for each thing that can be wrong."""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hwnat.errors import DataError, HwnatError

T = TypeVar("T")


def record(cls: type[T], raw: object, *, where: str, error: type[HwnatError] = DataError) -> T:
    """Build the dataclass `cls` from decoded JSON or TOML.

    Args:
        cls: a dataclass of scalars, literals, tuples, mappings with text keys, dataclasses
            and optionals of these.
        raw: what the decoder returned.
        where: the file, named in every message.
        error: what to raise.

    Raises:
        HwnatError: `error`, for an unknown or missing key, a value of another type, or one
            that the record itself refuses.
    """
    if not isinstance(raw, Mapping):
        msg = f"{where}: expected a table of keys, found {type(raw).__name__}."
        raise error(msg)
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in raw:
        if key not in hints:
            near = get_close_matches(str(key), known, n=1, cutoff=0.0)
            msg = f"{where}: unknown key '{key}'. Did you mean '{near[0]}'?"
            raise error(msg)
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name not in raw and field.default is field.default_factory is MISSING:
            msg = f"{where}: key '{field.name}' is missing."
            raise error(msg)
    values = {
        key: _value(hints[key], value, where=f"{where}: {key}", error=error)
        for key, value in raw.items()
    }
    try:
        return cls(**values)
    except HwnatError as refused:
        msg = f"{where}: {refused}"
        raise error(msg) from refused


def _value(hint: Any, raw: object, *, where: str, error: type[HwnatError]) -> Any:  # noqa: ANN401
    """Return `raw` as a value of the annotation `hint`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(args, raw, where=where, error=error)
    if isinstance(hint, type) and is_dataclass(hint):
        return record(hint, raw, where=where, error=error)
    if origin is Literal and raw in args:
        return raw
    if origin is tuple and isinstance(raw, list | tuple):
        if args[-1] is Ellipsis:
            args = (args[0],) * len(raw)
        if len(args) == len(raw):
            pairs = zip(args, raw, strict=True)
            return tuple(_value(each, item, where=where, error=error) for each, item in pairs)
    if origin is Mapping and isinstance(raw, Mapping):
        return {
            str(key): _value(args[1], item, where=f"{where}: {key}", error=error)
            for key, item in raw.items()
        }
    if hint is float and type(raw) is int:
        return float(raw)
    # An exact match of types, because a bool would pass for an int.
    if type(raw) is not hint:
        msg = f"{where}: expected {_name(hint)}, found {raw!r:.80}."
        raise error(msg)
    return raw


def _union(args: tuple[Any, ...], raw: object, *, where: str, error: type[HwnatError]) -> Any:  # noqa: ANN401
    """Return `raw` as the first member of a union that takes it."""
    if raw is None and type(None) in args:
        return None
    members = [each for each in args if each is not type(None)]
    for each in members[:-1]:
        try:
            return _value(each, raw, where=where, error=error)
        except error:
            continue
    return _value(members[-1], raw, where=where, error=error)


def _name(hint: Any) -> str:  # noqa: ANN401
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    return getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint)


def strict_json(text: str, *, where: str) -> Any:  # noqa: ANN401
    """Decode JSON, refusing duplicate keys, NaN and infinities.

    Raises:
        DataError: `where` is truncated or not such JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [key for key, _ in pairs]
            twice = next(key for key in names if names.count(key) > 1)
            msg = f"{where}: key '{twice}' occurs twice."
            raise DataError(msg)
        return found

    def refuse(constant: str) -> None:
        msg = f"{where}: holds {constant}, which is not a measurement."
        raise DataError(msg)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as damage:
        msg = f"{where}: not JSON, or truncated ({damage}); restore it or make it again."
        raise DataError(msg) from damage


def read_text(path: Path, *, what: str) -> str:
    """Read a UTF-8 file.

    Raises:
        DataError: it is missing or not text; `what` says what was expected.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not UTF-8 text"
        msg = f"Cannot read {what} {path}: {reason}; restore it or make it again."
        raise DataError(msg) from problem
