"""What goes wrong between a genuine ssh client and a real server, and what hwnat says about it."""

import gc
import os
import threading
import time
from pathlib import Path

import pytest

from hwnat.errors import DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport import remote, ssh
from hwnat.transport.base import connect
from hwnat.transport.ssh import SshTransport


@pytest.fixture
def link(board):
    made = board.link()
    yield made
    made.close()


def processes_with(word):
    """Return the numbers of the processes whose command line has a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(word).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def refusal(call):
    with pytest.raises(DeviceError) as refused:
        call()
    assert str(refused.value).isprintable()
    return str(refused.value), isinstance(refused.value, TransientDeviceError)


def test_one_connection_serves_all_calls_and_is_gone_after_close(link, board):
    link.probe()
    sockets = link._sockets
    connections = board.sshd.children()
    assert (sockets / "s").is_socket()
    link.run(["true"], timeout_s=10)
    assert board.sshd.children() == connections
    link.close()
    assert not sockets.exists()
    assert processes_with(sockets) == []


def test_a_link_that_is_forgotten_hangs_up(board):
    made = board.link()
    made.run(["true"], timeout_s=10)
    sockets = made._sockets
    del made
    gc.collect()
    assert not sockets.exists()
    assert processes_with(sockets) == []


def test_only_its_user_can_use_the_connection(link):
    link.run(["true"], timeout_s=10)
    assert link._sockets.stat().st_mode & 0o777 == 0o700


def test_a_device_file_leads_to_its_board(board):
    spec = DeviceSpec(
        name="x",
        transport="ssh",
        target="onnx",
        host="127.0.0.1",
        port=board.sshd.port,
        user=board.sshd.user,
    )
    made = connect(spec)
    found = made.probe()
    made.close()
    assert found.address == f"ssh {board.sshd.user}@127.0.0.1 port {board.sshd.port}"
    assert found.client.startswith("OpenSSH")
    assert found.workdir == ".cache/hwnat/work"


def test_a_device_file_without_a_host_says_so():
    with pytest.raises(UsageError, match="set `host`"):
        ssh.connect(DeviceSpec(name="x", transport="plugin", target="onnx"))


def test_without_ssh_the_command_that_installs_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="'ssh' is not on PATH; install it with: sudo apt"):
        SshTransport("x")


def test_a_wrong_port_is_transient_for_the_board_may_be_starting(board):
    text, transient = refusal(lambda: board.link(port=1).run(["true"], timeout_s=5))
    assert "no ssh server answers on its port. Start sshd there, or correct `port`" in text
    assert transient


def test_an_unknown_board_is_not_trusted(board):
    known = board.sshd.place / "known"
    known.write_text("")
    try:
        text, transient = refusal(lambda: board.link().run(["true"], timeout_s=5))
    finally:
        board.sshd.trust()
    assert "its host key is unknown here. Connect once by hand" in text
    assert not transient


def test_a_board_with_another_key_than_before_is_not_trusted(board, link, tmp_path):
    from played.sshd import make_key

    make_key(tmp_path / "other")
    key = (tmp_path / "other.pub").read_text().split()[:2]
    known = board.sshd.place / "known"
    known.write_text(f"[127.0.0.1]:{board.sshd.port} {' '.join(key)}\n")
    try:
        text, transient = refusal(lambda: link.run(["true"], timeout_s=5))
    finally:
        board.sshd.trust()
    assert "host key has changed" in text
    assert f"ssh-keygen -R '[127.0.0.1]:{board.sshd.port}'" in text
    assert not transient
    assert link.run(["echo", "trusted"], timeout_s=5).stdout == "trusted\n"


def test_a_key_that_the_board_does_not_know_says_how_to_give_it(board, link):
    allowed = board.sshd.place / "authorized"
    before = allowed.read_text()
    allowed.write_text("")
    try:
        text, transient = refusal(lambda: link.run(["true"], timeout_s=5))
    finally:
        allowed.write_text(before)
    assert f"ssh-copy-id {board.sshd.user}@127.0.0.1" in text
    assert not transient


def test_a_link_lost_during_a_command_discards_what_it_printed(board, link):
    link.probe()

    threading.Timer(0.4, board.sshd.hang_up).start()
    text, transient = refusal(
        lambda: link.run(["sh", "-c", "echo 42; sleep 2; echo 43"], timeout_s=10)
    )
    assert "was lost while" in text
    assert transient
    assert link.run(["echo", "back"], timeout_s=10).stdout == "back\n"


@pytest.mark.slow
def test_a_link_lost_during_a_push_leaves_no_file(board, link, tmp_path, monkeypatch):
    source, folder = tmp_path / "model.bin", f"{board.userland.folder}/lost"
    source.write_bytes(bytes(5_000_000))

    def stop_halfway(target, *, timeout_s):
        """Send the first bytes only, and cut the link when they have arrived."""
        reader, writer = os.pipe()
        os.write(writer, b"half")

        def cut():
            part = board.userland.at(target)
            while not (part.exists() and part.stat().st_size):
                time.sleep(0.01)
            board.sshd.hang_up()

        threading.Thread(target=cut).start()
        with os.fdopen(reader, "rb") as half:
            try:
                link._call(["sh", "-c", 'cat >"$1"', "sh", target], timeout_s=timeout_s, stdin=half)
            finally:
                os.close(writer)

    with monkeypatch.context() as patch:
        patch.setattr(link, "_upload", lambda _, target, **more: stop_halfway(target, **more))
        _, transient = refusal(lambda: link.push(source, f"{folder}/model.bin"))
    assert transient
    assert not board.userland.at(f"{folder}/model.bin").exists()
    link.push(source, f"{folder}/model.bin")
    assert board.userland.at(f"{folder}/model.bin").stat().st_size == 5_000_000


def test_a_full_disk_is_said_to_be_full_and_nothing_is_left(board, link, tmp_path):
    if board.userland.reason:
        pytest.skip(board.userland.reason)
    (tmp_path / "big").write_bytes(bytes(1_000_000))
    text, transient = refusal(lambda: link.push(tmp_path / "big", "/data/full/big"))
    assert "its disk is full; delete files there" in text
    assert not transient
    assert list(board.userland.at("/data/full").iterdir()) == []


@pytest.mark.slow
def test_a_board_that_hangs_is_given_up_and_its_command_ends_there(link, monkeypatch):
    link.probe()
    monkeypatch.setattr(remote, "GRACE_S", -2.0)
    # Nothing else here sleeps as long, so the command line names the board's process.
    text, transient = refusal(lambda: link.run(["sleep", "601.5"], timeout_s=2))
    assert "was lost while sleep 601.5 ran" in text
    assert transient
    while processes_with("601.5"):
        time.sleep(0.05)


@pytest.mark.parametrize("noise", ["echo Welcome", "printf 'no end'; echo oops >&2"])
def test_what_a_login_shell_says_is_no_part_of_the_output(board, link, noise):
    enter = board.sshd.place / "enter"
    before = enter.read_text()
    enter.write_text(before.replace("#!/bin/sh\n", f"#!/bin/sh\n{noise}\n"))
    try:
        done = link.run(["sh", "-c", "echo out; echo err >&2"], timeout_s=10)
    finally:
        enter.write_text(before)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("instead", ["echo This account is not available.", "exit 0"])
def test_a_board_that_runs_no_commands_says_what_it_says(board, link, instead):
    enter = board.sshd.place / "enter"
    before = enter.read_text()
    enter.write_text(f"#!/bin/sh\n{instead}\n")
    try:
        text, _ = refusal(lambda: link.run(["true"], timeout_s=10))
    finally:
        enter.write_text(before)
    assert "did not run true in a POSIX shell. It printed" in text
    assert "hwnat device doctor" in text


@pytest.mark.parametrize(
    ("printed", "transient", "words"),
    [
        ("ssh: Could not resolve hostname b: Name or service not known", False, "correct `host`"),
        ("ssh: connect to host b port 22: Connection timed out", True, "that it is on"),
        ("ssh: connect to host b port 22: No route to host", True, "that it is on"),
        ("ssh: connect to host b port 22: Network is unreachable", True, "that it is on"),
        ("kex_exchange_identification: Connection closed by remote host", True, "try again"),
        ("Connection reset by 10.0.0.1 port 22", True, "try again"),
        ("Received disconnect: Too many authentication failures", False, "identityfile"),
        ("/root/.ssh/config: line 1: Bad configuration option: x", False, "has an error"),
        ("Bad owner or permissions on /root/.ssh/config", False, "wrong permissions"),
        ("mux_client_request_session: write packet: Broken pipe", True, "try again"),
    ],
)
def test_every_error_of_ssh_has_a_cause_and_a_next_step(link, printed, transient, words):
    error = link._explain(printed + "\x1b[2J\r\n")
    assert words in str(error).lower()
    assert isinstance(error, TransientDeviceError) == transient
    assert str(error).isprintable()
