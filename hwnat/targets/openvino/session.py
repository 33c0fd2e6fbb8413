"""OpenVINO on the CPU: the settings that models are timed and traced with."""

from pathlib import Path

import numpy as np

from hwnat.errors import DataError
from hwnat.targets.base import Floats, Session, check_input


def cpu_config(threads: int) -> dict[str, object]:
    """Return the settings that models are timed and traced with."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Each model would be bound to a core of its own: one of two that are timed in
        # alternation then waits for whatever else runs there, and their ratio means nothing.
        "ENABLE_CPU_PINNING": False,
        # Without it a CPU with bf16 instructions computes in bf16.
        "INFERENCE_PRECISION_HINT": "f32",
    }


class OpenvinoSession(Session):
    """One reused infer request with a bound input tensor."""

    def __init__(self, path: Path, threads: int) -> None:
        import openvino as ov

        try:
            model = ov.Core().compile_model(path, "CPU", cpu_config(threads))
            shape = tuple(model.input().shape)
        except RuntimeError as error:
            msg = f"{path} is not a model that OpenVINO can load; export it again."
            raise DataError(msg) from error
        if len(shape) != 4:
            msg = f"{path} must have one 4-D input of fixed shape; it has {shape}. Export it again."
            raise DataError(msg)
        self.input_shape = shape
        self._request = model.create_infer_request()

    def prepare(self, x: Floats) -> None:
        """Bind an input; see `Session.prepare`."""
        self._request.get_input_tensor().data[:] = check_input(x, self.input_shape)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._request.infer(share_outputs=True)

    def output(self) -> Floats:
        """Return a copy of the last output; see `Session.output`."""
        return np.array(self._request.get_output_tensor().data, dtype=np.float32)
