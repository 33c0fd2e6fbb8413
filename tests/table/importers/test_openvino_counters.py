import json

import pytest

from hwnat.errors import DataError
from hwnat.table.importers.base import Source
from hwnat.table.importers.openvino_counters import counters_profile


def read(report):
    return counters_profile(Source.of("c.json", json.dumps(report).encode()))


@pytest.fixture
def report(runtime_logs):
    return json.loads((runtime_logs / "openvino_counters.json").read_text())


def test_nodes_that_did_not_run_have_a_reason_instead_of_a_time(report):
    nodes = {node.name: node for node in read(report).nodes}
    assert {name: node.time for name, node in nodes.items() if not node.reason} == {
        "c": "0.812",
        "y": "0.031",
    }
    assert "did not run" in nodes["r"].reason


def test_a_published_report_is_read(shared_data):
    path = shared_data / "runtime-logs" / "benchmark_detailed_counters_report.json"
    profile = counters_profile(Source.read(path))
    assert len(profile.nodes) == 18
    assert {node.name: node.time for node in profile.nodes}["conv3"] == "0.761"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"real_time": "0.712"}, "the nodes take"),
        ({"real_time": "nan"}, "not a finite number"),
        ({"real_time": 0.812}, "has not the texts"),
        ({"real_time": "1" * 5_000}, "not a finite number"),
        ({"status": "Status.LOST"}, "unknown status 'LOST'"),
        ({"status": "Status.NOT_RUN"}, "status NOT_RUN, but real_time is 0.812"),
    ],
)
def test_a_damaged_node_is_refused(report, change, message):
    report["detailed_performance"][0]["nodes"][1] |= change
    with pytest.raises(DataError, match=rf"^c\.json: .*{message}"):
        read(report)


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({}, "no list"),
        ([], "0 infer requests"),
        ([{}, {}], "2 infer requests, expected 1.*-api sync"),
        ([3], "1 infer requests"),
        ([{"nodes": []}], "no nodes"),
        ([{"nodes": ["c"], "total_real_time": "1"}], "node 0: 'c' has not the texts"),
    ],
)
def test_another_report_is_refused(streams, message):
    with pytest.raises(DataError, match=rf"^c\.json: .*{message}"):
        read({"detailed_performance": streams})
    for text in (b"[" * 100_000, b"null", b"{"):
        with pytest.raises(DataError, match=r"^c\.json: "):
            counters_profile(Source.of("c.json", text))
