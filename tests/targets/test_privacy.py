"""No runtime reports anything about this machine: nothing is queued on disk, nothing dials out.

The children run in a network namespace of their own that has no network.
"""

import os
import shutil
import subprocess
import sys

import pytest

from hwnat.targets.base import get_target

_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from hwnat.device.runners.agent_program import Onnx, Openvino, noise, runtime_of
from hwnat.targets.base import get_target

path = Path(sys.argv[1])
if sys.argv[2] == "agent":
    for kind in (Onnx, Openvino):
        runtime_of(kind)
        agent = kind(str(path.with_suffix(kind.suffix)), 1)
        agent.give(noise(agent))
        agent.run()
else:
    onnx, openvino = get_target("onnx"), get_target("openvino")
    for target, file in ((onnx, path), (openvino, path.with_suffix(".xml"))):
        session = target.load(file)
        session.run(np.zeros(session.input_shape, np.float32))
        target.trace(file)
"""
_UNDISTURBED = """
import sys, time
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
time.sleep(2)
"""


def isolated(script, *words, home):
    """Run a script without a network; return what it connected to and what it left in `home`."""
    if shutil.which("strace") is None or shutil.which("unshare") is None:
        pytest.skip("needs strace and unshare; apt-get install strace util-linux")
    log = home / "connects"
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not allow network namespaces")
    argv = [*unshare, "strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto"]
    argv += ["-o", str(log), sys.executable, "-c", script, *map(str, words)]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")},
    )
    if "ptrace" in done.stderr:
        pytest.skip("this system does not allow strace")
    assert done.returncode == 0, done.stderr
    dialled = [line for line in log.read_text().splitlines() if "AF_INET" in line]
    left = [file for file in home.rglob("*") if file.is_file() and file != log]
    return dialled, left


@pytest.mark.slow
@pytest.mark.parametrize("who", ["target", "agent"])
def test_no_runtime_reports_anything(who, onnx_net, tmp_path):
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    shutil.copy(onnx_net("mobilenet"), work / "net.onnx")
    get_target("openvino").convert(work / "net.onnx", work / "net.xml")
    dialled, left = isolated(_SCRIPT, work / "net.onnx", who, home=home)
    assert dialled == []
    assert left == []


@pytest.mark.slow
def test_the_check_sees_a_runtime_that_reports(onnx_net, tmp_path):
    dialled, left = isolated(_UNDISTURBED, onnx_net("mobilenet"), home=tmp_path)
    if not dialled and not left:
        pytest.skip("this ONNX Runtime reports nothing by itself")
    assert left or dialled
