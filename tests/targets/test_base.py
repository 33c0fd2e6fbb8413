import gc
import subprocess
import sys

import pytest

from hwnat.errors import UsageError
from hwnat.targets.base import get_target, time_pair


class Recorded:
    """A session that writes its name into a shared log when it runs."""

    input_shape = (1, 1, 1, 1)

    def __init__(self, name, log, *, fails=False):
        self.name, self.log, self.fails = name, log, fails

    def invoke(self):
        if self.fails:
            raise RuntimeError(self.name)
        self.log.append((self.name, gc.isenabled()))


def test_runs_alternate_after_the_warm_up_and_without_garbage_collection():
    log = []
    series = time_pair(Recorded("a", log), Recorded("b", log), runs=3, warmup=2)
    assert [name for name, _ in log] == ["a", "b"] * 5
    assert not any(collecting for _, collecting in log[4:])
    assert gc.isenabled()
    assert [len(samples) for samples in series] == [3, 3]
    assert all(type(sample) is int and sample > 0 for samples in series for sample in samples)


def test_garbage_is_collected_again_after_a_failed_run():
    with pytest.raises(RuntimeError, match="b"):
        time_pair(Recorded("a", []), Recorded("b", [], fails=True), runs=1, warmup=0)
    assert gc.isenabled()


@pytest.mark.parametrize(("runs", "warmup"), [(0, 1), (1, -1)])
def test_timing_nothing_is_refused(runs, warmup):
    with pytest.raises(UsageError, match="at least one run"):
        time_pair(Recorded("a", []), Recorded("b", []), runs=runs, warmup=warmup)


def test_an_unknown_target_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"Unknown target 'onxn'.* onnx.*openvino.*tflite"):
        get_target("onxn")


def test_importing_every_target_loads_neither_torch_nor_a_runtime():
    names = "hwnat.targets.onnx, hwnat.targets.tflite, hwnat.targets.openvino"
    code = f"import sys, {names}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hwnat" in done.stdout.split()
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "ai_edge_litert", "flatbuffers"}
    assert not heavy & set(done.stdout.split())
