import subprocess
import sys

import pytest

from hwnat.device.runners.logs.record import Delegation, Runs
from hwnat.errors import DataError


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (Runs, {"count": 3}),
        (Runs, {"count": 3, "avg_ns": 0}),
        (Runs, {"count": 3, "avg_ns": 5, "min_ns": 6}),
        (Runs, {"count": 3, "median_ns": 9, "p95_ns": 8}),
        (Runs, {"count": 0, "avg_ns": 5}),
        (
            Runs,
            {
                "count": 3,
                "min_ns": 10**6,
                "avg_ns": 10**6,
                "max_ns": 10**6 + 1,
                "std_ns": 10**6,
            },
        ),
        (Delegation, {"name": "GPU", "extent": "full", "cpu_operators": 2}),
    ],
)
def test_records_refuse_impossible_values(record, fields):
    with pytest.raises(DataError):
        record(**fields)


def test_importing_the_readers_loads_no_runtime():
    heavy = "{'numpy', 'torch', 'google.protobuf', 'ai_edge_litert', 'openvino', 'onnxruntime'}"
    module = "hwnat.device.runners.logs.benchmark_model"
    code = f"import sys, {module}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
