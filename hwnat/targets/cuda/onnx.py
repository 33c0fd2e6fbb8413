"""ONNX files, run by ONNX Runtime's CUDA provider on an NVIDIA GPU. fp32 only.

PyTorch provides the clock. The provider works on a PyTorch stream, input and output are PyTorch
tensors, and PyTorch events surround each run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hwnat.errors import DataError, DeviceError, UsageError
from hwnat.targets.base import Feed, SelfTimed, Session, Target, require_file
from hwnat.targets.cuda.gpu import GpuClock, GpuTimed, TensorSession, refuse_trace, require_gpu
from hwnat.targets.onnx.session import (
    dtype_of,
    open_session,
    preallocated,
    session_options,
    signature_of,
)
from hwnat.targets.onnx.target import OnnxTarget
from hwnat.targets.runtimes import load_onnxruntime

if TYPE_CHECKING:
    from hwnat.targets.trace import Trace

PROVIDER: Final = "CUDAExecutionProvider"
_LEFT_OVER: Final = "fallback to CPU EP has been explicitly disabled"


class OnnxCudaTarget(OnnxTarget):
    """Exports like target `onnx` and times with the CUDA provider."""

    name = "onnx-cuda"

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`. `threads` has no effect on a GPU.

        Raises:
            UsageError: there is no GPU, or ONNX Runtime has no CUDA provider.
            DeviceError: the provider leaves operators to the CPU.
        """
        del threads
        require_file(path, "ONNX")
        self.runtime()
        return CudaOnnxSession(path)

    def trace(self, path: Path) -> "Trace":
        """Refuse; see `refuse_trace`."""
        refuse_trace(path)

    def runtime(self) -> tuple[str, str]:
        """Return ("onnxruntime-gpu", version and name of the GPU).

        Raises:
            UsageError: there is no GPU, or ONNX Runtime has no CUDA provider.
        """
        gpu, ort = require_gpu(self.name), _ort()
        require_provider(ort.get_available_providers())
        return "onnxruntime-gpu", f"{ort.__version__} on {gpu}"


_CHECK: type[Target] = OnnxCudaTarget


def _ort() -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    try:
        return load_onnxruntime()
    except ImportError as error:
        msg = (
            "Target onnx-cuda needs ONNX Runtime for GPUs; install it with: "
            "pip install 'hwnat[cuda]'"
        )
        raise UsageError(msg) from error


def require_provider(offered: Sequence[str]) -> None:
    """Refuse an ONNX Runtime that is built without CUDA.

    Raises:
        UsageError: the CUDA provider is not among those offered.
    """
    if PROVIDER not in offered:
        msg = (
            f"This ONNX Runtime has no CUDA provider, only {', '.join(offered)}. Install the one "
            "for GPUs in place of it: pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
        raise UsageError(msg)


def require_used(used: Sequence[str]) -> None:
    """Refuse a session that fell back to another provider; ONNX Runtime only warns about that.

    Raises:
        UsageError: the session's first provider is not the CUDA provider.
    """
    if not used or used[0] != PROVIDER:
        msg = (
            f"ONNX Runtime could not start its CUDA provider and took {', '.join(used) or 'none'} "
            "instead. Its build needs CUDA and cuDNN of certain versions, which it names on "
            "stderr; install those, or: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
        raise UsageError(msg)


def open_whole(path: Path, providers: Sequence[Any]) -> Any:  # noqa: ANN401
    """Open a file with providers that must execute every operator.

    Raises:
        DataError: ONNX Runtime refuses the file.
        DeviceError: some operators would run on the CPU.
    """
    options = session_options(1)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        return open_session(path, options, providers=providers)
    except DataError as error:
        if _LEFT_OVER not in str(error.__cause__):
            raise
        msg = (
            f"{path}: the CUDA provider does not take every operator of this model, so part of its "
            "time would be the CPU's. Replace those operators, or name a device of target onnx."
        )
        raise DeviceError(msg) from error


class BoundSession(TensorSession):
    """A session whose inputs and outputs are bound to PyTorch tensors."""

    def __init__(self, path: Path, session: Any, *, device: str) -> None:  # noqa: ANN401
        super().__init__(path, signature_of(session, path), device)
        self._session, self._binding = session, session.io_binding()
        self._options: Any = None

    def bind(self, feed: Feed) -> None:
        """Copy the inputs to the device and bind them; see `Session.bind`.

        Raises:
            DataError: the size of an output is not fixed.
        """
        import torch

        super().bind(feed)
        wanted = self._session.get_outputs()
        if open_ := [value.name for value in wanted if not preallocated(value)]:
            msg = (
                f"{self.path}: output '{open_[0]:.80}' has no fixed size, which memory on a GPU "
                "needs; export the model without it."
            )
            raise DataError(msg)
        self._results = [
            torch.empty(value.shape, dtype=getattr(torch, dtype_of(value)), device=self._device)
            for value in wanted
        ]
        names = [spec.name for spec in self.signature], [value.name for value in wanted]
        for bind, tensors, of in (
            (self._binding.bind_input, self._given, names[0]),
            (self._binding.bind_output, self._results, names[1]),
        ):
            for name, tensor in zip(of, tensors, strict=True):
                dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
                shape, at = tuple(tensor.shape), tensor.data_ptr()
                bind(name, self._device, 0, dtype.type, shape, at)

    def _call(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)


class CudaOnnxSession(GpuTimed, BoundSession):
    """A file on the GPU, timed by events on the provider's stream."""

    def __init__(self, path: Path) -> None:
        self._clock = GpuClock()
        # By default, the provider would round float32 to TF32.
        settings = {"user_compute_stream": str(self._clock.stream.cuda_stream), "use_tf32": "0"}
        session = open_whole(path, [(PROVIDER, {"device_id": "0", **settings})])
        require_used(session.get_providers())
        super().__init__(path, session, device="cuda")
        self._options = _ort().RunOptions()
        # The event after a run waits for it, so the provider need not synchronise.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")


_TIMED: type[SelfTimed] = CudaOnnxSession
