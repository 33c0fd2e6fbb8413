"""Fixtures: a phone behind each genuine adb client, and a board behind a real sshd."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from played.adbd import Adbd
from played.arm64 import FETCH, Arm64, find_arm64
from played.machine import Machine
from played.sshd import Sshd, find_sshd, free_port
from played.state import State
from played.userland import Userland

from hwnat.records.device import read_device
from hwnat.transport.adb import AdbTransport
from hwnat.transport.ssh import SshTransport

#: Where `.ci/run` puts the client that a Python package carries; Debian's is older.
GOOGLE_ADB = Path.home() / ".cache/hwnat-ci/adb/adbutils/binaries/adb"


def find_adb(which: str) -> str | None:
    if which == "debian":
        return shutil.which("adb")
    path = os.environ.get("HWNAT_GOOGLE_ADB", str(GOOGLE_ADB))
    return path if os.access(path, os.X_OK) else None


class Attached:
    """What phones and boards have in common; those of a `Machine` have a `state`."""

    userland: Userland | Machine

    @property
    def state(self) -> State:
        return self.userland.state

    def address(self) -> dict[str, object]:
        """Return how a device file says where it is."""
        raise NotImplementedError

    def device_file(self, folder: Path, name: str = "device", **keys: object) -> Path:
        """Write a trusted device file: `device_file(tmp_path, threads=2, gate={"wait_s": 1.0})`."""
        first = {"target": "tflite", "workdir": f"{self.userland.folder}/hwnat"}
        path = folder / f"{name}.toml"
        keys = self.address() | first | keys
        path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in keys.items()))
        read_device(path).trust()
        return path


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


@dataclass
class Phone(Attached):
    """A phone on a cable: `link()` makes a transport to it."""

    adbd: Adbd
    userland: Userland | Machine
    client: str

    def address(self) -> dict[str, object]:
        return {"transport": "adb", "serial": self.serial}

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.adbd.port}"

    def adb(self, *words: str) -> str:
        argv = [self.client, "-s", self.serial, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def link(self, **more) -> AdbTransport:
        return AdbTransport(self.serial, **{"workdir": f"{self.userland.folder}/hwnat", **more})


@dataclass
class Board(Attached):
    """A board on the network: `link()` makes a transport to it.

    Attributes:
        python: a Python of the board that has this machine's runtimes; None if it has none.
    """

    sshd: Sshd
    userland: Userland | Machine
    python: str | None = None

    def address(self) -> dict[str, object]:
        python = {} if self.python is None else {"python": self.python}
        where = {"host": "127.0.0.1", "port": self.sshd.port, "user": self.sshd.user}
        return {"transport": "ssh", **where, **python}

    def link(self, **more) -> SshTransport:
        return SshTransport("127.0.0.1", **{"port": self.sshd.port, "user": self.sshd.user, **more})


@pytest.fixture(scope="session")
def userland(tmp_path_factory):
    """Return the inside of the device."""
    inside = Userland(tmp_path_factory.mktemp("device"))
    yield inside
    inside.close()


@pytest.fixture(scope="session")
def adb_servers(tmp_path_factory):
    """Start an adb server of each client, on a port of its own, when it is asked for."""
    started = {}

    def settings(which):
        program = find_adb(which)
        if program is None:
            pytest.skip(f"no {which} adb on this machine; .ci/run says how it is installed")
        if which not in started:
            home = tmp_path_factory.mktemp(f"adb-{which}")
            (home / "bin").mkdir()
            (home / "bin/adb").symlink_to(program)
            started[which] = {
                "HOME": str(home),
                "PATH": f"{home}/bin:{os.environ['PATH']}",
                "ANDROID_ADB_SERVER_PORT": str(free_port()),
                "ADB_MDNS": "0",
            }
        return started[which]

    yield settings
    for env in started.values():
        adb = f"{env['HOME']}/bin/adb"
        # This server is the tests' own.
        subprocess.run([adb, "kill-server"], env={**os.environ, **env}, capture_output=True)


@pytest.fixture
def a_phone(adb_servers, userland, monkeypatch):
    """Build a `Phone`: `a_phone("debian", features="cmd")`; `inside` is what it has inside."""
    up = []

    def build(which="debian", inside=None, **settings):
        env = adb_servers(which)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        adbd = Adbd(inside or userland, **settings)
        adbd.start()
        up.append(Phone(adbd, adbd.userland, f"{env['HOME']}/bin/adb"))
        return up[-1]

    yield build
    for phone in up:
        subprocess.run([phone.client, "disconnect", phone.serial], capture_output=True)
        phone.adbd.stop()


EACH_CLIENT = ["debian", pytest.param("google", marks=pytest.mark.slow)]


@pytest.fixture(scope="session")
def steady_adbd(userland):
    """Start a device that stays up for all tests that break nothing."""
    adbd = Adbd(userland)
    adbd.start()
    yield adbd
    adbd.stop()


@pytest.fixture(params=EACH_CLIENT)
def steady_phone(request, adb_servers, steady_adbd, userland, monkeypatch):
    """Return a phone behind each adb client, already connected but for the first time."""
    env = adb_servers(request.param)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Phone(steady_adbd, userland, f"{env['HOME']}/bin/adb")


@pytest.fixture(params=EACH_CLIENT)
def phone(request, a_phone):
    """Return a phone behind each adb client."""
    return a_phone(request.param)


@pytest.fixture
def a_machine(tmp_path_factory):
    """Build a `Machine`: `a_machine("phone 2+6", disk_mib=8)`; skip where there can be none."""
    built = []

    def build(model="phone 4+3+1", **more):
        built.append(Machine(tmp_path_factory.mktemp("machine"), model, **more))
        if built[-1].reason is not None:
            pytest.skip(built[-1].reason)
        return built[-1]

    yield build
    for machine in built:
        machine.close()


@pytest.fixture
def android_phone(a_phone, a_machine):
    """Return a phone with cores, clocks and Android's services, behind Debian's adb."""
    return a_phone(inside=a_machine())


def need_ssh() -> None:
    for tool, found in (("sshd", find_sshd()), ("ssh", shutil.which("ssh"))):
        if found is None:
            pytest.skip(f"no {tool} on this machine; .ci/run says how it is installed")


@pytest.fixture
def arm64_phone(a_phone, a_machine):
    """Return a phone that runs programs for arm64, behind Debian's adb."""
    return a_phone(inside=a_machine(arm64=need_arm64()))


