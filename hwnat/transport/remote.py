"""The base of the transports by `adb` and `ssh`: framed commands, and files checked by hash."""

import hashlib
import os
import posixpath
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.transport import framing, shell
from hwnat.transport.base import Completed, Probe
from hwnat.transport.client import Ended, run_client
from hwnat.transport.words import device_path, printable, shown

#: Extra time for a call beyond its limit on the device, to connect and to kill the command there.
GRACE_S: Final = 20.0
#: Slowest link for which the time limit of a copy is enough; a minute is added to the limit.
_BYTES_PER_S: Final = 200_000
#: Largest file to pull; it is held in memory until its hash is checked.
_PULL_BYTES: Final = 1 << 30


def find_program(name: str, *, install: str) -> str:
    """Return the path of a program of this machine.

    Raises:
        DeviceError: the program is not on PATH; the message has the command `install`.
    """
    path = shutil.which(name)
    if path is None:
        msg = f"The program '{name}' is not on PATH; install it with: {install}"
        raise DeviceError(msg)
    return path


class RemoteTransport(ABC):
    """A transport through a client program; a subclass defines how the client is called.

    Attributes:
        address: address of the device for messages, such as `adb R58M`.
        workdir: hwnat's working folder on the device.
    """

    def __init__(self, *, address: str, workdir: str) -> None:
        self.address, self.workdir = address, workdir

    @abstractmethod
    def _shell(self, command: str) -> list[str]:
        """Return the call of the client that runs `command` in the shell of the device."""

    def _raw(self, command: str) -> list[str]:
        """Return a call like that of `_shell` that does not change the output, for files."""
        return self._shell(command)

    @abstractmethod
    def _upload(self, source: Path, target: str, *, timeout_s: float) -> None:
        """Send a file; the caller compares its hash afterwards."""

    @abstractmethod
    def _explain(self, printed: str) -> DeviceError | None:
        """Return the error that explains the output of the client; None if it is unknown."""

    @abstractmethod
    def _version(self) -> str:
        """Return name and version of the client."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make sure that the device can be called; this runs before every call."""

    @abstractmethod
    def _lost(self) -> None:
        """Note that the link was lost."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with empty stdin; a time limit applies on the device and on this machine.

        Raises:
            DeviceError: the command could not be started, or was killed after `timeout_s`.
            TransientDeviceError: the link was lost before the end of the output arrived.
        """
        if not argv:
            msg = f"Cannot run an empty command on {self.address}; name a program."
            raise DeviceError(msg)
        framed = self._call(argv, timeout_s=timeout_s)
        return Completed(
            argv=tuple(argv),
            returncode=framed.status,
            stdout=framed.stdout.decode("utf-8", "replace"),
            stderr=framed.stderr.decode("utf-8", "replace"),
        )

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device unless the device has the same file already.

        The file is sent under a temporary name, and renamed once the device has checked its hash.

        Raises:
            DeviceError: the copy failed, or the file arrived damaged.
        """
        path = device_path(target)
        what = f"Cannot push {shown([str(source)])} to {shown([target])} on {self.address}"
        try:
            size, sha256, md5 = _hashes(source)
        except (OSError, ValueError) as problem:
            msg = f"{what}: {getattr(problem, 'strerror', None) or problem}; check the path."
            raise DeviceError(msg) from problem
        folder = posixpath.dirname(path)
        part = posixpath.join(folder, f".hwnat-{secrets.token_hex(8)}.part")
        mode = "755" if os.access(source, os.X_OK) else "644"
        limit_s = 60 + size / _BYTES_PER_S
        before = shell.script(
            "transport/before_push",
            target=path,
            folder=folder,
            mode=mode,
            sha256=sha256,
            md5=md5,
        )
        if self._ask(before, what=what, timeout_s=limit_s).returncode == shell.SAME:
            return
        try:
            self._upload(source, part, timeout_s=limit_s)
            after = shell.script(
                "transport/after_push", target=path, part=part, mode=mode, sha256=sha256, md5=md5
            )
            self._ask(after, what=what, timeout_s=limit_s)
        except DeviceError as failed:
            # After a lost link, the next push to the folder cleans up.
            if not isinstance(failed, TransientDeviceError):
                with suppress(DeviceError):
                    self.run(["rm", "-f", part], timeout_s=10)
            raise

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device; it is named `target` only after its hash is checked.

        Raises:
            DeviceError: the copy failed, or the file arrived damaged.
        """
        path = device_path(source)
        what = f"Cannot pull {shown([source])} from {self.address}"
        asked = self._ask(
            shell.script("transport/before_pull", source=path), what=what, timeout_s=600
        )
        described = shell.described(asked.stdout)
        if described is None or described[1] > _PULL_BYTES:
            msg = (
                f"{what}: it is larger than {_PULL_BYTES >> 20} MiB, or its size is garbage: "
                f"{printable(asked.stdout, limit=100)}; check the device with: hwnat device doctor"
            )
            raise DeviceError(msg)
        kind, size, digest = described
        limit = 60 + size / _BYTES_PER_S
        content = self._call(["cat", path], timeout_s=limit, raw=True, size=size).stdout
        if len(content) != size or hashlib.new(kind, content).hexdigest() != digest:
            msg = (
                f"{what}: what arrived does not match the device's hash. Run the same command "
                "again when nothing writes to the file."
            )
            raise TransientDeviceError(msg)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as folder:
                (Path(folder) / "file").write_bytes(content)
                (Path(folder) / "file").replace(target)
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            msg = f"{what} to {shown([str(target)])}: {reason}; choose another path."
            raise DeviceError(msg) from problem

    def probe(self) -> Probe:
        """Connect to the device, create its working folder and report what the folder allows.

        Raises:
            DeviceError: the device cannot be reached, or the folder cannot be created.
        """
        return shell.probe(
            self.run, self.workdir, address=self.address, client=printable(self._version())
        )

    @abstractmethod
    def close(self) -> None:
        """Stop background processes of the link on this machine; the next call restarts them."""

    def _ask(self, argv: Sequence[str], *, what: str, timeout_s: float) -> Completed:
        """Run a script of `shell`; return its output, or raise the error for its exit status."""
        done = self.run(argv, timeout_s=timeout_s)
        means = {
            shell.IS_FOLDER: "the path is a folder; name a file in it.",
            shell.NO_FILE: "the file does not exist; check the path.",
            shell.NO_HASH: "it has no sha256sum and no md5sum; install toybox or BusyBox there.",
        }
        if done.returncode in means:
            msg = f"{what}: {means[done.returncode]}"
            raise DeviceError(msg)
        if done.returncode == shell.DAMAGED:
            msg = (
                f"{what}: what arrived differs from what was sent. Check cable and free space, "
                "then run the same command again."
            )
            raise TransientDeviceError(msg)
        if done.returncode not in {0, shell.SAME}:
            raise shell.refused(what, done.stderr or done.stdout)
        return done

    def _call(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        raw: bool = False,
        size: int = 0,
    ) -> framing.Framed:
        """Run a command and return its output if the end of the output arrived.

        Args:
            argv: program and arguments.
            timeout_s: limit on the device; this machine allows a little more.
            stdin: a file to send to the command.
            raw: whether the output is a file of `size` bytes.
            size: size of that file.
        """
        token = framing.new_token()
        line = framing.command_line(token, argv, timeout_s=timeout_s, reads=stdin is not None)
        self._prepare()
        ended = self.client(
            self._raw(line) if raw else self._shell(line),
            timeout_s=max(1.0, timeout_s) + framing.KILL_AFTER_S + GRACE_S,
            stdin=stdin,
            limit_bytes=size + shell.OUTPUT_BYTES,
        )
        framed = framing.read(token, ended.stdout, ended.stderr)
        if framed.state == "late" and ended.elapsed_s >= timeout_s:
            msg = (
                f"{shown(argv)} was killed after {timeout_s:g} s on {self.address}; run it on the "
                "device by hand to see why it does not end."
            )
            raise DeviceError(msg)
        if framed.state != "done":
            raise self._failure(argv, ended, framed)
        return framed

    def client(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        limit_bytes: int = shell.OUTPUT_BYTES,
    ) -> Ended:
        """Run the client program.

        Raises:
            DeviceError: the program cannot be started.
        """
        try:
            return run_client(argv, timeout_s=timeout_s, limit_bytes=limit_bytes, stdin=stdin)
        except (OSError, ValueError) as problem:
            msg = f"Cannot run {Path(argv[0]).name} for {self.address}: {problem}."
            raise DeviceError(msg) from problem

    def _failure(self, argv: Sequence[str], ended: Ended, framed: framing.Framed) -> DeviceError:
        """Return the error for a command whose output did not arrive to its end."""
        if framed.state == "unlimited":
            return DeviceError(
                f"{self.address} has no program 'timeout' that supports -k, so a command that "
                "hangs would never end; install toybox, BusyBox 1.34 or later, or coreutils there."
            )
        if ended.flooded:
            self._lost()
            return DeviceError(
                f"{shown(argv)} was killed: it printed over {shell.OUTPUT_BYTES >> 20} MiB on "
                f"{self.address}; make it write to a file and pull the file."
            )
        known = self._explain(ended.text)
        if known is not None and framed.state == "silent":
            if isinstance(known, TransientDeviceError):
                self._lost()
            return known
        self._lost()
        what, to = shown(argv), self.address
        again = "run the same command again"
        if framed.state == "late":
            return TransientDeviceError(
                f"{what} ended early on {to}: it was killed there, or a line of its output was "
                f"lost. Check the link, then {again}."
            )
        if framed.state == "cut":
            return TransientDeviceError(
                f"The link to {to} was lost while {what} ran; its output is discarded. Check cable "
                f"and network, then {again}."
            )
        if ended.returncode is None:
            return TransientDeviceError(
                f"{to} did not answer within {ended.elapsed_s:.0f} s. Check that it is awake and "
                f"connected, then {again}."
            )
        if quoted := printable(ended.text, limit=300):
            return DeviceError(
                f"{to} did not run {what} in a POSIX shell. It printed: {quoted}. Check it with: "
                "hwnat device doctor"
            )
        # Old versions of adb exit like this, with 0, if the cable is pulled before any output.
        return TransientDeviceError(
            f"{to} did not run {what} in a POSIX shell. It printed nothing, so the link may have "
            f"been lost. Check it, then {again}; if that does not help: hwnat device doctor"
        )


def _hashes(source: Path) -> tuple[int, str, str]:
    """Return the size in bytes, SHA-256 and MD5 of a file; some devices compute only MD5."""
    size, sha256, md5 = 0, hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with source.open("rb") as file:
        while chunk := file.read(1 << 20):
            size += len(chunk)
            sha256.update(chunk)
            md5.update(chunk)
    return size, sha256.hexdigest(), md5.hexdigest()
