"""ONNX Runtime sessions and their settings for timing and tracing."""

from collections.abc import Sequence
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
from hwnat.targets.runtimes import load_onnxruntime


def session_options(threads: int) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Return the settings for timing and tracing a model."""
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Idle threads of one session must not spin on the cores while another session is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def open_session(
    path: Path,
    options: Any,  # noqa: ANN401
    *,
    providers: Sequence[Any] = ("CPUExecutionProvider",),
) -> Any:  # noqa: ANN401
    """Load a file, on the CPU unless you name other providers.

    Raises:
        DataError: ONNX Runtime refuses the file.
    """
    ort = load_onnxruntime()
    with reading(path, "ONNX Runtime"):
        return ort.InferenceSession(str(path), options, providers=list(providers))


class OnnxSession(Session):
    """A session that binds its input and output once, so that runs allocate and copy nothing."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._session = open_session(path, session_options(threads))
        self.input_shape = require_one_input(input_shapes(self._session), path)
        self._binding: Any = None

    def prepare(self, x: Floats) -> None:
        """Bind an input; see `Session.prepare`."""
        ort = load_onnxruntime()
        check_input(x, self.input_shape)
        value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x))
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(self._session.get_inputs()[0].name, value)
        first, *others = self._session.get_outputs()
        with reading(self._path, "ONNX Runtime"):
            self._output = ort.OrtValue.ortvalue_from_shape_and_type(first.shape, np.float32)
            self._binding.bind_ortvalue_output(first.name, self._output)
            for output in others:
                self._binding.bind_output(output.name)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._session.run_with_iobinding(self._binding)

    def output(self) -> Floats:
        """Return a copy of the last output; see `Session.output`."""
        require_one_output([output.name for output in self._session.get_outputs()], self._path)
        return np.array(self._output.numpy(), dtype=np.float32)


def input_shapes(session: Any) -> list[Sequence[Any]]:  # noqa: ANN401 - ONNX Runtime has no types
    """Return the shape of each input of an ONNX Runtime session."""
    return [value.shape for value in session.get_inputs()]
