"""ONNX files, run by ONNX Runtime on the CPU. fp32 only; no graph surgery, no other providers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import (
    Floats,
    Session,
    Target,
    check_input,
    eval_copy,
    installed,
    require_file,
)

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace

OPSET: Final = 17


class OnnxTarget:
    """Exporter through torch's graph tracer, timer through ONNX Runtime."""

    name = "onnx"
    suffix = ".onnx"
    layout: Layout = "NCHW"
    precision: Precision = "fp32"

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module`; see `Target.export`."""
        with staged(path) as draft:
            counts = write_onnx(module, input_shape, draft)
        return describe(
            path, target=self.name, layout=self.layout, nchw=input_shape, details=counts
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Write a self-contained copy; see `Target.convert`."""
        from onnx import save

        from hwnat.targets.onnx_graph import open_onnx

        with staged(path) as draft:
            save(open_onnx(onnx).model, draft)

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`."""
        return _OnnxSession(require_file(path, "ONNX"), threads)

    def trace(self, path: Path) -> "Trace":
        """Return what ONNX Runtime executes; see `Target.trace`."""
        from hwnat.targets.trace_onnx import trace_onnx

        return trace_onnx(path, runtime=" ".join(self.runtime()))

    def runtime(self) -> tuple[str, str]:
        """Return ("onnxruntime", version)."""
        return installed("onnxruntime", extra="onnx")


_CHECK: type[Target] = OnnxTarget


def write_onnx(module: "nn.Module", input_shape: Shape, path: Path) -> dict[str, int]:
    """Write a checked, self-contained opset-17 file for one fixed NCHW shape; return its counts.

    The graph tracer is deprecated but writes the same graph in a tenth of the time that the
    torch.export one needs, without stack traces of this machine in the file.

    Raises:
        UsageError: the module cannot be traced or holds an operator without an ONNX form.
    """
    import onnx
    import torch

    with warnings.catch_warnings():
        for said in ("You are using the legacy TorchScript", "The feature will be removed"):
            warnings.filterwarnings("ignore", said, DeprecationWarning)
        # Padding becomes arithmetic on constants, which every runtime folds.
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1", UserWarning)
        # Instance norms have no running statistics, so training and evaluation are one.
        warnings.filterwarnings(
            "ignore", "ONNX export mode is set to TrainingMode.EVAL", UserWarning
        )
        # Torch's own functions check shapes, which are fixed here.
        tracer = torch.jit._trace.TracerWarning
        warnings.filterwarnings("ignore", category=tracer, module=r"torch\.nn\.")
        try:
            torch.onnx.export(
                eval_copy(module),
                (torch.zeros(input_shape),),
                path,
                dynamo=False,
                opset_version=OPSET,
                external_data=False,
                input_names=["input"],
                output_names=["output"],
            )
        except RuntimeError as error:  # torch's exporter errors and shape errors derive from it
            reason = str(error).partition("\n")[0]
            msg = f"No ONNX file {path.name} for input {input_shape}: {reason}"
            raise UsageError(msg) from error
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    nodes = [node.op_type for node in model.graph.node]
    return {"operators": len(nodes), "transposes": nodes.count("Transpose"), "opset": OPSET}


def session_options(threads: int) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Return the settings that models are timed and traced with."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Idle workers of one session must not spin on the cores while another one is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def open_session(
    path: Path,
    options: Any,  # noqa: ANN401
    *,
    providers: Sequence[Any] = ("CPUExecutionProvider",),
) -> Any:  # noqa: ANN401
    """Load a file, on the CPU unless other providers are named.

    Raises:
        DataError: ONNX Runtime refuses it.
    """
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf")
    invalid = tuple(getattr(state, name) for name in names)
    invalid += (state.NotImplemented, state.RuntimeException)
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except invalid as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path} is not a model that ONNX Runtime can load ({reason}); export it again."
        raise DataError(msg) from error


class _OnnxSession(Session):
    """Input and output are bound once, so a run allocates and copies nothing."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_session(path, session_options(threads))
        self.input_shape = fixed_shape(self._session.get_inputs(), path)
        self._binding: Any = None

    def prepare(self, x: Floats) -> None:
        import onnxruntime as ort

        check_input(x, self.input_shape)
        value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x))
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(self._session.get_inputs()[0].name, value)
        output = self._session.get_outputs()[0]
        self._output = ort.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32)
        self._binding.bind_ortvalue_output(output.name, self._output)

    def invoke(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def output(self) -> Floats:
        return np.array(self._output.numpy(), dtype=np.float32)


def fixed_shape(inputs: Any, path: Path) -> Shape:  # noqa: ANN401 - ONNX Runtime has no types
    """Return the shape of a session's only input.

    Raises:
        DataError: it has several, or one whose shape is open.
    """
    shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
    if len(shape) != 4 or not all(isinstance(size, int) and size > 0 for size in shape):
        msg = f"{path} must have one 4-D input of fixed shape; it has {shape}. Export it again."
        raise DataError(msg)
    return shape
