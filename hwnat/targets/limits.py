"""Limits on the size of a model, and one error for every model that a runtime cannot read.

A model file may come from an untrusted source. Declared sizes are checked before a runtime loads
the file. Sizes that a runtime computes are known only when it allocates memory, so its memory is
limited as well.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Final

from hwnat.errors import DataError, HwnatError

#: Operators of a model; a call of a local function counts as the operators of that function. The
#: time that runtimes take to load a model grows with the square of this number.
MAX_OPERATORS: Final = 5_000
#: Nesting depth of calls to local functions; readers recurse into them.
MAX_CALL_DEPTH: Final = 64
#: Bytes of one tensor that a model reads or computes.
MAX_TENSOR_BYTES: Final = 256 << 20
#: Memory that a runtime may use to load and run a model, besides four copies of the file.
MAX_MEMORY_BYTES: Final = 1 << 30
_OUT_OF_MEMORY: Final = re.compile(r"(?i)bad_alloc|(fail|can.t|cannot|unable)[^.]{0,20} allocate")

#: Name of a data file in an ONNX file: the key, then the length of the value.
_LOCATION: Final = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


def check_operators(count: int, path: Path) -> None:
    """Refuse a model with too many operators.

    Raises:
        DataError: the model has more than `MAX_OPERATORS`.
    """
    if count > MAX_OPERATORS:  # the count itself may have thousands of digits
        msg = f"{path} has over {MAX_OPERATORS} operators, which is the limit; split the model."
        raise DataError(msg)


def check_depth(depth: int, path: Path) -> None:
    """Refuse local functions whose calls are nested too deeply.

    Raises:
        DataError: the depth exceeds `MAX_CALL_DEPTH`.
    """
    if depth > MAX_CALL_DEPTH:
        msg = (
            f"{path} has local functions that call each other over {MAX_CALL_DEPTH} deep, which is "
            "the limit; export the model without local functions."
        )
        raise DataError(msg)


def check_tensor(name: str, shape: Sequence[int], path: Path, *, item_bytes: int = 4) -> None:
    """Refuse a tensor that is too large.

    Raises:
        DataError: the tensor takes more than `MAX_TENSOR_BYTES`.
    """
    if prod(int(side) for side in shape) * item_bytes > MAX_TENSOR_BYTES:
        text = "x".join(map(str, shape))
        msg = (
            f"{path}: tensor '{name:.80}' of shape {text:.80} takes over {MAX_TENSOR_BYTES} bytes, "
            "which is the limit; export the model for a smaller input."
        )
        raise DataError(msg)


@contextmanager
def reading(path: Path, runtime: str) -> Iterator[None]:
    """Let a runtime load or run a file with limited memory; turn its exceptions into `DataError`.

    Readers of model formats raise many kinds of exceptions for a damaged file, so all are caught.

    Args:
        path: path of the file.
        runtime: name of the runtime, for the message.

    Raises:
        DataError: the runtime refused the file, or needed more than `MAX_MEMORY_BYTES`.
    """
    with _bounded_memory(path):
        try:
            yield
        except HwnatError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(reason):
                msg = (
                    f"{path} needs more memory than {runtime} gets for it, {MAX_MEMORY_BYTES} "
                    f"bytes ({reason}); export the model for a smaller input."
                )
                raise DataError(msg) from error
            msg = f"{path} is not a model that {runtime} can run ({reason}); export it again."
            raise DataError(msg) from error


@contextmanager
def _bounded_memory(path: Path) -> Iterator[None]:
    """Limit this process's private memory to its current size plus the allowance."""
    try:
        import resource
    except ImportError:  # a system without such limits
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    held = _held_bytes()
    bound = held + MAX_MEMORY_BYTES + 4 * _size_bytes(path)
    lower = held > 0 and (soft == resource.RLIM_INFINITY or bound < soft)
    if lower:
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        if lower:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _size_bytes(path: Path) -> int:
    """Return the size of a model with the files that hold its weights; 0 if there is none."""
    if not path.is_file():
        return 0
    others = [path.with_suffix(".bin")] if path.suffix == ".xml" else []
    if path.suffix == ".onnx":
        content = path.read_bytes()
        words = {
            content[match.end() : match.end() + match[1][0]]
            for match in _LOCATION.finditer(content)
        }
        others = [path.parent / word.decode(errors="replace") for word in sorted(words)]
    return sum(file.stat().st_size for file in (path, *others) if file.is_file())


def _held_bytes() -> int:
    """Return the private memory of this process; 0 where the system does not report it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmData:")]
    return int(sizes[0]) * 1024 if sizes else 0
