"""Lock files between processes. Another user cannot plant one, and each names its holder."""

import fcntl
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hwnat.errors import UsageError

#: Name of the lock file inside a folder that is held.
LOCK_NAME: Final = ".lock"
#: Most bytes of the description of a holder.
_HOLDER_BYTES: Final = 400


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one command; the folder is created if it does not exist.

    Args:
        folder: the folder that no other process may write to until the block ends.

    Raises:
        UsageError: another process holds the folder (the message names the process), or no lock
            file can be created in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        msg = f"Cannot create folder {folder}: {problem.strerror}; choose another folder."
        raise UsageError(msg) from problem
    with file_lock(folder / LOCK_NAME, what=f"Folder {folder}"):
        yield


@contextmanager
def file_lock(
    path: Path, *, what: str, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold an exclusive lock until the block ends or the process dies.

    The lock file is not removed when the lock is released: two processes could then lock two files
    of the same name.

    Args:
        path: path of the lock file. It is created with mode 0600 and never opened through a link.
        what: name of the protected thing, for messages.
        waiting: called once with a line that names the holder if another process holds the lock;
            then this process waits for the lock. None raises an error instead of waiting.

    Raises:
        UsageError: another process holds the lock and `waiting` is None, or the lock file is not
            a regular file of this user.
    """
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(handle)
            if waiting is None:
                msg = f"{what} is in use by {holder}. Wait for it to end, or choose another."
                raise UsageError(msg) from None
            waiting(f"{what} is in use by {holder}; waiting for it to end.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        os.ftruncate(handle, 0)
        os.pwrite(handle, _own_words(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def run_directory() -> Path:
    """Return this user's private directory for lock files, and create it if it does not exist.

    If `XDG_RUNTIME_DIR` is not set, the directory is created below the one for temporary files.

    Source: the XDG Base Directory Specification.

    Raises:
        UsageError: the directory cannot be created, belongs to another user, or is writable for
            others.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = Path(base).is_absolute() and os.access(base, os.W_OK | os.X_OK)
    path = Path(base) / "hwnat" if usable else Path(tempfile.gettempdir()) / f"hwnat-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as problem:
        msg = f"Cannot create {path} for lock files: {problem.strerror}; set TMPDIR."
        raise UsageError(msg) from problem
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
    if not private or status.st_uid != os.getuid():
        msg = f"{path} is not a private directory of yours; remove it, or set TMPDIR."
        raise UsageError(msg)
    return path


def _open(path: Path) -> int:
    # Without O_NONBLOCK, opening a FIFO would wait for a process at its other end.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        handle = os.open(path, flags, 0o600)
    except OSError as problem:
        msg = f"Cannot open lock file {path}: {problem.strerror}. Remove it if it is not hwnat's."
        raise UsageError(msg) from problem
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and status.st_uid == os.geteuid():
        return handle
    os.close(handle)
    msg = f"Lock file {path} is not a plain file of yours; remove it."
    raise UsageError(msg)


def _own_words() -> bytes:
    """Describe this process on one line: its number and its command."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else ["python"]
    line = f"process {os.getpid()} ({shlex.join(words)})"
    return line.encode("utf-8", "replace")[:_HOLDER_BYTES]


def _holder(handle: int) -> str:
    text = os.pread(handle, _HOLDER_BYTES, 0).decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text) or "another process"
