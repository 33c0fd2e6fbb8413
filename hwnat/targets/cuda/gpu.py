"""What the targets on NVIDIA GPUs share: whether there is one, and its own clock.

PyTorch provides both, also for models that another runtime executes.
"""

import warnings
from collections.abc import Callable

from hwnat.errors import DeviceError, UsageError

_INSTALL = "pip install 'hwnat[cuda]', with a PyTorch that is built for CUDA"


def require_gpu(target: str) -> str:
    """Return the name of the GPU that models are run on, the first one.

    Raises:
        UsageError: there is none, or PyTorch cannot use it.
    """
    try:
        import torch
    except ImportError as error:
        msg = f"Target {target} needs PyTorch for the GPU's clock; install it with: {_INSTALL}."
        raise UsageError(msg) from error
    with warnings.catch_warnings():
        # It warns about drivers that are too old, which the error says too.
        warnings.simplefilter("ignore")
        available = torch.cuda.is_available()
    missing = what_is_missing(str(torch.__version__), torch.version.cuda, available=available)
    if missing:
        msg = f"Target {target} runs models on an NVIDIA GPU: {missing}"
        raise UsageError(msg)
    return torch.cuda.get_device_name(0)


def what_is_missing(version: str, cuda: str | None, *, available: bool) -> str | None:
    """Return why PyTorch has no GPU and what to do about it; None if it has one.

    Args:
        version: of PyTorch.
        cuda: version of CUDA that it is built for; None if it is not.
        available: whether it finds a GPU and a driver.
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
    """One stream of the GPU, and the times between events on it.

    A run is timed from the moment the GPU gets to it to the moment it has finished its last kernel.
    Where a model is so small that the host hands over kernels more slowly than the GPU is done
    with them, the time is that of handing over, as it is in use.
    """

    def __init__(self) -> None:
        import torch

        self.stream = torch.cuda.Stream()
        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def wait(self, call: Callable[[], None]) -> None:
        """Have a call put its work on the stream, and return when that is done."""
        import torch

        with torch.cuda.stream(self.stream):
            call()
        self.stream.synchronize()

    def timed(self, call: Callable[[], None]) -> int:
        """Do the same and return the nanoseconds between the events before and after it.

        Raises:
            DeviceError: the events are not apart, so the work was not between them.
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
                f"A run on the GPU took {took_ns} ns by its own clock, which no model does; its "
                "runtime has put the work elsewhere. Update runtime and driver, run again."
            )
            raise DeviceError(msg)
        return took_ns
