import runpy
from pathlib import Path

import pytest

from hwnat.errors import DataError
from hwnat.table.importers.base import Source
from hwnat.table.importers.benchmark_model_pb import pb_profile

MADE = runpy.run_path(str(Path(__file__).with_name("sample_benchmark_model_pb.py")))
message, operator = MADE["message"], MADE["operator"]


def read(content):
    return pb_profile(Source.of("a.pb", content))


def a_profile(*rows):
    return message(f3=message(f1=[message(f1="main", f3=list(rows))]))


def a_result(counts=None, **changes):
    values = {"f1": 3.25, "f2": 3.125, "f3": 3.875, "f4": 0.0625} | changes
    latency = message(**{name: value for name, value in values.items() if value is not None})
    return message(f2=latency, f4=counts or message(f1=1, f2=40, f3=7))


def test_a_profile_is_read_as_the_generated_classes_read_it(runtime_logs):
    """The same bytes through protobuf, the library that the tool writes them with."""
    messages = pytest.importorskip("ai_edge_litert.profiling_info_pb2")
    path = runtime_logs / "profile.pb"
    whole = messages.BenchmarkProfilingData.FromString(path.read_bytes())
    rows = [
        (op.name, op.node_type, op.inference_microseconds)
        for table in (
            *whole.runtime_profile.subgraph_profiles,
            *whole.runtime_profile.delegate_profiles,
        )
        for op in table.per_op_profiles
    ]
    nodes = pb_profile(Source.read(path)).nodes
    assert len(nodes) == 4
    assert [(node.name, node.kind) for node in nodes] == [(name, kind) for name, kind, _ in rows]
    for node, (_, _, stat) in zip(nodes, rows, strict=True):
        assert float(node.time) == stat.sum / stat.count


def test_published_files_are_read(shared_data):
    profile = pb_profile(Source.read(shared_data / "runtime-logs" / "bm_op_profile.pb"))
    assert len(profile.nodes) == 12
    assert {node.name: float(node.time) for node in profile.nodes}["[stem]:0"] == 1_894.8
    result = pb_profile(Source.read(shared_data / "runtime-logs" / "bm_result.pb"))
    assert result.total == ("5069.4600", "0.0000")
    assert result.runs == 50


def test_every_cut_of_a_result_is_refused():
    whole = a_result()
    assert read(whole).total == ("3250.0000", "62.5000")
    for end in range(len(whole)):
        with pytest.raises(DataError, match=r"^a\.pb: "):
            read(whole[:end])


def test_every_cut_of_a_profile_is_refused():
    whole = MADE["SAMPLE"]["files"]["profile.pb"]
    assert len(read(whole).nodes) == 4
    for end in range(len(whole)):
        with pytest.raises(DataError, match=r"^a\.pb: "):
            read(whole[:end])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (a_profile(operator(1, "ADD", "a", 5_100)), "not in the order of the run"),
        (a_profile(operator(0, "ADD", "a\x1b[1m", 5_100)), "not a line of text"),
        (a_profile(operator(0, "ADD", b"\xff", 5_100)), "not a line of text"),
        (a_profile(operator(0, "ADD", "a", 2**70)), "not an integer|has no end"),
        (a_profile(), "has no rows"),
        (a_profile(7), "a number, expected messages"),
        (message(f3=message(f1=[])), "no operators"),
        (a_result(f1=9.0), "is not between"),
        (a_result(f1=float("nan")), "not a time"),
        (a_result(f4=-1.0), "not a time"),
        (a_result(f2=None), "'min' is there 0 times"),
        (a_result(counts=message(f2=0)), "num_runs' is 0"),
        (b"\x0f\x00", "unknown type 7"),
        (b"\x00" * 9, "without a number"),
        (b"\x18" + b"\xff" * 30, "has no end"),
        (b"\x18\x01" * 300_000, "field 200,001"),
    ],
)
def test_damaged_messages_are_refused(content, reason):
    with pytest.raises(DataError, match=rf"^a\.pb: .*({reason})"):
        read(content)
