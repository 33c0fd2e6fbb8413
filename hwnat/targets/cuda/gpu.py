"""The check for an NVIDIA GPU, its clock and its sessions, shared by the CUDA targets.

PyTorch provides them, even for models that another runtime executes.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hwnat.errors import DeviceError, UsageError
from hwnat.targets.base import Feed, Session
from hwnat.targets.inputs import TensorSpec, check_feed

_INSTALL = "pip install 'hwnat[cuda]', with a PyTorch that is built for CUDA"


def require_gpu(target: str) -> str:
    """Return the name of the GPU that runs models: the first one.

    Raises:
        UsageError: there is no GPU, or PyTorch cannot use it.
    """
    try:
        import torch
    except ImportError as error:
        msg = f"Target {target} needs PyTorch for the GPU's clock; install it with: {_INSTALL}."
        raise UsageError(msg) from error
    with warnings.catch_warnings():
        # PyTorch warns about drivers that are too old; the error below reports that too.
        warnings.simplefilter("ignore")
        available = torch.cuda.is_available()
    missing = why_unusable(str(torch.__version__), torch.version.cuda, available=available)
    if missing:
        msg = f"Target {target} runs models on an NVIDIA GPU: {missing}"
        raise UsageError(msg)
    return torch.cuda.get_device_name(0)


def why_unusable(version: str, cuda: str | None, *, available: bool) -> str | None:
    """Return why PyTorch cannot use a GPU and what to do about it; None if it can.

    Args:
        version: version of PyTorch.
        cuda: version of CUDA that PyTorch is built for; None if it is built without CUDA.
        available: whether PyTorch finds a GPU and a driver.
    """
    if cuda is None:
        return f"PyTorch {version} is built without CUDA. Install: {_INSTALL}."
    if not available:
        return (
            f"PyTorch {version} finds none, or no driver for CUDA {cuda}. See whether `nvidia-smi` "
            "lists a GPU, and install a driver for that version; or name another device."
        )
    return None


def refuse_trace(path: Path) -> NoReturn:
    """Refuse to trace a file: operators are not traced on a GPU.

    Raises:
        UsageError: always.
    """
    msg = (
        f"{path}: operators on a GPU cannot be traced; name a device of another target, such as "
        "host-onnx, or profile a space."
    )
    raise UsageError(msg)


class GpuClock:
    """A stream of the GPU that times runs by events.

    A run is timed from when the GPU reaches it until its last kernel has finished. For a small
    model, the GPU may finish kernels faster than the host launches them. The time is then the
    launch time, as it would be in deployment.
    """

    def __init__(self) -> None:
        import torch

        self.stream = torch.cuda.Stream()
        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def wait(self, call: Callable[[], None]) -> None:
        """Let a call put its work on the stream, and return when the work is done."""
        import torch

        with torch.cuda.stream(self.stream):
            call()
        self.stream.synchronize()

    def timed(self, call: Callable[[], None]) -> int:
        """Run a call like `wait` and return the nanoseconds between the events around it.

        Raises:
            DeviceError: no time passed between the events, so the work ran on another stream.
        """
        import torch

        with torch.cuda.stream(self.stream):
            self._begin.record(self.stream)
            call()
            self._end.record(self.stream)
        self._end.synchronize()
        took_ns = round(float(self._begin.elapsed_time(self._end)) * 1e6)
        if took_ns <= 0:
            msg = (
                f"The GPU's clock measured {took_ns} ns for a run, which is impossible; the "
                "runtime did not use the timed stream. Update runtime and driver, run again."
            )
            raise DeviceError(msg)
        return took_ns


class TensorSession(Session, ABC):
    """A model whose inputs and outputs are PyTorch tensors, on the CPU or a GPU.

    Args:
        path: the file.
        signature: its inputs.
        device: `cpu` or `cuda`.
    """

    def __init__(self, path: Path, signature: tuple[TensorSpec, ...], device: str) -> None:
        self.path, self.signature, self._device = path, signature, device
        self._given: list[Any] = []
        self._results: Sequence[Any] = ()

    @abstractmethod
    def _call(self) -> None:
        """Run once from `_given` to `_results`."""

    def _settings(self) -> AbstractContextManager[None]:
        """Return PyTorch's settings around a run; entering them is not timed on a GPU."""
        return nullcontext()

    def bind(self, feed: Feed) -> None:
        """Copy the inputs to the device; see `Session.bind`."""
        import torch

        arrays = check_feed(feed, self.signature, self.path)
        # A copy, because the caller may write to its arrays.
        self._given = [torch.from_numpy(array.copy()).to(self._device) for array in arrays]

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        with self._settings():
            self._call()

    def outputs(self) -> list[npt.NDArray[Any]]:
        """Return copies of the last outputs; see `Session.outputs`."""
        return [np.array(result.cpu().numpy()) for result in self._results]


class GpuTimed(TensorSession):
    """A session on the GPU, timed by events on the stream that runs it."""

    _clock: GpuClock

    def bind(self, feed: Feed) -> None:
        """Copy the inputs to the GPU; see `Session.bind`."""
        self._clock.wait(lambda: super(GpuTimed, self).bind(feed))

    def invoke(self) -> None:
        """Run once and wait for the GPU; see `Session.invoke`."""
        with self._settings():
            self._clock.wait(self._call)

    def timed(self) -> int:
        """Run once and return its nanoseconds; see `SelfTimed`."""
        with self._settings():
            return self._clock.timed(self._call)
