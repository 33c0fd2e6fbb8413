"""The agent: times models on a board with Python, NumPy and one runtime; `AgentRunner` sends it.

This file runs alone on the board: it imports nothing from hwnat and works with Python 3.8. Command
line and output are those of `hwnat-run`, see `runner.c`; `--version` needs `--target`. Results go
to stdout, everything else to stderr. Sessions are opened as in `hwnat.targets`.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Exit codes if a package is missing; every other failure exits with 1.
NO_NUMPY = 61
NO_RUNTIME = 62
#: Types of inputs that can be drawn.
DRAWN = {f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)} | {"bool"}
DRAWN |= {"float16", "float32", "float64"}
#: Attempts per requested run to get enough that no other program disturbs.
PATIENCE = 3


def stop_telemetry() -> None:
    """Turn off the telemetry of the runtimes, which starts when they load."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO sends no telemetry if this package cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class Onnx:
    """An ONNX file in ONNX Runtime on the CPU; inputs and outputs are bound once."""

    suffix, packages = ".onnx", ("onnxruntime",)

    def __init__(self, path: str, threads: int) -> None:
        stop_telemetry()
        import onnxruntime as ort

        options, providers = self.options(threads), ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(path, options, providers=providers)
        self._binding, self._make = self._session.io_binding(), ort.OrtValue
        self._names = [given.name for given in self._session.get_inputs()]
        self.inputs = [(self.dtype(given), given.shape) for given in self._session.get_inputs()]
        for wanted in self._session.get_outputs():
            dtype = self.dtype(wanted)
            sized = all(isinstance(size, int) and size > 0 for size in wanted.shape)
            if sized and dtype in DRAWN:
                room = ort.OrtValue.ortvalue_from_shape_and_type(wanted.shape, dtype)
                self._binding.bind_ortvalue_output(wanted.name, room)
            else:
                self._binding.bind_output(wanted.name)

    @staticmethod
    def dtype(value: Any) -> str:  # noqa: ANN401
        """Return NumPy's name of the type of an input or output."""
        word = str(value.type)[len("tensor(") : -1]
        return {"float": "float32", "double": "float64"}.get(word, word)

    @staticmethod
    def options(threads: int) -> Any:  # noqa: ANN401 - the runtimes have no types
        """Return the options of `hwnat.targets.onnx.target.session_options`."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def give(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Bind the inputs and keep them, because the binding points into their memory."""
        self._inputs = [(array, self._make.ortvalue_from_numpy(array)) for array in arrays]
        for name, (_, value) in zip(self._names, self._inputs):  # noqa: B905 - not in Python 3.8
            self._binding.bind_ortvalue_input(name, value)

    def run(self) -> None:
        """Run once; the output is complete on return."""
        self._session.run_with_iobinding(self._binding)

    def answer(self) -> list[NDArray[Any]]:
        """Return the last run's outputs."""
        return [value.numpy() for value in self._binding.get_outputs()]


