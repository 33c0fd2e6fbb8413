"""The device's side of the adb protocol, for genuine adb clients: shell v2, exec, sync, auth.

Only what is implemented is announced to the client. Every fault is a field of `Faults`.
"""

import asyncio
import base64
import secrets
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from played.command import Command
from played.faults import Faults, Outages
from played.sync import serve_sync

CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (
    int.from_bytes(word, "little")
    for word in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
VERSION, MAX_DATA = 0x01000001, 1 << 20
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
SHA1_PREFIX = bytes.fromhex("3021300906052b0e03021a05000414")
FEATURES = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir"


class Stream:
    """One service; one message is under way in each direction."""

    def __init__(self, link, mine: int, theirs: int) -> None:
        self.link, self.mine, self.theirs = link, mine, theirs
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.acknowledged = asyncio.Event()
        self.closed = False
        self.rest = b""

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.link.max_data):
            if self.closed:
                raise ConnectionResetError
            self.acknowledged.clear()
            await asyncio.sleep(self.link.faults.delay_s)
            self.link.send(WRTE, self.mine, self.theirs, data[start : start + self.link.max_data])
            await self.acknowledged.wait()

    async def next(self) -> bytes | None:
        """Return what comes next, None at the end; it is acknowledged when it is taken."""
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        data = await self.incoming.get()
        if data is not None:
            await asyncio.sleep(self.link.faults.delay_s)
            self.link.send(OKAY, self.mine, self.theirs)
        return data

    async def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing:
            data = await self.next()
            if data is None:
                raise ConnectionResetError
            parts.append(data[:missing])
            self.rest = data[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def end(self) -> None:
        self.closed = True
        self.incoming.put_nowait(None)
        self.acknowledged.set()


class Link:
    """One connection of an adb server."""

    def __init__(self, adbd, reader, writer) -> None:
        self.adbd, self.reader, self.writer = adbd, reader, writer
        self.faults = adbd.faults
        self.max_data = MAX_DATA
        self.streams: dict[int, Stream] = {}
        self.tasks: set[asyncio.Task] = set()
        self.token = secrets.token_bytes(20)
        self.received = self.sent = 0

    def send(self, command: int, a: int, b: int, data: bytes = b"") -> None:
        if command == WRTE:
            self.sent += len(data)
            if self.goes_wrong(self.sent, self.faults.cut_sent):
                return
        head = struct.pack("<6I", command, a, b, len(data), 0, command ^ 0xFFFFFFFF)
        with suppress(ConnectionError):
            self.writer.write(head + data)

    def goes_wrong(self, carried: int, limit: int | None) -> bool:
        """Cut the link that has carried more than it can."""
        wrong = limit is not None and carried > limit and self.faults.strikes()
        if wrong:
            self.cut()
        return wrong

    def cut(self) -> None:
        """End as when the cable is pulled."""
        self.writer.transport.abort()
        for stream in self.streams.values():
            stream.end()

    async def serve(self) -> None:
        try:
            while True:
                head = struct.unpack("<6I", await self.reader.readexactly(24))
                command, a, b, size, _, magic = head
                if magic != command ^ 0xFFFFFFFF or size > MAX_DATA:
                    return
                await self.take(command, a, b, await self.reader.readexactly(size))
                await self.writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.cut()
            if self.tasks:
                await asyncio.wait(self.tasks)

    async def take(self, command: int, a: int, b: int, data: bytes) -> None:
        if command in (CNXN, AUTH):
            self.greet(command, a, b, data)
        elif command == OPEN:
            stream = self.streams[a] = Stream(self, a, a)
            task = asyncio.create_task(self.serve_stream(stream, data.rstrip(b"\0").decode()))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif (stream := self.streams.get(b)) is None:
            return
        elif command == OKAY:
            stream.acknowledged.set()
        elif command == WRTE:
            self.received += len(data)
            if self.goes_wrong(self.received, self.faults.cut_received):
                return
            stream.incoming.put_nowait(data)
        elif command == CLSE:
            stream.end()

    def greet(self, command: int, a: int, b: int, data: bytes) -> None:
        """Let a host in, at once or once it has shown its key."""
        welcome = False
        if command == CNXN and not self.faults.silent:
            self.max_data = min(b, MAX_DATA)
            welcome = not (self.adbd.authenticate or self.faults.deny)
        elif command == AUTH:
            welcome = self.adbd.accepts(a, data, self.token)
        if welcome:
            self.send(CNXN, VERSION, MAX_DATA, self.adbd.banner)
        elif (command == CNXN and not self.faults.silent) or a == SIGNATURE:
            self.send(AUTH, TOKEN, 0, self.token)

    async def serve_stream(self, stream: Stream, service: str) -> None:
        name, _, rest = service.partition(":")
        try:
            if name.startswith(("shell", "exec")):
                self.send(OKAY, stream.mine, stream.theirs)
                await Command(self.adbd, stream, v2="v2" in name.split(",")).serve(rest)
            elif name == "sync":
                self.send(OKAY, stream.mine, stream.theirs)
                await serve_sync(self.adbd.userland, stream, flip=self.faults.flip)
        except ConnectionError:
            pass
        finally:
            self.streams.pop(stream.mine, None)
            self.send(CLSE, stream.mine, stream.theirs)


@dataclass
class Adbd(Outages):
    """A device that listens on this machine, in a thread; `port` while it is up."""

    userland: object
    features: str = FEATURES
    authenticate: bool = False
    faults: Faults = field(default_factory=Faults)
    port: int = 0

    def __post_init__(self) -> None:
        self.keys: list[tuple[int, int]] = []
        self._thread = self._loop = None

    @property
    def banner(self) -> bytes:
        names = ("name", "model", "device")
        return "".join(
            [
                "device::",
                *(f"ro.product.{name}=fixture;" for name in names),
                "features=",
                self.features,
            ]
        ).encode()

    def accepts(self, kind: int, data: bytes, token: bytes) -> bool:
        """Tell whether a host is let in: by a signature of a known key, or by a new key."""
        if self.faults.deny:
            return False
        if kind == PUBLIC_KEY:
            words = base64.b64decode(data.split()[0].rstrip(b"\0"))
            size = 4 * struct.unpack_from("<I", words)[0]
            modulus = int.from_bytes(words[8 : 8 + size], "little")
            exponent = struct.unpack_from("<I", words, 8 + 2 * size)[0]
            self.keys.append((modulus, exponent))
            return True
        signed = SHA1_PREFIX + token
        padded = b"\0\1" + b"\xff" * (len(data) - 3 - len(signed)) + b"\0" + signed
        whole, given = int.from_bytes(padded, "big"), int.from_bytes(data, "big")
        return kind == SIGNATURE and any(pow(given, e, n) == whole for n, e in self.keys)

    def up(self) -> None:
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), daemon=True)
        self._thread.start()
        assert up.wait(10)

    def down(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._down.set)
            self._thread.join(10)
            assert not self._thread.is_alive()
            self._thread = None

    def cut(self) -> None:
        """Cut all connections, like a cable that is pulled and put back."""
        if self._thread is None:
            return
        done = threading.Event()

        def cut() -> None:
            for link in self._links:
                link.cut()
            done.set()

        self._loop.call_soon_threadsafe(cut)
        assert done.wait(10)

    drop = cut

    async def _serve(self, up: threading.Event) -> None:
        self._loop, self._down = asyncio.get_running_loop(), asyncio.Event()
        self._links: set[Link] = set()
        tasks = set()

        async def accept(reader, writer) -> None:
            link = Link(self, reader, writer)
            self._links.add(link)
            tasks.add(asyncio.current_task())
            try:
                await link.serve()
            finally:
                self._links.discard(link)
                tasks.discard(asyncio.current_task())

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        up.set()
        await self._down.wait()
        server.close()
        # A connection may just be coming in, and one that is cut closes only in the next turns.
        for _ in range(3):
            for link in self._links:
                link.cut()
            if tasks:
                await asyncio.wait(set(tasks), timeout=5)
            await asyncio.sleep(0.01)
