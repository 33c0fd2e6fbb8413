"""The shell and exec services of adbd."""

import asyncio
import signal
import struct
from contextlib import suppress

from device.userland import end_session

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Command:
    """A line of shell on a stream; v2 has separate streams and an exit code."""

    def __init__(self, adbd, stream, *, v2: bool) -> None:
        self.adbd, self.stream, self.v2 = adbd, stream, v2
        self.left = adbd.faults.truncate

    def packet(self, kind: int, data: bytes) -> bytes:
        return struct.pack("<BI", kind, len(data)) + data if self.v2 else data

    async def serve(self, line: str) -> None:
        if self.adbd.faults.says is not None:
            await self.stream.write(self.packet(STDOUT, self.adbd.faults.says))
            await self.stream.write(self.packet(EXIT, b"\0") if self.v2 else b"")
        elif self.adbd.faults.hang:
            while await self.stream.next() is not None:
                continue
        else:
            await self.run(line)

    async def run(self, line: str) -> None:
        pipe = asyncio.subprocess.PIPE
        self.child = child = await asyncio.create_subprocess_exec(
            *self.adbd.userland.command(line),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe if self.v2 else asyncio.subprocess.STDOUT,
            env=self.adbd.userland.env,
            start_new_session=True,
        )
        feeding = asyncio.create_task(self.feed())
        try:
            await asyncio.gather(self.pump(STDOUT, child.stdout), self.pump(STDERR, child.stderr))
            code = await child.wait()
            if self.v2:
                status = code & 0xFF if code >= 0 else 128 - code
                await self.stream.write(self.packet(EXIT, bytes([status])))
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await feeding
            end_session(child.pid, signal.SIGKILL)
            # A pipe with output that nobody takes any more would be waited for without end.
            child._transport.close()
            await child.wait()

    async def pump(self, kind: int, source) -> None:
        while source is not None and (data := await source.read(1 << 15)):
            if self.left is not None:
                data, self.left = data[: self.left], max(0, self.left - len(data))
            if data:
                await self.stream.write(self.packet(kind, data))

    async def feed(self) -> None:
        """Hand the host's input on; when the host is gone, end what runs."""
        rest = b""
        while (data := await self.stream.next()) is not None:
            rest = await self.take(rest + data)
        self.child.stdin.close()
        if self.v2:
            end_session(self.child.pid, signal.SIGHUP)
            await asyncio.sleep(0.05)
            end_session(self.child.pid, signal.SIGKILL)

    async def take(self, data: bytes) -> bytes:
        """Hand on what is whole; return the rest."""
        while self.v2 and len(data) >= 5:
            kind, size = struct.unpack("<BI", data[:5])
            if len(data) < 5 + size:
                return data
            payload, data = data[5 : 5 + size], data[5 + size :]
            if kind == CLOSE_STDIN:
                self.child.stdin.close()
            elif kind == STDIN:
                await self.write(payload)
        if not self.v2:
            await self.write(data)
            return b""
        return data

    async def write(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self.child.stdin.write(data)
            await self.child.stdin.drain()
