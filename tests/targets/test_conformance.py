"""Our targets keep what every target promises."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from hwnat.errors import UsageError
from hwnat.targets.base import get_target
from hwnat.targets.cuda.torch import TorchCudaTarget
from hwnat.testing.targets import TargetConformance


class TestOnnx(TargetConformance):
    @pytest.fixture
    def target(self):
        return get_target("onnx")


class TestOpenvino(TargetConformance):
    @pytest.fixture
    def target(self):
        return get_target("openvino")


class TestTflite(TargetConformance):
    @pytest.fixture
    def target(self):
        return get_target("tflite")


class TestTorchCuda(TargetConformance):
    """Files of the GPU's target, run on the CPU: what they hold is the same."""

    @pytest.fixture
    def target(self):
        return TorchCudaTarget(device="cpu")

    def test_a_trace_finds_what_a_file_was_made_of(self, target, tmp_path):
        with pytest.raises(UsageError, match="cannot be traced"):
            target.trace(tmp_path / "net.pt2")


EXPORT_ALL = """
import sys, torch
from pathlib import Path
from hwnat.records.op import OpSpec
from hwnat.targets.base import get_target
from hwnat.targets.modules.plain import op_module
torch.manual_seed(0)
module = op_module(OpSpec.from_key(
    "mbconv|in=1x14x14x16|mid=48|out=16|k=7|s=1|act=hswish|se=8|skip=1|float32"))
for name in sys.argv[2:]:
    target = get_target(name)
    path = Path(sys.argv[1], name + target.suffix)
    print(name, target.export(module, (1, 16, 14, 14), path).sha256)
"""


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path):
    def digests(seed, *names):
        argv = [sys.executable, "-W", "ignore", "-c", EXPORT_ALL, str(tmp_path), *names]
        env = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(argv, capture_output=True, text=True, env=env, check=True)
        return sorted(done.stdout.split("\n"))

    names = ("onnx", "tflite", "openvino", "torch-cuda")
    assert digests("1", *names) == digests("2", *reversed(names))


def test_exporting_draws_no_random_numbers(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 1, 1))
    before = torch.get_rng_state()
    for name in ("onnx", "tflite", "openvino", "torch-cuda"):
        target = get_target(name)
        target.export(module, (1, 1, 2, 2), tmp_path / f"net{target.suffix}")
    assert torch.equal(torch.get_rng_state(), before)
