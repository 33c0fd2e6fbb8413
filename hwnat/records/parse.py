"""Read files, check them, and turn JSON or TOML into records.

hwnat reads its files through these functions, so every file gets the same checks: size, encoding,
depth, duplicate keys, ranges of numbers, types.
"""

import json
import math
import os
import re
import reprlib
import stat
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import (
    Any,
    BinaryIO,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from hwnat.errors import DataError, HwnatError

T = TypeVar("T")

#: Largest size of a file. A table of 100,000 operations has 24 MB.
MAX_BYTES: Final = 32 << 20
#: Deepest nesting of JSON. Files that hwnat writes have at most eight levels.
MAX_DEPTH: Final = 64
#: Largest integer in a file: integers fit into 64 bits, including the sign.
MAX_INT: Final = (1 << 63) - 1
#: Name of a device, a target or a space in a file; it is never a path or an option.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)

_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 2


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a device, a target or a space in a file.

    >>> is_name("pixel-8"), is_name("../pixel-8"), is_name("pixel-8.toml")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None and not text.endswith(".toml")


def record(cls: type[T], raw: object, *, where: str, error: type[HwnatError] = DataError) -> T:
    """Build the dataclass `cls` from decoded JSON or TOML.

    Args:
        cls: a dataclass of scalars, literals, tuples, mappings with text keys, dataclasses
            and optionals of these.
        raw: decoded JSON or TOML.
        where: name of the file, for messages.
        error: class of the error to raise.

    Raises:
        HwnatError: `error`, if a key is unknown or missing, a value has the wrong type, a number is
            not finite or exceeds 64 bits, or the record itself refuses a value.
    """
    if not isinstance(raw, Mapping):
        msg = f"{where}: expected a table of keys, found {type(raw).__name__}."
        raise error(msg)
    hints = _hints(cls)  # type: ignore[arg-type]
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in raw:
        if key not in hints:
            near = get_close_matches(str(key)[:80], known, n=1, cutoff=0.0)
            msg = f"{where}: unknown key '{key!s:.80}'. Did you mean '{near[0]}'?"
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


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the types of a record's fields, cached because a table may have 100,000 records."""
    return get_type_hints(cls)


def _value(hint: Any, raw: object, *, where: str, error: type[HwnatError]) -> Any:  # noqa: ANN401
    """Return `raw` as a value of the annotation `hint`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(args, raw, where=where, error=error)
    if isinstance(hint, type) and is_dataclass(hint):
        return record(hint, raw, where=where, error=error)
    # The types must match as well, because True == 1.
    if origin is Literal and any(raw == arg and type(raw) is type(arg) for arg in args):
        return raw
    if origin is tuple and isinstance(raw, list | tuple):
        hints = (args[0],) * len(raw) if args[-1] is Ellipsis else args
        if len(hints) == len(raw):
            pairs = zip(hints, raw, strict=True)
            return tuple(_value(kind, item, where=where, error=error) for kind, item in pairs)
    if origin is Mapping and isinstance(raw, Mapping):
        return {
            str(key): _value(args[1], item, where=f"{where}: {key!s:.80}", error=error)
            for key, item in raw.items()
        }
    return _scalar(hint, raw, where=where, error=error)


def _scalar(hint: Any, raw: object, *, where: str, error: type[HwnatError]) -> Any:  # noqa: ANN401
    """Return `raw` as a text, a number or a truth value; True is not a number."""
    if hint in (int, float) and type(raw) in (int, float):
        _check_number(raw, where=where, error=error)
        if hint is float:
            return float(raw)  # type: ignore[arg-type]
    if type(raw) is not hint:
        msg = f"{where}: expected {_name(hint)}, found {_shown(raw)}."
        raise error(msg)
    return raw


def _check_number(raw: object, *, where: str, error: type[HwnatError]) -> None:
    if isinstance(raw, int) and abs(raw) > MAX_INT:
        msg = f"{where}: an integer of {raw.bit_length()} bits is too large; it must fit into 64."
        raise error(msg)
    if isinstance(raw, float) and not math.isfinite(raw):
        msg = f"{where}: {raw} is not a finite number."
        raise error(msg)


def _union(args: tuple[Any, ...], raw: object, *, where: str, error: type[HwnatError]) -> Any:  # noqa: ANN401
    """Return `raw` as the first member of a union that accepts it."""
    if raw is None and type(None) in args:
        return None
    members = [member for member in args if member is not type(None)]
    for member in members[:-1]:
        try:
            return _value(member, raw, where=where, error=error)
        except error:
            continue
    return _value(members[-1], raw, where=where, error=error)


def _name(hint: Any) -> str:  # noqa: ANN401
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    return getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint)


def _shown(raw: object) -> str:
    """Return a short text for any value, however large or deep it is."""
    try:
        return _SHORT.repr(raw)[:200]
    except ValueError:  # Python does not print integers of thousands of digits
        return f"a large {type(raw).__name__}"


def strict_json(text: str, *, where: str) -> Any:  # noqa: ANN401
    """Decode JSON, and refuse content that no record can hold.

    Refused are duplicate keys, numbers that are not finite or exceed 64 bits, text that is not
    Unicode (half of a surrogate pair), and nesting deeper than `MAX_DEPTH`.

    Raises:
        DataError: the text is truncated, is not JSON, or holds refused content.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        decoded = dict(pairs)
        if len(decoded) != len(pairs):
            double = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
            msg = f"{where}: key '{double:.80}' occurs twice."
            raise DataError(msg)
        return decoded

    def refuse(constant: str) -> None:
        msg = f"{where}: holds {constant}, which is not a measurement."
        raise DataError(msg)

    try:
        decoded = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as damage:
        msg = f"{where}: not JSON, or truncated ({damage}); restore it or make it again."
        raise DataError(msg) from damage
    for leaf in _leaves(decoded, where=where):
        if isinstance(leaf, str):
            if not leaf.isascii():
                _check_unicode(leaf, where=where)
        else:
            _check_number(leaf, where=where, error=DataError)
    return decoded


def _leaves(decoded: object, *, where: str) -> Iterator[object]:
    """Yield every text, key and number of decoded JSON, level by level."""
    level: list[object] = [decoded]
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for value in level:
            if isinstance(value, dict):
                yield from value
                deeper.extend(value.values())
            elif isinstance(value, list):
                deeper.extend(value)
            else:
                yield value
        if not deeper:
            return
        level = deeper
    msg = f"{where}: nested more than {MAX_DEPTH} levels deep; restore it or make it again."
    raise DataError(msg)


def _check_unicode(text: str, *, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as damage:
        msg = f"{where}: holds text that is not Unicode ({damage.reason}); make it again."
        raise DataError(msg) from damage


def read_bytes(
    path: Path, *, what: str, max_bytes: int = MAX_BYTES, error: type[HwnatError] = DataError
) -> bytes:
    """Read a whole regular file.

    A FIFO or a device is refused at once.

    Args:
        path: path of the file; links are followed.
        what: kind of file that is expected, for messages.
        max_bytes: largest size of the file.
        error: class of the error to raise.

    Raises:
        HwnatError: `error`, if the file is missing, unreadable, not regular or too large.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a process that writes to it.
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                msg = f"Cannot read {what} {path}: it is not a regular file; choose another."
                raise error(msg)
            content = b"" if status.st_size > max_bytes else _read_up_to(file, max_bytes + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        msg = f"Cannot read {what} {path}: {reason}; restore it or make it again."
        raise error(msg) from problem
    if len(content) > max_bytes or status.st_size > max_bytes:
        limit = f"{max_bytes >> 20} MiB" if max_bytes >> 20 else f"{max_bytes >> 10} KiB"
        msg = f"Cannot read {what} {path}: it is larger than {limit}; choose a smaller file."
        raise error(msg)
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _read_up_to(file: BinaryIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_text(
    path: Path, *, what: str, max_bytes: int = MAX_BYTES, error: type[HwnatError] = DataError
) -> str:
    """Read a whole regular file of UTF-8 text; see `read_bytes` for the arguments.

    Raises:
        HwnatError: `error`, if `read_bytes` raises it or the file is not UTF-8.
    """
    content = read_bytes(path, what=what, max_bytes=max_bytes, error=error)
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        msg = f"Cannot read {what} {path}: not UTF-8 text; restore it or make it again."
        raise error(msg) from problem
