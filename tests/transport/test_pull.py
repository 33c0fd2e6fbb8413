"""A file that does not arrive as the device has it is never taken."""

import os

import pytest

from hwnat.errors import TransientDeviceError
from hwnat.transport.remote import RemoteTransport

CONTENT = b"the model, byte by byte\n" * 100


class Here(RemoteTransport):
    """This machine behind a shell, as a device is."""

    def _shell(self, command):
        return ["sh", "-c", command]

    def _upload(self, source, target, *, timeout_s):
        raise NotImplementedError(source, target, timeout_s)

    def _explain(self, printed):
        del printed

    def _version(self):
        return "sh"

    def _prepare(self):
        pass

    def _lost(self):
        pass

    def close(self):
        pass


@pytest.fixture
def pulled(tmp_path, monkeypatch):
    """Pull `CONTENT` from a device whose `cat` is a script; return where it arrives."""

    def pull(cat):
        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "cat").write_text(f"#!/bin/sh\n{cat.format(real='/bin/cat')}\n")
        (tools / "cat").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        (tmp_path / "there").write_bytes(CONTENT)
        here = tmp_path / "here"
        Here(address="here", workdir=str(tmp_path)).pull(str(tmp_path / "there"), here)
        return here

    return pull


def test_a_file_that_arrives_whole_is_taken(pulled):
    assert pulled('{real} "$1"').read_bytes() == CONTENT


@pytest.mark.parametrize(
    "cat",
    [
        '{real} "$1" | tr m M',
        '{real} "$1" | head -c 1000',
        '{real} "$1"; echo more',
        '{real} "$1" | tail -c +2; printf x',
        "exit 0",
    ],
)
def test_a_file_that_arrives_changed_is_refused_and_leaves_nothing(pulled, tmp_path, cat):
    with pytest.raises(TransientDeviceError, match=r"Cannot pull .*there from here"):
        pulled(cat)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "tools"]
