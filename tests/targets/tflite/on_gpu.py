"""What `test_tflite_gpu` runs in a process of its own, for the driver is found by its environment.

Its argument is a folder of models; it prints what it found as JSON.
"""

import json
import sys
import time
from pathlib import Path


def rms_error(answer, expected):
    import numpy as np

    return float(np.sqrt(np.mean((answer - expected) ** 2)) / np.std(expected))


def parity(path, target, x):
    """Return how far two inputs' outputs on the GPU are from the CPU's, and from each other."""
    gpu, cpu = target.delegated("gpu").load(path), target.load(path)
    first, second = gpu.run(x), gpu.run(-x)
    return {
        "shapes": [list(gpu.input_shape), list(first.shape)],
        "errors": [rms_error(first, cpu.run(x)), rms_error(second, cpu.run(-x))],
        "between": rms_error(first, second),
    }


def order_of_calls(path, x):
    """Return what a run does, in order, and whether its output outlives the GPU's buffers."""
    import numpy as np
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.tensor_buffer import TensorBuffer

    from hwnat.targets.tflite.gpu import GpuSession

    log = []

    def noting(kind, name):
        genuine = getattr(kind, name)

        def call(*words, **named):
            answer = genuine(*words, **named)
            log.append(name)
            return answer

        setattr(kind, name, call)
        return genuine

    session = GpuSession(path)
    session.prepare(x)
    kept = noting(CompiledModel, "run_by_index"), noting(TensorBuffer, "read")
    session.invoke()
    CompiledModel.run_by_index, TensorBuffer.read = kept
    calls = list(log)
    before = session.output()
    session._inputs = session._outputs = session._model = None
    return {"calls": calls, "same": bool(np.array_equal(before, session.output()))}


def waiting(path, x):
    """Return the seconds of a call that only hands work over, and of one that also reads."""
    from hwnat.targets.tflite.gpu import GpuSession

    session = GpuSession(path)
    session.prepare(x)
    session.invoke()
    handed, whole = [], []
    for _ in range(5):
        start = time.perf_counter()
        session._model.run_by_index(0, session._inputs, session._outputs)
        handed.append(time.perf_counter() - start)
        session._outputs[0].read(session._read[0].size, session._read[0].dtype)
        start = time.perf_counter()
        session.invoke()
        whole.append(time.perf_counter() - start)
    return {"handed_s": min(handed), "whole_s": min(whole)}


def refusal(path):
    from hwnat.errors import HwnatError
    from hwnat.targets.tflite.gpu import open_model

    try:
        open_model(path)
    except HwnatError as error:
        return {"error": type(error).__name__, "says": str(error)}
    return {"error": None, "says": ""}


def main(folder):
    import numpy as np

    from hwnat.targets.tflite.target import TfliteTarget

    rng = np.random.default_rng(0)
    small = rng.standard_normal((1, 3, 16, 16), dtype=np.float32)
    large = rng.standard_normal((1, 16, 64, 64), dtype=np.float32)
    refused = refusal(folder / "partial.tflite")
    found = {"partial": refused}
    if refused["error"] != "UsageError":
        found["fp32"] = parity(folder / "fp32.tflite", TfliteTarget(), small)
        found["int8"] = parity(folder / "int8.tflite", TfliteTarget(precision="int8"), small)
        found["order"] = order_of_calls(folder / "fp32.tflite", small)
        found["waiting"] = waiting(folder / "large.tflite", large)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
