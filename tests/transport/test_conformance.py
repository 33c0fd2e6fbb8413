"""What every transport promises. A new one adds a subclass of `TransportConformance`."""

import time

import pytest

from hwnat.errors import DeviceError, UsageError
from hwnat.transport.base import Completed, Transport, get_transport
from hwnat.transport.local import LocalTransport


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

    @pytest.mark.parametrize(
        "word", ["a b", "", "$HOME", "it's", '"', "*", "ü", ";ls", "\\", "a\nb"]
    )
    def test_words_arrive_as_they_are(self, link, word):
        assert link.run(["printf", "%s", word], timeout_s=60).stdout == word

    def test_stdin_is_empty(self, link):
        assert link.run(["cat"], timeout_s=60).stdout == ""

    def test_output_that_is_not_text_does_not_break_it(self, link):
        assert "�" in link.run(["printf", r"\377"], timeout_s=60).stdout

    def test_a_command_that_is_not_there_is_an_error_that_names_it(self, link):
        with pytest.raises(DeviceError, match="no-such-command"):
            link.run(["no-such-command"], timeout_s=60).check()

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

    def test_a_push_replaces_what_was_there(self, link, remote, tmp_path):
        for text in ("long long text", "short"):
            (tmp_path / "source").write_text(text)
            link.push(tmp_path / "source", f"{remote}/file")
        assert link.run(["cat", f"{remote}/file"], timeout_s=60).stdout == "short"

    def test_a_missing_file_is_an_error_and_leaves_nothing(self, link, remote, tmp_path):
        with pytest.raises(DeviceError, match="nothing-here"):
            link.push(tmp_path / "nothing-here", f"{remote}/file")
        with pytest.raises(DeviceError, match="nothing-here"):
            link.pull(f"{remote}/nothing-here", tmp_path / "file")
        assert list(tmp_path.iterdir()) == []
        assert link.run(["ls", "-A", str(remote)], timeout_s=60).stdout == ""


class TestLocalTransport(TransportConformance):
    @pytest.fixture
    def link(self):
        return LocalTransport()

    @pytest.fixture
    def remote(self, tmp_path_factory):
        return tmp_path_factory.mktemp("remote")

    def test_it_is_found_by_its_name(self):
        assert isinstance(get_transport("local"), LocalTransport)

    def test_an_empty_command_is_an_error(self, link):
        with pytest.raises(DeviceError, match="Cannot run"):
            link.run([], timeout_s=1)

    def test_a_file_cannot_take_the_place_of_a_folder(self, link, remote, tmp_path):
        (tmp_path / "source").write_text("x")
        with pytest.raises(DeviceError, match="Cannot copy"):
            link.push(tmp_path / "source", str(remote))


def test_a_check_quotes_the_output_if_stderr_is_empty():
    done = Completed(argv=("x",), returncode=1, stdout="why", stderr=" ")
    with pytest.raises(DeviceError, match="x ended with 1: why"):
        done.check()


def test_a_plugin_that_is_no_transport_is_refused(installed):
    installed("hwnat.transports", odd="builtins:dict")
    with pytest.raises(UsageError, match=r"'odd' of hwnat\.transports returned dict"):
        get_transport("odd")
