"""The importer keeps what every importer promises."""

import pytest

from hwnat.testing.importers import ImporterConformance, ImporterSample

STEM = "conv|in=1x32x32x3|out=16|k=3|s=2|act=relu|float32"
CLASSIFIER = "linear|in=1x1x1x64|out=10|float32"


class TestPlainCsv(ImporterConformance):
    @pytest.fixture
    def sample(self):
        text = f"operation,latency_us\n{STEM},120.5\n{CLASSIFIER},3.25\nunknown,7\n"
        return ImporterSample(
            format="plain-csv",
            device="my-board",
            files={"timings.csv": text},
            entries={STEM: 120_500, CLASSIFIER: 3_250},
            unmapped=frozenset({"unknown"}),
            planted=("120.5", STEM),
        )
