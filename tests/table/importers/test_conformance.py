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


class TestImporters(ImporterConformance):
    @pytest.fixture(params=FORMATS)
    def sample(self, request):
        return sample_of(request.param)

    @pytest.fixture
    def others(self):
        return {name: sample_of(name).files for name in FORMATS}
