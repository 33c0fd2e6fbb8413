"""Fixtures: a phone behind each genuine adb client, and a board behind a real sshd."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from device.adbd import Adbd
from device.sshd import Sshd, find_sshd, free_port
from device.userland import Userland

from hwnat.transport.adb import AdbTransport
from hwnat.transport.ssh import SshTransport

#: Where `.ci/run` puts the client that a Python package carries; Debian's is older.
GOOGLE_ADB = Path.home() / ".cache/hwnat-ci/adb/adbutils/binaries/adb"


def find_adb(which: str) -> str | None:
    if which == "debian":
        return shutil.which("adb")
    path = os.environ.get("HWNAT_GOOGLE_ADB", str(GOOGLE_ADB))
    return path if os.access(path, os.X_OK) else None


@dataclass
class Phone:
    """A phone on a cable: `link()` makes a transport to it."""

    adbd: Adbd
    userland: Userland
    client: str

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
class Board:
    """A board on the network: `link()` makes a transport to it."""

    sshd: Sshd
    userland: Userland

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
    """Build a `Phone`: `a_phone("debian", features="cmd")`."""
    up = []

    def build(which="debian", **settings):
        env = adb_servers(which)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        adbd = Adbd(userland, **settings)
        adbd.start()
        up.append(Phone(adbd, userland, f"{env['HOME']}/bin/adb"))
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


@pytest.fixture(scope="session")
def sshd(tmp_path_factory, userland):
    """Start a board."""
    for tool, found in (("sshd", find_sshd()), ("ssh", shutil.which("ssh"))):
        if found is None:
            pytest.skip(f"no {tool} on this machine; .ci/run says how it is installed")
    server = Sshd(tmp_path_factory.mktemp("board") / "ssh", userland)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def board(sshd, userland, monkeypatch):
    """Return a board behind the system's ssh client."""
    monkeypatch.setenv("PATH", f"{sshd.client.parent}:{os.environ['PATH']}")
    return Board(sshd, userland)
