"""`hwnat bench` prints one row a file, and the operators beside each other."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def write_convs(path, layers):
    """Write a chain of 1x1 convolutions on a (1, 4, 8, 8) input."""
    stored, nodes = [], []
    names = ["x", *(f"h{layer}" for layer in range(layers - 1)), "y"]
    for layer in range(layers):
        weight = np.full((4, 4, 1, 1), 0.1, np.float32)
        stored.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [names[layer], f"w{layer}"], [names[layer + 1]]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4, 8, 8)) for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], stored)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def files(tmp_path):
    return [write_convs(tmp_path / f"net{layers}.onnx", layers) for layers in (1, 2)]


def test_files_are_compared_in_a_table(hwnat, files):
    code, out, err = hwnat("bench", *files, "--rounds", 1)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split()[:6] == ["file", "p50", "ms", "p90", "ms", "ratio"]
    assert [line.split()[0] for line in lines[1:3]] == ["net1.onnx", "net2.onnx"]
    assert "1.000" in lines[1]
    assert lines[4].split()[0] == "operators"
    assert any(line.split()[:2] == ["conv", "1"] for line in lines)


def test_a_lone_file_has_no_ratio(hwnat, files):
    code, out, _ = hwnat("bench", files[0], "--rounds", 1)
    assert code == 0
    assert "ratio" not in out
    assert "peak MB" in out


def test_json_holds_every_fact(hwnat, files):
    code, out, _ = hwnat("bench", files[1], "--against", files[0], "--rounds", 1, "--json")
    assert code == 0
    base, other = json.loads(out)
    assert base["ratio"] == 1
    assert other["file"] == str(files[1])
    assert other["ratio_low"] <= other["ratio"] <= other["ratio_high"]
    assert other["footprint"]["peak_bytes"] > 0
    assert other["costs"][0]["kind"] == "conv"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["gone.onnx"], 3, "no model file gone.onnx"),
        ([], 2, "Missing argument 'FILE...'"),
        (["net.pb"], 2, "does not end in"),
    ],
)
def test_wrong_files_are_refused_in_one_line(hwnat, words, code, message):
    ended, _, err = hwnat("bench", *words)
    assert ended == code
    assert message in err
    assert len(err.strip().splitlines()) == 1
