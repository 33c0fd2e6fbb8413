"""ONNX Runtime sessions: the settings that models are timed and traced with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnat.errors import DataError
from hwnat.records.artifact import Shape
from hwnat.targets.base import Floats, Session, check_input


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


class OnnxSession(Session):
    """Input and output are bound once, so a run allocates and copies nothing."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_session(path, session_options(threads))
        self.input_shape = fixed_shape(self._session.get_inputs(), path)
        self._binding: Any = None

    def prepare(self, x: Floats) -> None:
        """Bind an input; see `Session.prepare`."""
        import onnxruntime as ort

        check_input(x, self.input_shape)
        value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x))
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(self._session.get_inputs()[0].name, value)
        output = self._session.get_outputs()[0]
        self._output = ort.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32)
        self._binding.bind_ortvalue_output(output.name, self._output)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._session.run_with_iobinding(self._binding)

    def output(self) -> Floats:
        """Return a copy of the last output; see `Session.output`."""
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
