"""ONNX Runtime sessions and their settings for timing and tracing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError
from hwnat.targets.base import Feed, Session
from hwnat.targets.inputs import (
    DRAWN,
    INTEGERS,
    TensorSpec,
    check_feed,
    require_fixed_shapes,
    tensor_spec,
)
from hwnat.targets.limits import reading
from hwnat.targets.onnx.shapes import bounds_of_inputs
from hwnat.targets.runtimes import load_onnxruntime

#: ONNX Runtime's name of a type -> NumPy's, where they differ.
_DTYPES: Final = {"float": "float32", "double": "float64"}


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


def signature_of(session: Any, path: Path) -> tuple[TensorSpec, ...]:  # noqa: ANN401
    """Return the inputs of a session.

    Raises:
        DataError: an input is not a tensor of fixed shape, or its type cannot be drawn.
    """
    given = session.get_inputs()
    for value in given:
        if not value.type.startswith("tensor("):
            msg = (
                f"{path}: input '{value.name:.80}' is a {value.type:.80}, not a tensor; export the "
                "network with tensors as inputs."
            )
            raise DataError(msg)
    require_fixed_shapes({value.name: value.shape for value in given}, path)
    types = [dtype_of(value) for value in given]
    bounds = bounds_of_inputs(path) if INTEGERS & set(types) else {}
    return tuple(
        tensor_spec(value.name, value.shape, dtype, path, high=bounds.get(value.name))
        for value, dtype in zip(given, types, strict=True)
    )


def dtype_of(value: Any) -> str:  # noqa: ANN401
    """Return the type of a session's input or output, as NumPy's name where NumPy has it."""
    word = str(value.type).removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(word, word)


def preallocated(value: Any) -> bool:  # noqa: ANN401
    """Whether memory for an output can be allocated before the run."""
    sized = all(isinstance(size, int) and size > 0 for size in value.shape)
    return sized and str(value.type).startswith("tensor(") and dtype_of(value) in DRAWN


class OnnxSession(Session):
    """A session that binds its inputs and outputs once, so that runs allocate and copy nothing.

    The memory of outputs of unknown size is allocated by each run.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        self._session = open_session(path, session_options(threads))
        self.signature = signature_of(self._session, path)
        self._binding: Any = None

    def bind(self, feed: Feed) -> None:
        """Bind the inputs; see `Session.bind`."""
        ort = load_onnxruntime()
        arrays = check_feed(feed, self.signature, self.path)
        self._binding = self._session.io_binding()
        for spec, array in zip(self.signature, arrays, strict=True):
            self._binding.bind_ortvalue_input(spec.name, ort.OrtValue.ortvalue_from_numpy(array))
        with reading(self.path, "ONNX Runtime"):
            for value in self._session.get_outputs():
                if not preallocated(value):
                    self._binding.bind_output(value.name)
                    continue
                room = ort.OrtValue.ortvalue_from_shape_and_type(value.shape, dtype_of(value))
                self._binding.bind_ortvalue_output(value.name, room)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[npt.NDArray[Any]]:
        """Return copies of the last outputs; see `Session.outputs`."""
        with reading(self.path, "ONNX Runtime"):
            return [np.array(value.numpy()) for value in self._binding.get_outputs()]
