import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnat.errors import DataError, UsageError
from hwnat.targets.base import get_target, require_one_input


def test_an_unknown_target_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"Unknown target 'onxn'.* onnx.*openvino.*tflite"):
        get_target("onxn")


def test_importing_every_target_loads_neither_torch_nor_a_runtime():
    names = "hwnat.targets.onnx.target, hwnat.targets.tflite.target, hwnat.targets.openvino.target"
    code = f"import sys, {names}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hwnat" in done.stdout.split()
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "ai_edge_litert", "flatbuffers"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [(1, 3, 8, 8), (1, 3, 8, 8)],
        [(1, 3, 8)],
        [("batch", 3, 8, 8)],
        [(1, 3, None, 8)],
        [(1, 3, 0, 8)],
        [(-1, 3, 8, 8)],
    ],
)
def test_inputs_that_are_not_one_of_fixed_shape_are_refused(shapes):
    with pytest.raises(DataError, match=r"net must have one 4-D input of fixed shape; it has "):
        require_one_input(shapes, Path("net"))


def test_the_only_input_has_its_shape_in_plain_numbers():
    shape = require_one_input([np.array([2, 3, 8, 9], np.int32)], Path("net"))
    assert shape == (2, 3, 8, 9)
    assert {type(size) for size in shape} == {int}
