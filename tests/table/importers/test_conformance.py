"""Every importer keeps what importers promise. A new one adds `sample_<its name>.py` beside this.

Its `SAMPLE` is a dict with the fields of `hwnat.testing.importers.ImporterSample`, without the
name of the format.
"""

import runpy
from pathlib import Path

import pytest

from hwnat import plugins
from hwnat.table.importers.base import GROUP
from hwnat.testing.importers import ImporterConformance, ImporterSample

FORMATS = plugins.names(GROUP)


def sample_of(name):
    path = Path(__file__).with_name(f"sample_{name.replace('-', '_')}.py")
    assert path.is_file(), f"importer {name} has no sample: write {path.name}"
    return ImporterSample(format=name, **runpy.run_path(str(path))["SAMPLE"])


def test_the_built_in_formats_are_registered():
    assert "benchmark-model-csv" in FORMATS


def is_binary(name):
    return isinstance(next(iter(sample_of(name).files.values())), bytes)


class TestImporters(ImporterConformance):
    @pytest.fixture(params=[name for name in FORMATS if not is_binary(name)])
    def sample(self, request):
        return sample_of(request.param)

    @pytest.fixture
    def others(self):
        return {name: sample_of(name).files for name in FORMATS}


class TestBinaryImporters(ImporterConformance):
    """Lines and values of these files cannot be replaced as text."""

    test_line_ends_and_a_byte_order_mark_change_nothing = None
    test_a_value_that_is_no_latency_never_becomes_an_entry = None
    test_lint_reads_on_after_such_a_value_and_reports_it = None

    @pytest.fixture(params=[name for name in FORMATS if is_binary(name)])
    def sample(self, request):
        return sample_of(request.param)

    @pytest.fixture
    def others(self):
        return {name: sample_of(name).files for name in FORMATS}
