import os

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.table.importers.base import MOST_BYTES, Finding, Source, get_importer


def test_a_plugin_that_is_no_importer_is_refused(installed):
    installed("hwnat.importers", odd="builtins:dict")
    with pytest.raises(UsageError, match=r"'odd' of hwnat\.importers returned dict"):
        get_importer("odd")


def test_a_plugin_may_be_an_importer_itself(installed):
    installed("hwnat.importers", third="hwnat.table.importers.benchmark_model:CSV")
    assert get_importer("third").unit == "ms"


def test_files_that_cannot_be_read_at_once_are_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        Source.read(tmp_path / "none")
    with pytest.raises(DataError, match=r"Is a directory|it is a folder"):
        Source.read(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match="not a regular file"):
        Source.read(tmp_path / "fifo")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match="larger than 8 MiB"):
        Source.read(tmp_path / "large")


def test_a_finding_reads_as_place_thing_message():
    words = {"rule": "r", "severity": "error", "where": "f:1", "message": "odd"}
    assert str(Finding(key="k", **words)) == "f:1: k: odd"
    assert str(Finding(key="", **words)) == "f:1: odd"
