"""A real OpenSSH server on loopback, with keys of its own, whose users land in a `Userland`."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from played.faults import Faults, Outages

SSHD = """
ListenAddress 127.0.0.1:{port}
HostKey {place}/host
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile {place}/authorized
# The login shell must not read what this machine's user has set up for himself.
SetEnv HOME={folder} SHLVL=2
ForceCommand {place}/enter
"""
SSH = """
Host *
  IdentityFile {place}/user
  IdentitiesOnly yes
  UserKnownHostsFile {place}/known
  GlobalKnownHostsFile none
  IdentityAgent none
"""
ENTER = """#!/bin/sh
HOME={folder}
PATH={path}
export HOME PATH
set -- {enter} {shell} -c 'cd "$HOME"; exec sh -c "$SSH_ORIGINAL_COMMAND"'
[ -e {place}/faults ] || exec "$@"
exec {python} {here}/disturb.py {place}/faults "$@"
"""


def find_sshd() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def make_key(path: Path) -> None:
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


class Sshd(Outages):
    """A board: `start` and `stop` it as often as needed; `client` is the ssh that reaches it."""

    def __init__(self, place: Path, userland) -> None:
        self.place, self.userland, self.port = place, userland, free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self._server = None
        place.mkdir(parents=True)
        for name in ("host", "user"):
            make_key(place / name)
        shutil.copy(place / "user.pub", place / "authorized")
        words = {
            "place": place,
            "port": self.port,
            "folder": userland.folder,
            "path": userland.path,
            "shell": userland.shell,
            "python": sys.executable,
            "here": Path(__file__).parent,
        }
        enter = " ".join(userland.enter)
        (place / "enter").write_text(ENTER.format(enter=enter, **words))
        (place / "enter").chmod(0o755)
        (place / "sshd_config").write_text(SSHD.format(**words))
        (place / "ssh_config").write_text(SSH.format(**words))
        (place / "bin").mkdir()
        self.client = place / "bin" / "ssh"
        self.client.write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F {place}/ssh_config "$@"\n'
        )
        self.client.chmod(0o755)
        self.trust()

    def trust(self) -> None:
        """Have the client know the host key that the server has now."""
        key = (self.place / "host.pub").read_text().split()[:2]
        (self.place / "known").write_text(f"[127.0.0.1]:{self.port} {' '.join(key)}\n")

    def up(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        argv = [find_sshd(), "-D", "-f", f"{self.place}/sshd_config", "-E", f"{self.place}/log"]
        self._server = subprocess.Popen(argv, start_new_session=True)
        ends = time.monotonic() + 10
        while time.monotonic() < ends and self._server.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.place / "log").read_text())

    def children(self) -> list[int]:
        """Return the server's processes that each hold a connection."""
        path = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def cut(self) -> None:
        """Cut all connections; the server stays."""
        for pid in self.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    hang_up = cut

    def disturb(self, **faults: object) -> None:
        """Set what goes wrong with commands: fields of `Faults`, without `before`; none to end it.

        Of the link's, `cut_received` counts what one command is sent, and `delay_s` is a wait.
        """
        path = self.place / "faults"
        if not faults:
            path.unlink(missing_ok=True)
            return
        (self.place / "faults.new").write_text(Faults(**faults).text)
        (self.place / "faults.new").replace(path)

    @property
    def struck(self) -> int:
        """How many commands have suffered since `disturb`."""
        return Faults.read((self.place / "faults").read_text()).struck

    def down(self) -> None:
        if self._server is not None:
            self.cut()
            self._server.kill()
            self._server.wait()
            self._server = None
