"""A command's end is seen or it is not; nothing a device prints passes for it."""

import os
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.transport.base import Completed
from hwnat.transport.framing import command_line, new_token, read
from hwnat.transport.shell import probe

TOKEN = "hwnat-0123456789abcdef0123456789abcdef"
DONE = (
    f"{TOKEN}<\nout\n\n{TOKEN}>7\n\n{TOKEN}!ended\n".encode(),
    f"{TOKEN}(\nerr\n{TOKEN})\n".encode(),
)
#: What a device could put together to be believed.
PIECES = st.sampled_from(
    [
        *(f"{TOKEN}{sign}" for sign in "<>()!"),
        TOKEN,
        "\n",
        "\r\n",
        "0",
        "7",
        "ended",
        "256",
        "-1",
        "x",
    ]
)


def shell(line, **more):
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=30, **more)
    return done.stdout, done.stderr


def test_what_stands_between_the_marks_comes_back():
    found = read(TOKEN, *DONE)
    assert (found.state, found.status, found.stdout, found.stderr) == ("done", 7, b"out\n", b"err")


@given(cut=st.integers(1, len(DONE[0])))
def test_stdout_cut_anywhere_is_not_an_end(cut):
    assert read(TOKEN, DONE[0][:-cut], DONE[1]).state in {"silent", "cut"}


def test_a_link_that_was_lost_after_the_first_word_of_errors_is_no_other_shell():
    assert read(TOKEN, b"", f"{TOKEN}(\n".encode()).state == "cut"
    assert read(TOKEN, f"{TOKEN}(\n".encode(), b"").state == "cut"


@given(cut=st.integers(1, len(DONE[1])))
def test_stderr_cut_anywhere_is_not_an_end(cut):
    assert read(TOKEN, DONE[0], DONE[1][:-cut]).state == "cut"


@given(stdout=st.binary(), stderr=st.binary())
def test_bytes_of_any_kind_are_not_an_end(stdout, stderr):
    assert read(TOKEN, stdout, stderr).state == "silent"


@given(st.lists(PIECES, max_size=30), st.lists(PIECES, max_size=12))
def test_pieces_of_marks_give_an_end_only_with_a_whole_code(out, err):
    stdout, stderr = "".join(out).encode(), "".join(err).encode()
    found = read(TOKEN, stdout, stderr)
    if found.state == "done":
        assert 0 <= found.status <= 255
        newline = b"\r\n" if f"{TOKEN}<\r\n".encode() in stdout else b"\n"
        end = f"{TOKEN}>{found.status}".encode() + newline + newline + f"{TOKEN}!ended".encode()
        assert stdout.endswith(end + newline)


@given(before=st.binary(max_size=50), output=st.binary(max_size=50), after=st.binary(max_size=50))
def test_a_greeting_is_cut_off_and_output_is_not_touched(before, output, after):
    stdout = before + DONE[0].replace(b"out\n", output)
    found = read(TOKEN, stdout, before + DONE[1].replace(b"err", output) + after)
    assert (found.status, found.stdout, found.stderr) == (7, output, output)


@given(st.binary(max_size=200))
def test_a_merged_stream_keeps_its_bytes(output):
    start, end = f"{TOKEN}(\n{TOKEN}<\n".encode(), f"\n{TOKEN})\n\n{TOKEN}>0\n\n{TOKEN}!ended\n"
    found = read(TOKEN, start + output + end.encode(), b"")
    assert (found.state, found.stdout, found.stderr) == ("done", output, b"")


def test_a_terminal_doubles_the_ends_of_lines_of_the_marks_too():
    marks = f"{TOKEN}(\n{TOKEN}<\nout\n\n{TOKEN})\n\n{TOKEN}>0\n\n{TOKEN}!ended\n"
    found = read(TOKEN, marks.replace("\n", "\r\n").encode(), b"")
    assert (found.state, found.stdout) == ("done", b"out\r\n")


@pytest.mark.parametrize("code", ["", "256", "-1", "1 ", "01", "٣", "none"])
def test_a_code_that_no_command_ends_with_is_not_believed(code):
    assert read(TOKEN, DONE[0].replace(b">7", f">{code}".encode()), DONE[1]).state == "cut"


