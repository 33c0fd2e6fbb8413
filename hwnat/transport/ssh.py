"""The transport to boards and other machines through the `ssh` program of this machine."""

import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

from hwnat.errors import DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport.base import Transport
from hwnat.transport.client import run_client
from hwnat.transport.remote import RemoteTransport, find_program
from hwnat.transport.shell import refused, script
from hwnat.transport.words import printable, shown

#: Default working folder, relative to the home folder of the user on the device.
WORKDIR: Final = ".cache/hwnat/work"
_INSTALL: Final = "sudo apt install openssh-client"
_OPTIONS: Final = (
    # ssh must ask no questions; a password prompt or an unknown host is an error.
    ("BatchMode", "yes"),
    ("ConnectTimeout", "10"),
    ("ServerAliveInterval", "5"),
    ("ServerAliveCountMax", "3"),
    ("ControlMaster", "auto"),
    # The shared connection ends by itself if this process is killed.
    ("ControlPersist", "60"),
    ("ClearAllForwardings", "yes"),
    ("ForwardAgent", "no"),
    ("ForwardX11", "no"),
    ("PermitLocalCommand", "no"),
    ("RemoteCommand", "none"),
    ("RequestTTY", "no"),
)
#: Output of ssh in lower case -> whether the failure may be temporary; cause and remedy.
_CAUSES: Final = (
    (
        "remote host identification has changed",
        False,
        "its host key has changed, so it may be another machine. If it was "
        "reinstalled, remove the old key with: ssh-keygen -R {known}",
    ),
    (
        "host key verification failed",
        False,
        "its host key is unknown here. Connect once by hand and compare the key: {command}",
    ),
    (
        "permission denied",
        False,
        "it does not let this user in. Copy your key there with: ssh-copy-id {target}",
    ),
    (
        "too many authentication failures",
        False,
        "it was offered too many keys. Choose one with IdentityFile in ~/.ssh/config",
    ),
    (
        "could not resolve hostname",
        False,
        "its name cannot be resolved. Correct `host` in the device file",
    ),
    ("bad configuration", False, "~/.ssh/config has an error. Try: {command}"),
    ("bad owner or permissions", False, "~/.ssh has wrong permissions. Try: {command}"),
    (
        "connection refused",
        True,
        "no ssh server answers on its port. Start sshd there, or correct `port`",
    ),
    ("timed out", True, "it does not answer. Check that it is on and in this network"),
    ("timeout", True, "it does not answer. Check that it is on and in this network"),
    ("no route to host", True, "it is not reachable. Check that it is on and in this network"),
    ("unreachable", True, "it is not reachable. Check that it is on and in this network"),
    ("connection reset", True, "it closed the connection. Try again; see its sshd log"),
    ("connection closed", True, "it closed the connection. Try again; see its sshd log"),
    ("broken pipe", True, "the link was lost. Try again"),
    ("lost connection", True, "the link was lost. Try again"),
)


def connect(spec: DeviceSpec) -> "SshTransport":
    """Return a transport to the host of `spec`.

    Raises:
        UsageError: `spec` has no host.
        DeviceError: ssh is not installed.
    """
    if spec.host is None:
        msg = f"Device {spec.name}: set `host` to the board's address or its name in ~/.ssh/config."
        raise UsageError(msg)
    return SshTransport(spec.host, port=spec.port, user=spec.user, workdir=spec.workdir or WORKDIR)


class SshTransport(RemoteTransport):
    """Runs commands with `ssh` over one shared connection; copies files with `cat`.

    Keys, jump hosts, and a missing user or port are taken from ~/.ssh/config.

    Args:
        host: address, or name in ~/.ssh/config.
        port: port of the ssh server; None leaves it to ~/.ssh/config.
        user: user to log in as; None leaves it to ~/.ssh/config.
        workdir: working folder, absolute or relative to the home folder.
    """

    def __init__(
        self, host: str, *, port: int | None = None, user: str | None = None, workdir: str = WORKDIR
    ) -> None:
        self._target = host if user is None else f"{user}@{host}"
        where = self._target if port is None else f"{self._target} port {port}"
        super().__init__(address=f"ssh {printable(where)}", workdir=workdir)
        self._ssh = find_program("ssh", install=_INSTALL)
        # The name of the host in known_hosts.
        self._known = host if port in {None, 22} else f"'[{host}]:{port}'"
        self._to = [*(["-p", str(port)] if port is not None else []), "--", self._target]
        self._sockets: Path | None = None
        self._end: weakref.finalize[[list[str], Path], SshTransport] | None = None

    def _argv(self, *words: str) -> list[str]:
        if self._sockets is None:
            # The path of a socket has at most about a hundred characters.
            self._sockets = Path(tempfile.mkdtemp(prefix="hwnat-", dir=_short_folder()))
            leave = [self._ssh, "-S", str(self._sockets / "s"), "-O", "exit", *self._to]
            self._end = weakref.finalize(self, _hang_up, leave, self._sockets)
        options = [word for name, value in _OPTIONS for word in ("-o", f"{name}={value}")]
        return [self._ssh, "-T", *options, "-S", str(self._sockets / "s"), *self._to, *words]

    def _shell(self, command: str) -> list[str]:
        return self._argv(command)

    def _upload(self, source: Path, target: str, *, timeout_s: float) -> None:
        write = script("transport/write", target=target)
        with source.open("rb") as file:
            done = self._call(write, timeout_s=timeout_s, stdin=file)
        if done.status:
            what = f"Cannot push {shown([str(source)])} to {self.address}"
            raise refused(what, done.stderr.decode("utf-8", "replace"))

    def _version(self) -> str:
        return self.client([self._ssh, "-V"], timeout_s=10).text

    def _prepare(self) -> None:
        """Do nothing, because ssh connects when it is called."""

    def _lost(self) -> None:
        # The shared connection may be dead although its process is still running.
        self.close()

    def close(self) -> None:
        """Close the shared connection; the next call opens another."""
        if self._end is not None:
            self._end()
        self._sockets = None

    def _explain(self, printed: str) -> DeviceError | None:
        lowered = printed.lower()
        for words, passes, means in _CAUSES:
            if words in lowered:
                text = means.format(
                    known=printable(self._known),
                    target=printable(self._target),
                    command=shown(["ssh", *self._to]),
                )
                kind = TransientDeviceError if passes else DeviceError
                return kind(
                    f"Cannot reach {self.address}: {text}. ssh printed: "
                    f"{printable(printed, limit=200)}"
                )
        return None


def _short_folder() -> str | None:
    return "/tmp" if Path("/tmp").is_dir() else None


def _hang_up(leave: list[str], sockets: Path) -> None:
    """Close the shared connection and remove its folder."""
    with suppress(OSError):
        if (sockets / "s").exists():
            run_client(leave, timeout_s=5, limit_bytes=1 << 16)
    shutil.rmtree(sockets, ignore_errors=True)


_CHECK: type[Transport] = SshTransport
