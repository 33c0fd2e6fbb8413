import subprocess
import sys

import pytest

from hwnat.errors import UsageError
from hwnat.targets.base import get_target


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
