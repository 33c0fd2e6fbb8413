"""Streams of any encoding: what they cannot show is escaped."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

onnx = pytest.importorskip("onnx")

NAMES = ("名前", "é→漢", "🙂")


@pytest.fixture
def odd_model(tmp_path):
    """Write a chain of nodes whose names most encodings cannot write."""
    make = onnx.helper
    nodes = [
        make.make_node("Relu", [before], [after], name=after)
        for before, after in zip(("x", *NAMES), NAMES, strict=False)
    ]
    ends = [
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8])
        for name in ("x", NAMES[-1])
    ]
    graph = make.make_graph(nodes, "g", ends[:1], ends[1:])
    path = tmp_path / "漢字.onnx"
    opsets = [make.make_opsetid("", 17)]
    onnx.save(make.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("unknown", [False, True])
def test_names_that_an_encoding_cannot_write_are_escaped(
    odd_model, a_table, an_entry, tmp_path, encoding, unknown
):
    entries = {f"act|in=1x8x8x{4 if unknown else 3}|act=relu|float32": an_entry(1_000_000)}
    table = replace(
        a_table(), granularity="operator", entries=entries, space=None, classes=None, resolutions=()
    )
    table.save(tmp_path / "t.json")
    argv = ["predict", "--table", "t.json", "--model", odd_model.name, "--explain"]
    done = subprocess.run(
        [sys.executable, "-m", "hwnat.cli.main", *argv],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    printed = (done.stdout + done.stderr).decode(encoding)
    assert done.returncode == (3 if unknown else 0), printed
    assert "Traceback" not in printed
    assert (NAMES[0] if encoding == "utf-8" else r"\u540d\u524d") in printed