def need_arm64() -> Arm64:
    found = find_arm64()
    if found is None:
        pytest.skip(f"no Debian for arm64 with qemu-user 10 here; {FETCH}")
    return found


@pytest.fixture
def a_board(tmp_path_factory, monkeypatch):
    """Build a `Board` of a `Machine`, whose root logs in by ssh."""
    need_ssh()
    up = []

    def build(machine, python=None):
        server = Sshd(tmp_path_factory.mktemp("board") / "ssh", machine)
        server.start()
        up.append(server)
        monkeypatch.setenv("PATH", f"{server.client.parent}:{os.environ['PATH']}")
        return Board(server, machine, python)

    yield build
    for server in up:
        server.stop()


@pytest.fixture
def linux_board(a_board, a_machine):
    """Return a board with this machine's programs, and this Python with its packages."""
    python = Path(sys.executable)
    outside = {sys.prefix, sys.base_prefix, str(python.resolve().parents[1])}
    binds = tuple(each for each in outside if not each.startswith("/usr"))
    return a_board(a_machine("board", binds=binds), str(python))


@pytest.fixture
def arm64_board(a_board, a_machine):
    """Return a board that runs programs for arm64 and has no Python."""
    return a_board(a_machine("board", arm64=need_arm64()))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory, userland):
    """Start a board."""
    need_ssh()
    server = Sshd(tmp_path_factory.mktemp("board") / "ssh", userland)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def board(sshd, userland, monkeypatch):
    """Return a board behind the system's ssh client."""
    monkeypatch.setenv("PATH", f"{sshd.client.parent}:{os.environ['PATH']}")
    return Board(sshd, userland)
