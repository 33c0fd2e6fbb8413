"""What every transport promises. A new one adds a subclass of `TransportConformance`."""

import os
import re
import secrets
import time

import pytest

from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport.base import Completed, Transport, connect
from hwnat.transport.local import LocalTransport
from hwnat.transport.replay import RecordingTransport, ReplayTransport
from hwnat.transport.ssh import SshTransport

WORDS = [
    "a b",
    "",
    "$HOME",
    "it's",
    '"',
    "*",
    "ü",
    ";ls",
    "\\",
    "a\nb",
    "-n",
    "\x1b[31m",
    "!!",
    "~",
]


class TransportConformance:
    """The suite; a subclass provides `link`, and `remote`: a fresh folder on the device."""

    def test_it_is_a_transport(self, link):
        assert isinstance(link, Transport)

    def test_output_and_status_come_back_apart(self, link):
        done = link.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=60)
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")

    def test_a_failed_command_says_how_it_ended_when_checked(self, link):
        done = link.run(["sh", "-c", "echo nope >&2; exit 3"], timeout_s=60)
        with pytest.raises(DeviceError, match="ended with 3: nope"):
            done.check()
        assert link.run(["true"], timeout_s=60).check().returncode == 0

    def test_words_arrive_as_they_are(self, link):
        done = link.run(["printf", "%s|", *WORDS], timeout_s=60)
        assert done.stdout == "".join(f"{word}|" for word in WORDS)

    def test_ends_of_lines_are_kept(self, link):
        for text in ("no end", "two\n\n", "\r\n", "\r", "\n"):
            done = link.run(
                ["sh", "-c", 'printf %s "$1"; printf %s "$1" >&2', "sh", text], timeout_s=60
            )
            assert (done.stdout, done.stderr) == (text, text)

    def test_stdin_is_empty(self, link):
        assert link.run(["cat"], timeout_s=60).stdout == ""

    def test_output_that_is_not_text_does_not_break_it(self, link):
        assert "�" in link.run(["printf", r"\377"], timeout_s=60).stdout

    def test_much_output_comes_whole(self, link):
        done = link.run(["sh", "-c", "yes 0123456789abcde | head -c 1600000"], timeout_s=60)
        assert done.stdout == "0123456789abcde\n" * 100_000

    def test_a_command_that_is_not_there_is_an_error_that_names_it(self, link):
        with pytest.raises(DeviceError, match="no-such-command"):
            link.run(["no-such-command"], timeout_s=60).check()

    def test_an_empty_command_is_an_error(self, link):
        with pytest.raises(DeviceError, match="Cannot run an empty command"):
            link.run([], timeout_s=1)

    def test_a_word_that_no_program_can_get_is_an_error(self, link):
        with pytest.raises(DeviceError, match="Cannot run"):
            link.run(["echo", "a\0b"], timeout_s=1)

    def test_a_command_that_died_of_a_signal_has_the_status_of_a_shell(self, link):
        assert link.run(["sh", "-c", "kill -9 $$"], timeout_s=60).returncode == 137

    def test_a_command_that_hangs_is_killed(self, link):
        began = time.perf_counter()
        with pytest.raises(DeviceError, match="sleep 30 was killed after"):
            link.run(["sleep", "30"], timeout_s=0.2)
        assert time.perf_counter() - began < 20

    def test_files_go_there_and_back_unchanged(self, link, remote, tmp_path):
        content = bytes(range(256)) * 1000
        (tmp_path / "source").write_bytes(content)
        link.push(tmp_path / "source", f"{remote}/new folder/fïle")
        link.pull(f"{remote}/new folder/fïle", tmp_path / "also new" / "back")
        assert (tmp_path / "also new" / "back").read_bytes() == content

    def test_an_empty_file_is_a_file(self, link, remote, tmp_path):
        (tmp_path / "source").touch()
        link.push(tmp_path / "source", f"{remote}/file")
        link.pull(f"{remote}/file", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b""

    def test_a_pushed_program_can_be_started(self, link, remote, tmp_path):
        (tmp_path / "tool").write_text("#!/bin/sh\necho started $1\n")
        (tmp_path / "tool").chmod(0o755)
        link.push(tmp_path / "tool", f"{remote}/tool")
        assert link.run([f"{remote}/tool", "it"], timeout_s=60).check().stdout == "started it\n"

    def test_a_push_replaces_what_was_there(self, link, remote, tmp_path):
        for text in ("long long text", "short"):
            (tmp_path / "source").write_text(text)
            link.push(tmp_path / "source", f"{remote}/file")
        assert link.run(["cat", f"{remote}/file"], timeout_s=60).stdout == "short"
        assert link.run(["ls", "-A", remote], timeout_s=60).stdout == "file\n"

    def test_a_missing_file_is_an_error_and_leaves_nothing(self, link, remote, tmp_path):
        with pytest.raises(DeviceError, match="nothing-here"):
            link.push(tmp_path / "nothing-here", f"{remote}/file")
        with pytest.raises(DeviceError, match="nothing-here"):
            link.pull(f"{remote}/nothing-here", tmp_path / "file")
        assert list(tmp_path.iterdir()) == []
        assert link.run(["ls", "-A", remote], timeout_s=60).stdout == ""

    def test_a_file_cannot_take_the_place_of_a_folder(self, link, remote, tmp_path):
        (tmp_path / "source").write_text("x")
        link.push(tmp_path / "source", f"{remote}/folder/file")
        with pytest.raises(DeviceError, match="folder"):
            link.push(tmp_path / "source", f"{remote}/folder")
        with pytest.raises(DeviceError, match="folder"):
            link.pull(f"{remote}/folder", tmp_path / "back")
        assert link.run(["ls", "-A", f"{remote}/folder"], timeout_s=60).stdout == "file\n"

    def test_a_probe_makes_the_working_folder_and_says_what_it_is_good_for(self, link):
        found = link.probe()
        assert found.executable
        assert found.time_limit
        assert found.hash == "sha256"
        assert found.free_bytes > 0
        assert link.run(["ls", "-A", found.workdir], timeout_s=60).check().stdout == ".hwnat\n"

    def test_it_can_be_used_again_after_it_was_closed(self, link):
        assert link.run(["echo", "1"], timeout_s=60).stdout == "1\n"
        link.close()
        link.close()
        assert link.run(["echo", "2"], timeout_s=60).stdout == "2\n"


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


class OnADevice(TransportConformance):
    """The suite for a device that is not this machine."""

    @pytest.fixture
    def remote(self, link, userland):
        folder = f"{userland.folder}/{secrets.token_hex(4)}"
        link.run(["mkdir", folder], timeout_s=60).check()
        return folder

    def test_a_file_that_is_there_already_is_not_sent_again(self, link, remote, tmp_path):
        (tmp_path / "source").write_bytes(b"a" * 1000)
        link.push(tmp_path / "source", f"{remote}/file")
        number = ["stat", "-c", "%i %a", f"{remote}/file"]
        before = link.run(number, timeout_s=60).check().stdout
        (tmp_path / "source").chmod(0o755)
        link.push(tmp_path / "source", f"{remote}/file")
        after = link.run(number, timeout_s=60).check().stdout
        assert (before.split()[0], after.split()) == (after.split()[0], [before.split()[0], "755"])
        (tmp_path / "source").write_bytes(b"b" * 1000)
        link.push(tmp_path / "source", f"{remote}/file")
        assert link.run(["head", "-c", "1", f"{remote}/file"], timeout_s=60).stdout == "b"

    @pytest.mark.slow
    def test_what_a_command_started_dies_with_it_at_its_time_limit(self, link, remote):
        loop = f"(while :; do date >>{remote}/beat; sleep 0.1; done); true"
        with pytest.raises(DeviceError, match="killed after 1 s"):
            link.run(["sh", "-c", loop.replace("date", "echo x")], timeout_s=1)
        size = ["wc", "-c", f"{remote}/beat"]
        before = link.run(size, timeout_s=60).stdout
        time.sleep(0.4)
        assert link.run(size, timeout_s=60).stdout == before


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
