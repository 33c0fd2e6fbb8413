"""The shell and exec services of adbd."""

import asyncio
import signal
import struct
from contextlib import suppress

from played.faults import Faults, mangled
from played.userland import end_session

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Command:
    """A line of shell on a stream; v2 has separate streams and an exit code."""

    def __init__(self, adbd, stream, *, v2: bool) -> None:
        self.adbd, self.stream, self.v2 = adbd, stream, v2
        self.harm = Faults()
        self.sent = self.printed = 0

    def packet(self, kind: int, data: bytes) -> bytes:
        return struct.pack("<BI", kind, len(data)) + data if self.v2 else data

    async def serve(self, line: str) -> None:
        if self.adbd.faults.of_commands:
            self.harm = self.adbd.faults.of(line)
        if self.harm.before is not None:
            await asyncio.to_thread(self.harm.before, line)
        if self.stream.closed:
            return
        if self.harm.says is not None:
            await self.stream.write(self.packet(STDOUT, self.harm.says))
            await self.stream.write(self.packet(EXIT, b"\0") if self.v2 else b"")
        elif self.harm.hang:
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
            if self.harm.cut_after is not None:
                self.stream.link.cut()
            elif self.v2:
                status = code & 0xFF if code >= 0 else 128 - code
                await self.stream.write(self.packet(EXIT, bytes([status])))
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await feeding
            end_session(child.pid, signal.SIGKILL, spare=True)
            # A pipe with output that nobody takes any more would be waited for without end.
            child._transport.close()
            await child.wait()

    async def pump(self, kind: int, source) -> None:
        whole = b""
        while source is not None and (data := await source.read(1 << 15)):
            if kind == STDOUT and self.harm.mangle is not None:
                whole += data
            else:
                await self.pass_on(kind, data)
        if whole:
            await self.pass_on(kind, mangled(whole, self.harm.mangle, self.harm.seed))

    async def pass_on(self, kind: int, data: bytes) -> None:
        """Send output, as much of it as is to be sent."""
        if self.harm.truncate is not None:
            data = data[: max(0, self.harm.truncate - self.sent)]
        self.sent += len(data)
        cut = self.harm.cut_after if kind == STDOUT else None
        if kind == STDOUT:
            self.printed += len(data)
        if cut is not None and self.printed >= cut:
            if part := data[: len(data) + cut - self.printed]:
                await self.stream.write(self.packet(kind, part))
                # What the host's adb has taken it needs a moment to pass on.
                await asyncio.sleep(0.1)
            self.stream.link.cut()
            raise ConnectionResetError
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
            end_session(self.child.pid, signal.SIGKILL, spare=True)

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
