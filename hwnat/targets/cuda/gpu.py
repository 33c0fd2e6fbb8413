"""The check for an NVIDIA GPU and the GPU's clock, shared by the CUDA targets.

PyTorch provides both, even for models that another runtime executes.
"""

import warnings
from collections.abc import Callable

from hwnat.errors import DeviceError, UsageError

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
    missing = what_is_missing(str(torch.__version__), torch.version.cuda, available=available)
    if missing:
        msg = f"Target {target} runs models on an NVIDIA GPU: {missing}"
        raise UsageError(msg)
    return torch.cuda.get_device_name(0)


def what_is_missing(version: str, cuda: str | None, *, available: bool) -> str | None:
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
