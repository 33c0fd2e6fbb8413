"""Our transports keep what every transport promises."""

import os
import re
import secrets

import pytest

from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.testing.transports import RemoteConformance, TransportConformance
from hwnat.transport.base import Completed, connect
from hwnat.transport.local import LocalTransport
from hwnat.transport.replay import RecordingTransport, ReplayTransport
from hwnat.transport.ssh import SshTransport


class TestLocalTransport(TransportConformance):
    @pytest.fixture
    def link(self, tmp_path_factory):
        return LocalTransport(workdir=str(tmp_path_factory.mktemp("work")))

    @pytest.fixture
    def remote(self, tmp_path_factory):
        return str(tmp_path_factory.mktemp("remote"))

    def test_it_is_found_by_its_name(self):
        spec = DeviceSpec(name="x", transport="local", target="onnx")
        assert isinstance(connect(spec), LocalTransport)

    def test_a_command_that_floods_is_killed(self, link):
        with pytest.raises(DeviceError, match="yes was killed after it printed over"):
            link.run(["yes"], timeout_s=60)


class Echo:
    """Records each call over another link and answers it from that record alone."""

    def __init__(self, link, folder):
        self._link, self._folder, self._count = link, folder, 0
        self.address = link.address

    def _again(self, call):
        self._count += 1
        path = self._folder / f"{self._count}.jsonl"
        recording = RecordingTransport(self._link, path)
        try:
            call(recording)
        except DeviceError as refused:
            with pytest.raises(type(refused), match=f"^{re.escape(str(refused))}$"):
                call(ReplayTransport(path))
            raise
        return call(ReplayTransport(path))

    def run(self, argv, *, timeout_s):
        return self._again(lambda link: link.run(argv, timeout_s=timeout_s))

    def push(self, source, target):
        self._again(lambda link: link.push(source, target))

    def pull(self, source, target):
        def pull(link):
            target.unlink(missing_ok=True)
            link.pull(source, target)

        self._again(pull)

    def probe(self):
        return self._again(lambda link: link.probe())

    def close(self):
        self._again(lambda link: link.close())


class TestReplayTransport(TransportConformance):
    @pytest.fixture
    def link(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("replay")
        return Echo(LocalTransport(workdir=str(folder / "work")), folder)

    @pytest.fixture
    def remote(self, tmp_path_factory):
        return str(tmp_path_factory.mktemp("remote"))


class OnADevice(RemoteConformance):
    @pytest.fixture
    def remote(self, link, userland):
        folder = f"{userland.folder}/{secrets.token_hex(4)}"
        link.run(["mkdir", folder], timeout_s=60).check()
        return folder


class TestAdbTransport(OnADevice):
    @pytest.fixture
    def link(self, steady_phone):
        return steady_phone.link()


@pytest.fixture(scope="module")
def connection(sshd):
    """Log in once; a test that closes the link only costs the next one a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{sshd.client.parent}:{os.environ['PATH']}")
        made = SshTransport("127.0.0.1", port=sshd.port, user=sshd.user)
    yield made
    made.close()


class TestSshTransport(OnADevice):
    @pytest.fixture
    def link(self, connection):
        return connection


def test_a_check_quotes_the_output_if_stderr_is_empty():
    done = Completed(argv=("x",), returncode=1, stdout="why", stderr=" ")
    with pytest.raises(DeviceError, match="x ended with 1: why"):
        done.check()


def test_a_plugin_that_is_no_transport_is_refused(installed):
    installed("hwnat.transports", odd="builtins:str")
    with pytest.raises(UsageError, match=r"'odd' of hwnat\.transports returned str"):
        connect(DeviceSpec(name="x", transport="odd", target="onnx"))