class Openvino:
    """An IR file on OpenVINO's CPU plug-in in float32; it reuses one infer request."""

    suffix, packages = ".xml", ("openvino",)

    def __init__(self, path: str, threads: int) -> None:
        stop_telemetry()
        import openvino as ov

        model = ov.Core().compile_model(path, "CPU", self.settings(threads))
        self._outputs = len(model.outputs)
        self.inputs = [(value.element_type.to_dtype().name, value.shape) for value in model.inputs]
        self._request = model.create_infer_request()

    @staticmethod
    def settings(threads: int) -> dict[str, object]:
        """Return the settings of `hwnat.targets.openvino.target.cpu_config`."""
        return {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def give(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Bind the inputs."""
        for index, array in enumerate(arrays):
            self._request.get_input_tensor(index).data[...] = array

    def run(self) -> None:
        """Run once; the output is complete on return."""
        self._request.infer(share_outputs=True)

    def answer(self) -> list[NDArray[Any]]:
        """Return the last run's outputs."""
        return [self._request.get_output_tensor(at).data for at in range(self._outputs)]


class Tflite:
    """A TFLite file in the interpreter of LiteRT or tflite-runtime, with XNNPACK."""

    suffix, packages = ".tflite", ("ai-edge-litert", "tflite-runtime")

    def __init__(self, path: str, threads: int) -> None:
        package = runtime_of(Tflite)[0].replace("-", "_")
        interpreter = import_module(f"{package}.interpreter").Interpreter
        self._interpreter = interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._given = self._interpreter.get_input_details()
        self._wanted = self._interpreter.get_output_details()
        self.inputs = [(given["dtype"].__name__, given["shape"]) for given in self._given]

    def give(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Bind the inputs."""
        for given, array in zip(self._given, arrays):  # noqa: B905 - not in Python 3.8
            self._interpreter.set_tensor(given["index"], array)

    def run(self) -> None:
        """Run once; the output is complete on return."""
        self._interpreter.invoke()

    def answer(self) -> list[NDArray[Any]]:
        """Return the last run's outputs."""
        return [self._interpreter.get_tensor(wanted["index"]) for wanted in self._wanted]


#: Target in a device file -> its runtime.
RUNTIMES: dict[str, Any] = {"onnx": Onnx, "openvino": Openvino, "tflite": Tflite}


def fail(words: str, status: int = 1) -> NoReturn:
    """Exit with a message."""
    print(f"hwnat agent: {words}", file=sys.stderr)  # noqa: T201
    raise SystemExit(status)


def runtime_of(kind: Any) -> tuple[str, str]:  # noqa: ANN401 - one of RUNTIMES
    """Return name and version of the runtime's first package that can be imported."""
    stop_telemetry()
    reasons = []
    for package in kind.packages:
        name = package.replace("-", "_")
        module = f"{name}.interpreter" if kind is Tflite else name
        try:
            runtime = import_module(module)
        except (ImportError, OSError, AttributeError, SystemError) as problem:
            reasons.append(f"{package}: {problem}")
            continue
        try:
            release = version(package)
        except PackageNotFoundError:  # built from source, or renamed by a vendor
            release = str(getattr(runtime, "__version__", "unknown"))
        return package, re.sub(r"[^A-Za-z0-9.+_-]", "_", release)[:64]
    return fail("; ".join(reasons), NO_RUNTIME)


def kind_of(path: str) -> Any:  # noqa: ANN401 - one of RUNTIMES
    """Return the runtime for a model file."""
    if not os.path.isfile(path):  # noqa: PTH113
        fail(f"{path}: no such file")
    for kind in RUNTIMES.values():
        if path.endswith(kind.suffix):
            return kind
    return fail(f"{path}: its name should end in {', '.join(k.suffix for k in RUNTIMES.values())}")


def noise(model: Any) -> list[NDArray[Any]]:  # noqa: ANN401 - one of RUNTIMES
    """Return random inputs.

    Floats are standard normal, and bytes span their whole range. Longer integers may be indices, so
    they are 0 or 1.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    arrays: list[NDArray[Any]] = []
    for dtype, sizes in model.inputs:
        shape = fixed(sizes, dtype)
        if dtype.startswith("float"):
            arrays.append(np.asarray(rng.standard_normal(shape), dtype=dtype))
        elif dtype in {"int8", "uint8"}:
            arrays.append(np.asarray(rng.integers(0, 256, shape, dtype=np.uint8)).view(dtype))
        else:
            arrays.append(np.asarray(rng.integers(0, 2, shape), dtype=dtype))
    return arrays


def fixed(sizes: Sequence[Any], dtype: str) -> tuple[int, ...]:
    """Return the shape of an input whose type can be drawn."""
    if dtype not in DRAWN:
        fail(f"the model takes {dtype}, not one of {', '.join(sorted(DRAWN))}")
    if not all(isinstance(size, int) or hasattr(size, "__index__") for size in sizes):
        fail(f"the model has an input without a fixed shape, {list(sizes)}")
    return tuple(map(int, sizes))


def alternate(
    invokes: Sequence[Callable[[], None]], *, runs: int, warmup: int, least_ns: int
) -> tuple[list[list[int]], int]:
    """Time models in alternation, exactly as `alternate` in hwnat.targets.timing does."""
    from resource import RUSAGE_SELF, getrusage

    began, warmed = perf_counter_ns(), 0
    while warmed < warmup or perf_counter_ns() - began < least_ns // 2:
        warmed += 1
        for invoke in invokes:
            invoke()
    calm: list[list[int]] = [[] for _ in invokes]
    every: list[list[int]] = [[] for _ in invokes]
    gc.disable()
    while len(every[0]) < PATIENCE * runs or perf_counter_ns() - began < least_ns:
        for index, invoke in enumerate(invokes):
            switches = getrusage(RUSAGE_SELF).ru_nivcsw
            start = perf_counter_ns()
            invoke()
            took = perf_counter_ns() - start
            every[index].append(took)
            if getrusage(RUSAGE_SELF).ru_nivcsw == switches:
                calm[index].append(took)
        if min(map(len, calm)) >= runs and perf_counter_ns() - began >= least_ns:
            break
    gc.enable()
    kept = [good or every[index] for index, good in enumerate(calm)]
    return kept, sum(map(len, every)) - sum(map(len, kept))


def timed(words: argparse.Namespace) -> list[str]:
    """Return the lines of a result."""
    files = [words.model] if words.reference is None else [words.model, words.reference]
    models = [kind_of(file)(file, words.threads) for file in files]
    for model in models:
        model.give(noise(model))
    runs, least_ns = [model.run for model in models], round(words.visit_ms * 1e6)
    series, away = alternate(runs, runs=words.runs, warmup=words.warmup, least_ns=least_ns)
    names = ("model_ns", "reference_ns")
    lines = [" ".join([names[at], *map(str, one)]) for at, one in enumerate(series)]
    count, total = sum(map(len, series)), sum(map(sum, series))
    return [*lines, f"disturbed {away}", f"end {count} {total}"]


def answered(words: argparse.Namespace) -> list[str]:
    """Run a model on raw inputs, one after the other in a file, and write the raw outputs."""
    import numpy as np

    model = kind_of(words.model)(words.model, words.threads)
    shapes = [(dtype, fixed(sizes, dtype)) for dtype, sizes in model.inputs]
    counts = [int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in shapes]
    raw = np.fromfile(words.given, dtype=np.uint8)
    if raw.size != sum(counts):
        fail(f"{words.given}: the inputs of {words.model} are {sum(counts)} bytes, {shapes}")
    arrays, start = [], 0
    for count, (dtype, shape) in zip(counts, shapes):  # noqa: B905 - not in Python 3.8
        arrays.append(raw[start : start + count].copy().view(dtype).reshape(shape))
        start += count
    model.give(arrays)
    model.run()
    with open(words.wanted, "wb") as file:  # noqa: PTH123
        file.writelines(np.ascontiguousarray(answer).tobytes() for answer in model.answer())
    return ["end 0 0"]


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("mode", nargs="?", choices=["time", "answer"])
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--target", choices=sorted(RUNTIMES))
    for name, to in (("model", None), ("reference", None), ("in", "given"), ("out", "wanted")):
        parser.add_argument(f"--{name}", dest=to)
    for name, usual in (("--threads", 1), ("--runs", 1), ("--warmup", 0)):
        parser.add_argument(name, type=int, default=usual)
    parser.add_argument("--visit-ms", dest="visit_ms", type=float, default=0.0)
    return parser


def main() -> None:
    """Do what the command line says."""
    words = command_line().parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        import numpy  # noqa: F401
    except ImportError as problem:
        fail(f"numpy: {problem}", NO_NUMPY)
    lacks = words.model is None or (words.mode == "answer" and None in (words.given, words.wanted))
    if words.target is None if words.version else (words.mode is None or lacks):
        fail("an option is missing; --help lists what it takes")
    kind = RUNTIMES[words.target] if words.version else kind_of(words.model)
    head = ["hwnat-run 1", " ".join(("runtime", *runtime_of(kind)))]
    lines = ["end 0 0"]
    if not words.version:
        lines = timed(words) if words.mode == "time" else answered(words)
    out.write("\n".join([*head, *lines, ""]))
    out.close()


if __name__ == "__main__":
    main()
