"""The suite for transports: `class TestMine(TransportConformance)` with two fixtures."""

import time
from pathlib import Path
from typing import Final

import pytest

from hwnat.errors import DeviceError
from hwnat.transport.base import Transport

#: Words that a careless shell would change.
WORDS: Final = [
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
    """What `hwnat.transport.base.Transport` promises, tested on a device that answers."""

    @pytest.fixture
    def link(self) -> Transport:
        """Return the transport to test; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def remote(self, link: Transport) -> str:
        """Return the path of a fresh, empty folder on the device; a subclass provides it."""
        raise NotImplementedError

    def test_it_is_a_transport(self, link: Transport) -> None:
        assert isinstance(link, Transport)

    def test_output_and_status_come_back_apart(self, link: Transport) -> None:
        done = link.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=60)
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")

    def test_a_failed_command_says_how_it_ended_when_checked(self, link: Transport) -> None:
        done = link.run(["sh", "-c", "echo nope >&2; exit 3"], timeout_s=60)
        with pytest.raises(DeviceError, match="ended with 3: nope"):
            done.check()
        assert link.run(["true"], timeout_s=60).check().returncode == 0

    def test_words_arrive_as_they_are(self, link: Transport) -> None:
        done = link.run(["printf", "%s|", *WORDS], timeout_s=60)
        assert done.stdout == "".join(f"{word}|" for word in WORDS)

    def test_ends_of_lines_are_kept(self, link: Transport) -> None:
        for text in ("no end", "two\n\n", "\r\n", "\r", "\n"):
            done = link.run(
                ["sh", "-c", 'printf %s "$1"; printf %s "$1" >&2', "sh", text], timeout_s=60
            )
            assert (done.stdout, done.stderr) == (text, text)

    def test_stdin_is_empty(self, link: Transport) -> None:
        assert link.run(["cat"], timeout_s=60).stdout == ""

    def test_output_that_is_not_text_does_not_break_it(self, link: Transport) -> None:
        assert "�" in link.run(["printf", r"\377"], timeout_s=60).stdout

    def test_much_output_comes_whole(self, link: Transport) -> None:
        done = link.run(["sh", "-c", "yes 0123456789abcde | head -c 1600000"], timeout_s=60)
        assert done.stdout == "0123456789abcde\n" * 100_000

    def test_a_command_that_is_not_there_is_an_error_that_names_it(self, link: Transport) -> None:
        with pytest.raises(DeviceError, match="no-such-command"):
            link.run(["no-such-command"], timeout_s=60).check()

    def test_an_empty_command_is_an_error(self, link: Transport) -> None:
        with pytest.raises(DeviceError, match="Cannot run an empty command"):
            link.run([], timeout_s=1)

    def test_a_word_that_no_program_can_get_is_an_error(self, link: Transport) -> None:
        with pytest.raises(DeviceError, match="Cannot run"):
            link.run(["echo", "a\0b"], timeout_s=1)

    def test_a_command_that_died_of_a_signal_has_the_status_of_a_shell(
        self, link: Transport
    ) -> None:
        assert link.run(["sh", "-c", "kill -9 $$"], timeout_s=60).returncode == 137

    def test_a_command_that_hangs_is_killed(self, link: Transport) -> None:
        with pytest.raises(DeviceError, match="sleep 30 was killed after"):
            link.run(["sleep", "30"], timeout_s=0.2)

    def test_files_go_there_and_back_unchanged(
        self, link: Transport, remote: str, tmp_path: Path
    ) -> None:
        content = bytes(range(256)) * 1000
        (tmp_path / "source").write_bytes(content)
        link.push(tmp_path / "source", f"{remote}/new folder/fïle")
        link.pull(f"{remote}/new folder/fïle", tmp_path / "also new" / "back")
        assert (tmp_path / "also new" / "back").read_bytes() == content

    def test_an_empty_file_is_a_file(self, link: Transport, remote: str, tmp_path: Path) -> None:
        (tmp_path / "source").touch()
        link.push(tmp_path / "source", f"{remote}/file")
        link.pull(f"{remote}/file", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b""

    def test_a_pushed_program_can_be_started(
        self, link: Transport, remote: str, tmp_path: Path
    ) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\necho started $1\n")
        (tmp_path / "tool").chmod(0o755)
        link.push(tmp_path / "tool", f"{remote}/tool")
        assert link.run([f"{remote}/tool", "it"], timeout_s=60).check().stdout == "started it\n"

    def test_a_push_replaces_what_was_there(
        self, link: Transport, remote: str, tmp_path: Path
    ) -> None:
        for text in ("long long text", "short"):
            (tmp_path / "source").write_text(text)
            link.push(tmp_path / "source", f"{remote}/file")
        assert link.run(["cat", f"{remote}/file"], timeout_s=60).stdout == "short"
        assert link.run(["ls", "-A", remote], timeout_s=60).stdout == "file\n"

    def test_a_missing_file_is_an_error_and_leaves_nothing(
        self, link: Transport, remote: str, tmp_path: Path
    ) -> None:
        with pytest.raises(DeviceError, match="nothing-here"):
            link.push(tmp_path / "nothing-here", f"{remote}/file")
        with pytest.raises(DeviceError, match="nothing-here"):
            link.pull(f"{remote}/nothing-here", tmp_path / "file")
        assert list(tmp_path.iterdir()) == []
        assert link.run(["ls", "-A", remote], timeout_s=60).stdout == ""

    def test_a_file_cannot_take_the_place_of_a_folder(
        self, link: Transport, remote: str, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_text("x")
        link.push(tmp_path / "source", f"{remote}/folder/file")
        with pytest.raises(DeviceError, match="folder"):
            link.push(tmp_path / "source", f"{remote}/folder")
        with pytest.raises(DeviceError, match="folder"):
            link.pull(f"{remote}/folder", tmp_path / "back")
        assert link.run(["ls", "-A", f"{remote}/folder"], timeout_s=60).stdout == "file\n"

    def test_a_probe_makes_the_working_folder_and_says_what_it_is_good_for(
        self, link: Transport
    ) -> None:
        probe = link.probe()
        assert probe.executable
        assert probe.time_limit
        assert probe.hash == "sha256"
        assert (probe.free_bytes or 0) > 0
        listing = link.run(["ls", "-A", probe.workdir], timeout_s=60).check().stdout
        assert listing == ".hwnat\n"  # the mark that says whose folder it is

    def test_it_can_be_used_again_after_it_was_closed(self, link: Transport) -> None:
        assert link.run(["echo", "1"], timeout_s=60).stdout == "1\n"
        link.close()
        link.close()
        assert link.run(["echo", "2"], timeout_s=60).stdout == "2\n"


class RemoteConformance(TransportConformance):
    """The suite for a transport to another machine, which keeps what it received before."""

    def test_a_file_that_is_there_already_is_not_sent_again(
        self, link: Transport, remote: str, tmp_path: Path
    ) -> None:
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

    def test_what_a_command_started_dies_with_it_at_its_time_limit(
        self, link: Transport, remote: str
    ) -> None:
        beat = f"{remote}/beat"
        link.run(["touch", beat], timeout_s=60).check()
        loop = f"echo x >>{beat}; (while :; do echo x >>{beat}; sleep 0.1; done); true"
        with pytest.raises(DeviceError, match="killed after 2 s"):
            link.run(["sh", "-c", loop], timeout_s=2)
        before = link.run(["cat", beat], timeout_s=60).check().stdout
        assert before.startswith("x")  # it began, so its end means something
        time.sleep(0.4)
        assert link.run(["cat", beat], timeout_s=60).check().stdout == before
