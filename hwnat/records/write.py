"""Write a file in one step: readers see the old content or the new one, never a part."""

import os
import secrets
from pathlib import Path

from hwnat.errors import UsageError


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace the content of `path` in one step: readers see the old file or the new one.

    Args:
        path: of the file; its folder is created if it does not exist.
        text: written as UTF-8.
        mode: permissions of the file.

    Raises:
        UsageError: the path cannot be written to.
    """
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace the content of `path` in one step; see `write_text`.

    Args:
        path: of the file; its folder is created if it does not exist.
        content: of the file.
        mode: permissions of the file; None leaves them to the umask.

    Raises:
        UsageError: the path cannot be written to.
    """
    try:
        _replace(path, content, mode=mode)
    except OSError as problem:
        msg = f"Cannot write {path}: {problem.strerror}; choose another path."
        raise UsageError(msg) from problem


def _replace(path: Path, content: bytes, *, mode: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp, whose files are private whatever the umask says.
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
