"""OpenVINO on the CPU: the settings that models are timed and traced with."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hwnat.targets.base import (
    Floats,
    Session,
    check_input,
    require_one_input,
    require_one_output,
)
from hwnat.targets.limits import reading
from hwnat.targets.openvino.graph import require_fixed
from hwnat.targets.runtimes import load_openvino


@cache
def core() -> Any:  # noqa: ANN401 - OpenVINO has no types here
    """Return this process's only OpenVINO core, which lives as long as the process.

    Each core loads a CPU plug-in, which gives the calling thread an alternate signal stack and
    restores the previous stack when it is unloaded. With two plug-ins, the last one unloaded
    restores the freed stack of the other, and the next Ctrl-C causes a segmentation fault.
    """
    return load_openvino().Core()


def cpu_config(threads: int) -> dict[str, object]:
    """Return the settings that models are timed and traced with."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # With pinning, each model is bound to its own core. Other programs on one of the cores
        # would then delay only one of two models that are timed in alternation.
        "ENABLE_CPU_PINNING": False,
        # Without this hint, a CPU with bf16 instructions computes in bf16.
        "INFERENCE_PRECISION_HINT": "f32",
    }


class OpenvinoSession(Session):
    """One reused infer request with a bound input tensor."""

    def __init__(self, path: Path, threads: int) -> None:
        with reading(path, "OpenVINO"):
            model = core().read_model(path)
            require_fixed(model, path)
            compiled = core().compile_model(model, "CPU", cpu_config(threads))
            shapes = [tuple(value.shape) for value in compiled.inputs]
            self.input_shape = require_one_input(shapes, path)
            self._request = compiled.create_infer_request()
        self._path, self._outputs = path, [value.get_any_name() for value in compiled.outputs]

    def prepare(self, x: Floats) -> None:
        """Bind an input; see `Session.prepare`."""
        self._request.get_input_tensor().data[:] = check_input(x, self.input_shape)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._request.infer(share_outputs=True)

    def output(self) -> Floats:
        """Return a copy of the last output; see `Session.output`."""
        require_one_output(self._outputs, self._path)
        return np.array(self._request.get_output_tensor().data, dtype=np.float32)
