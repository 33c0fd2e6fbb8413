import pytest

from hwnat.errors import UsageError
from hwnat.table.importers.base import Finding, get_importer


def test_a_plugin_that_is_no_importer_is_refused(installed):
    installed("hwnat.importers", odd="builtins:dict")
    with pytest.raises(UsageError, match=r"'odd' of hwnat\.importers returned dict"):
        get_importer("odd")


def test_a_plugin_may_be_an_importer_itself(installed):
    installed(
        "hwnat.importers", third="hwnat.table.importers.benchmark_model_csv:BenchmarkModelCsv"
    )
    assert get_importer("third").unit == "ms"


def test_a_finding_reads_as_place_thing_message():
    words = {"rule": "r", "severity": "error", "where": "f:1", "message": "odd"}
    assert str(Finding(key="k", **words)) == "f:1: k: odd"
    assert str(Finding(key="", **words)) == "f:1: odd"
