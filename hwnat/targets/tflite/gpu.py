"""TFLite files on this machine's GPU, run by LiteRT's compiled models over WebGPU.

The driver may be a software driver, such as Mesa's lavapipe; LiteRT prints the adapter that it uses
on stderr. Runs are asynchronous, so a timed run includes reading its output. Floats stay float32.
In INT8 files only the tensors are int8; the driver decides how to compute with them.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnat.errors import DeviceError, UsageError
from hwnat.records.artifact import Layout, Shape
from hwnat.targets.base import Feed, Floats, Session, check_input, only_output
from hwnat.targets.inputs import check_feed
from hwnat.targets.tflite.session import (
    decoded,
    encoded,
    open_interpreter,
    signature_of,
    tflite_image,
)

#: Part of LiteRT's message that some operators would not run on the GPU.
_LEFT_OVER = "ops are not accelerated"


@cache
def _environment() -> Any:  # noqa: ANN401 - LiteRT has no types
    """Return LiteRT's environment, with the driver and its compiler; all models share it.

    Raises:
        UsageError: LiteRT is not installed or is too old.
    """
    try:
        from ai_edge_litert.environment import Environment
    except ImportError as error:
        msg = (
            "TFLite files run on a GPU with LiteRT 2.2 or later; install it with: "
            "pip install 'hwnat[tflite]'"
        )
        raise UsageError(msg) from error
    return Environment.create()


def open_model(path: Path) -> Any:  # noqa: ANN401
    """Load a file onto the GPU with all of its operators.

    Raises:
        UsageError: there is no GPU that LiteRT can use.
        DeviceError: the GPU does not take every operator.
    """
    environment = _environment()
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import GpuOptions, Options

    options = Options(
        hardware_accelerators=HardwareAccelerator.GPU,
        gpu_options=GpuOptions(enforce_f32=True),
    )
    left_over = (
        f"{path}: the GPU does not take every operator of this model, so part of its time would be "
        "the CPU's. LiteRT has listed those operators on stderr: replace them, or name a device "
        "without a delegate, such as host-tflite."
    )
    try:
        with _words_on_stderr():
            model = CompiledModel.from_file(str(path), environment=environment, options=options)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        if _LEFT_OVER in reason:
            raise DeviceError(left_over) from error
        msg = (
            f"LiteRT finds no GPU here that it can run {path} on ({reason[-200:]}). It needs a "
            "Vulkan driver, which `vulkaninfo --summary` lists; VK_DRIVER_FILES names one that is "
            "not installed. Or name a device without a delegate, such as host-tflite."
        )
        raise UsageError(msg) from error
    if not model.is_fully_accelerated():
        raise DeviceError(left_over)
    return model


@contextmanager
def _words_on_stderr() -> Iterator[None]:
    """Redirect the LiteRT library's stdout to stderr, because stdout is for results."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        # Flush C's buffer now; otherwise its text would reach stdout when the process ends.
        ctypes.CDLL(None).fflush(None)
        os.dup2(stdout, 1)
        os.close(stdout)


class GpuSession(Session):
    """A model on the GPU; a run includes copying its outputs to main memory."""

    layout: Layout = "NHWC"

    def __init__(self, path: Path) -> None:
        self.path = path
        # The interpreter reports a damaged file as such, and provides the scales of int8 tensors.
        interpreter = open_interpreter(path, 1)
        self.signature = signature_of(interpreter, path)
        self._given, self._wanted = (
            interpreter.get_input_details(),
            interpreter.get_output_details(),
        )
        self._model = open_model(path)
        self._inputs = self._model.create_input_buffers(0)
        self._outputs = self._model.create_output_buffers(0)
        self._read: list[npt.NDArray[Any]] = []

    @property
    def input_shape(self) -> Shape:
        """Shape of the only input as NCHW; see `Session.input_shape`."""
        return tflite_image(self.signature, self.path)

    def bind(self, feed: Feed) -> None:
        """Copy the inputs to the GPU; see `Session.bind`."""
        arrays = check_feed(feed, self.signature, self.path)
        for buffer, array in zip(self._inputs, arrays, strict=True):
            buffer.write(array)

    def invoke(self) -> None:
        """Run once and read the outputs; see `Session.invoke`."""
        self._model.run_by_index(0, self._inputs, self._outputs)
        # `read` returns when the GPU is done; `run_by_index` returns when the work is queued.
        self._read = [
            buffer.read(int(np.prod(tensor["shape"])), tensor["dtype"])
            for buffer, tensor in zip(self._outputs, self._wanted, strict=True)
        ]

    def outputs(self) -> list[npt.NDArray[Any]]:
        """Return copies of the last outputs; see `Session.outputs`."""
        return [
            y.reshape(tensor["shape"]).copy()
            for y, tensor in zip(self._read, self._wanted, strict=True)
        ]

    def prepare(self, x: Floats) -> None:
        """Copy an image to the GPU; see `Session.prepare`."""
        self.bind([encoded(check_input(x, self.input_shape), self._given[0])])

    def output(self) -> Floats:
        """Return the only output as floats; see `Session.output`."""
        return decoded(only_output(self.outputs(), self.path), self._wanted[0])
