"""OpenVINO inside this process: what it leaves behind when its models are gone."""

import subprocess
import sys

from hwnat.targets.base import get_target

_SCRIPT = """
import gc, os, signal, sys
from pathlib import Path
import numpy as np
from hwnat.targets.base import get_target

def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        np.ones((100, 100)) @ np.ones((100, 100))

target = get_target("openvino")
path = Path(sys.argv[1])
first, second = target.load(path), target.load(path)
target.trace(path)
first.run(np.zeros(first.input_shape, np.float32))
del first
gc.collect()
del second
gc.collect()
for _ in range(3):
    try:
        interrupted()
    except KeyboardInterrupt:
        continue
    sys.exit(1)
sys.exit(130)
"""


def test_an_interrupt_after_models_are_gone_is_an_interrupt(onnx_net, tmp_path):
    target = get_target("openvino")
    path = tmp_path / "net.xml"
    target.convert(onnx_net("mobilenet"), path)
    argv = [sys.executable, "-c", _SCRIPT, str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 130, done.stderr
