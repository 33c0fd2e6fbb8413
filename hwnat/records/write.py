"""Replace files in one step: readers see the old content or the new, never a part of it."""

import os
import secrets
from pathlib import Path

from hwnat.errors import UsageError


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace the content of `path` in one step: readers see the old content or the new.

    Args:
        path: path of the file; its folder is created if it does not exist.
        text: the new content, written as UTF-8.
        mode: permissions of the file.

    Raises:
        UsageError: the file cannot be written.
    """
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace the content of `path` in one step; see `write_text`.

    Args:
        path: path of the file; its folder is created if it does not exist.
        content: the new content.
        mode: permissions of the file; None leaves them to the umask.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        _replace(path, content, mode=mode)
    except OSError as problem:
        msg = f"Cannot write {path}: {problem.strerror}; choose another path."
        raise UsageError(msg) from problem


def _replace(path: Path, content: bytes, *, mode: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp would create a private file whatever the umask is.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
