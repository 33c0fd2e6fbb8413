"""The file service of adbd: stat, list, send and receive, in both of their versions."""

import os
import stat
import struct
from pathlib import Path

CHUNK = 1 << 16
STAT2 = "<4sIQQIIIIQqqq"


async def serve_sync(userland, stream, *, flip: bool) -> None:
    """Answer requests until the client quits."""
    while True:
        name, size = struct.unpack("<4sI", await stream.read(8))
        if name == b"QUIT":
            return
        path = (await stream.read(size)).decode("utf-8", "surrogateescape")
        if name in (b"STAT", b"STA2", b"LST2"):
            await stream.write(stated(name, userland.at(path)))
        elif name in (b"LIST", b"LIS2"):
            await stream.write(listed(name, userland.at(path)))
        elif name == b"RECV":
            await receive(userland.at(path), stream)
        elif name == b"SEND":
            path, _, mode = path.rpartition(",")
            await send(userland.at(path), int(mode), stream, flip=flip)
        else:
            await fail(stream, f"unknown request {name!r}")
            return


async def fail(stream, words: str) -> None:
    text = words.encode("utf-8", "surrogateescape")
    await stream.write(struct.pack("<4sI", b"FAIL", len(text)) + text)


def stated(name: bytes, path: Path) -> bytes:
    try:
        found = path.lstat() if name == b"LST2" else path.stat()
        error = 0
    except OSError as problem:
        found, error = os.stat_result((0,) * 10), problem.errno
    if name == b"STAT":
        return struct.pack("<4sIII", name, found.st_mode, found.st_size, int(found.st_mtime))
    return struct.pack(STAT2, name, error, *fields(found))


def fields(found: os.stat_result) -> tuple[int, ...]:
    times = tuple(int(each) for each in (found.st_atime, found.st_mtime, found.st_ctime))
    ids = (found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid)
    return (*ids, found.st_size, *times)


def listed(name: bytes, path: Path) -> bytes:
    """Return a record for each entry; the last one is as long as one without a name."""
    answer = b""
    for each in sorted(path.iterdir()) if path.is_dir() else ():
        found, label = each.lstat(), os.fsencode(each.name)
        if name == b"LIS2":
            answer += struct.pack(STAT2 + "I", b"DNT2", 0, *fields(found), len(label)) + label
        else:
            short = (found.st_mode, found.st_size, int(found.st_mtime), len(label))
            answer += struct.pack("<4sIIII", b"DENT", *short) + label
    return answer + b"DONE" + bytes(72 if name == b"LIS2" else 16)


async def receive(path: Path, stream) -> None:
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                await stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
    except OSError as problem:
        await fail(stream, f"open failed: {problem.strerror}")
        return
    await stream.write(struct.pack("<4sI", b"DONE", 0))


async def send(path: Path, mode: int, stream, *, flip: bool) -> None:
    """Take a file; after an error the rest is still read, then the client is told."""
    failed, file, target = None, None, b""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        file = None if stat.S_ISLNK(mode) else path.open("wb", buffering=0)
    except OSError as problem:
        failed = f"couldn't create file: {problem.strerror}"
    try:
        while (head := struct.unpack("<4sI", await stream.read(8)))[0] != b"DONE":
            data = await stream.read(head[1])
            if flip:
                data, flip = bytes([data[0] ^ 1]) + data[1:], False
            try:
                while data and file is not None and failed is None:
                    data = data[file.write(data) :]
            except OSError as problem:
                failed = f"write failed: {problem.strerror}"
            target += data if file is None else b""
    finally:
        if file is not None:
            file.close()
    if failed is not None:
        path.unlink(missing_ok=True)
        await fail(stream, failed)
        return
    if file is None:
        path.symlink_to(os.fsdecode(target.rstrip(b"\0")))
    else:
        path.chmod(mode & 0o777)
    await stream.write(struct.pack("<4sI", b"OKAY", 0))
