"""Write a file in one step: readers see the old content or the new one, never a part."""

import os
import tempfile
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
    try:
        _replace_text(path, text, mode=mode)
    except OSError as problem:
        msg = f"Cannot write {path}: {problem.strerror}; choose another path."
        raise UsageError(msg) from problem


def _replace_text(path: Path, text: str, *, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files, but a table is meant to be read by others.
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
