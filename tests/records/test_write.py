"""Files are replaced in one step."""

import os

import pytest

from hwnat.errors import UsageError
from hwnat.records.write import write_bytes, write_text


def test_text_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.json"
    write_text(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "second" * 10_000 + "\udcff")
    assert path.read_text() == "first"
    assert [each.name for each in path.parent.iterdir()] == ["table.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_reader_sees_the_old_text_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    write_text(path, "old")
    seen = []

    def fsync(handle):
        seen.append(path.read_text())
        assert os.fstat(handle).st_size == 3

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "new")
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_a_full_disk_keeps_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"Cannot write .*table.json: No space left on device"):
        write_text(path, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_bytes_get_the_permissions_of_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "net.onnx", b"\0")
    finally:
        os.umask(before)
    assert (tmp_path / "net.onnx").stat().st_mode & 0o777 == mode


def test_a_private_file_is_private(tmp_path):
    write_text(tmp_path / "trusted.json", "{}", mode=0o600)
    assert (tmp_path / "trusted.json").stat().st_mode & 0o777 == 0o600