@pytest.mark.parametrize("status", [0, 1, 127, 255])
def test_every_code_that_a_command_may_end_with_is_read(status):
    result = read(TOKEN, DONE[0].replace(b">7", f">{status}".encode()), DONE[1])
    assert (result.state, result.status) == ("done", status)


@pytest.mark.parametrize(("timeout_s", "limit_s"), [(0.2, "1"), (1.0, "1"), (1.2, "2"), (60, "60")])
def test_a_time_limit_is_rounded_up_to_whole_seconds(timeout_s, limit_s):
    words = shlex.split(command_line(TOKEN, ["true"], timeout_s=timeout_s))
    assert words[words.index(TOKEN) + 1] == limit_s


def test_a_second_end_makes_both_doubtful():
    twice = DONE[0].replace(b"out", f"out\n{TOKEN}>0\nmore".encode())
    assert read(TOKEN, twice, DONE[1]).state == "cut"


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", 'ps -ef; tr "\\0" "\\n" </proc/$PPID/cmdline; cat /proc/$PPID/cmdline'],
        [
            "sh",
            "-c",
            'for f in /proc/[0-9]*/cmdline; do tr "\\0" "\\n" <$f; done 2>/dev/null; true',
        ],
    ],
)
def test_a_command_that_prints_how_it_was_called_is_not_misread(argv):
    token = new_token()
    found = read(token, *shell(command_line(token, argv, timeout_s=20)))
    assert (found.state, found.status) == ("done", 0)
    assert token.encode() in found.stdout


def test_a_command_that_is_killed_with_its_shell_has_no_end():
    token = new_token()
    line = command_line(token, ["sh", "-c", "echo 1; kill -9 $PPID; sleep 1"], timeout_s=20)
    assert read(token, *shell(line)).state == "late"


@pytest.mark.slow
@pytest.mark.parametrize("ignore", ["", "trap '' TERM HUP; "])
def test_a_command_that_takes_too_long_is_late_even_if_it_does_not_want_to_end(ignore):
    token = new_token()
    line = command_line(token, ["sh", "-c", f"{ignore}echo 1; sleep 9; sleep 9"], timeout_s=0.1)
    assert read(token, *shell(line)).state == "late"


def test_a_command_may_end_with_what_timeout_ends_with():
    token = new_token()
    found = read(token, *shell(command_line(token, ["sh", "-c", "exit 124"], timeout_s=9)))
    assert (found.state, found.status) == ("done", 124)


@pytest.fixture
def older(tmp_path):
    """Put a `timeout` first on PATH that knows no -k, as BusyBox's before 1.34."""
    program = tmp_path / "timeout"
    program.write_text(
        '#!/bin/sh\n[ "$1" != -k ] || { echo "invalid option -- k" >&2; exit 1; }\nshift; "$@"\n'
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_an_older_timeout_limits_nothing_and_is_no_lost_line(older, tmp_path):
    token = new_token()
    line = command_line(token, ["touch", str(tmp_path / "made")], timeout_s=9)
    assert read(token, *shell(line, env=older)).state == "unlimited"
    assert not (tmp_path / "made").exists()
    assert read(token, *shell(line)).state == "done"


@pytest.mark.parametrize("old", [True, False])
def test_a_probe_tells_an_older_timeout_apart(older, old, tmp_path):
    env = older if old else None

    def run(argv, *, timeout_s):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, env=env)
        return Completed(
            argv=tuple(argv), returncode=done.returncode, stdout=done.stdout, stderr=done.stderr
        )

    assert probe(run, str(tmp_path / "work"), address="it", client=None).time_limit is not old


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
def test_the_line_is_one_call_of_a_shell_however_odd_its_words(argv):
    words = shlex.split(command_line(TOKEN, argv, timeout_s=1.2))
    assert words[:2] == ["sh", "-c"]
    assert words[3:6] == [TOKEN, "2", "no"]
    assert words[7:] == argv
    assert not any(TOKEN in word for word in (words[2], words[6]))


def test_tokens_differ():
    assert len({new_token() for _ in range(100)}) == 100


@pytest.mark.parametrize("sign", ["(\n", "\n{})\n"])
def test_a_mark_of_errors_that_occurs_twice_makes_them_doubtful(sign):
    mark = sign.format(TOKEN) if "{}" in sign else f"{TOKEN}{sign}"
    stderr = DONE[1].replace(b"err", f"err{mark}more".encode())
    assert read(TOKEN, DONE[0], stderr).state == "cut"
