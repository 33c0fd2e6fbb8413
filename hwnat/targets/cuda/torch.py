"""`torch.export` files, run by PyTorch operator by operator on an NVIDIA GPU. fp32 only.

Batch norms are not folded, and nothing is compiled or captured as a CUDA graph: the times are those
of PyTorch with its defaults.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hwnat.errors import DataError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import (
    SelfTimed,
    Session,
    Target,
    eval_copy,
    installed,
    require_file,
)
from hwnat.targets.cuda.gpu import GpuClock, GpuTimed, TensorSession, refuse_trace, require_gpu
from hwnat.targets.inputs import TensorSpec, tensor_spec
from hwnat.targets.limits import check_tensor

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from hwnat.targets.trace import Trace


class TorchCudaTarget:
    """Exports with `torch.export` and times with PyTorch and the GPU's clock.

    Args:
        device: `cpu` runs files without a GPU to check their results; never use it for timing.
    """

    name = "torch-cuda"
    suffix = ".pt2"
    layout: Layout = "NCHW"
    precision: Precision = "fp32"

    def __init__(self, *, device: Literal["cuda", "cpu"] = "cuda") -> None:
        self._device = device

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module`; see `Target.export`."""
        from hwnat.targets.cuda.torch_file import write_program

        with staged(path) as draft:
            counts = write_program(eval_copy(module), input_shape, draft)
        return describe(
            path, target=self.name, layout=self.layout, nchw=input_shape, details=counts
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Convert an ONNX file whose operators can be imported; see `Target.convert`."""
        from hwnat.targets.onnx.graph import open_onnx

        source = open_onnx(onnx)
        from hwnat.targets.cuda.torch_file import write_program
        from hwnat.targets.onnx.module import import_onnx

        imported = import_onnx(source, onnx)
        with staged(path) as draft:
            write_program(imported.module, imported.input_shape, draft)

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`. `threads` has no effect on a GPU.

        Raises:
            UsageError: there is no GPU.
        """
        del threads
        require_file(path, "PyTorch")
        if self._device == "cpu":
            return TorchSession(path)
        require_gpu(self.name)
        return CudaTorchSession(path)

    def trace(self, path: Path) -> "Trace":
        """Refuse; see `refuse_trace`."""
        refuse_trace(path)

    def runtime(self) -> tuple[str, str]:
        """Return ("torch", version and name of the GPU).

        Raises:
            UsageError: there is no GPU.
        """
        package, version = installed("torch", extra="cuda")
        if self._device == "cuda":
            version = f"{version} on {require_gpu(self.name)}"
        return package, version


_CHECK: type[Target] = TorchCudaTarget


class TorchSession(TensorSession):
    """A program run by PyTorch."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        from torch.export.passes import move_to_device_pass

        from hwnat.targets.cuda.torch_file import read_program

        program = read_program(path)
        super().__init__(path, _signature(program, path), device)
        if device != "cpu":
            program = move_to_device_pass(program, device)
        # `bind` checks the inputs once, so that runs need not.
        self._module = program.module(check_guards=False)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """Run without gradients, and without TF32, which convolutions would use by default."""
        import torch

        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield

    def _call(self) -> None:
        results = self._module(*self._given)
        self._results = results if isinstance(results, tuple | list) else (results,)


class CudaTorchSession(GpuTimed, TorchSession):
    """A program on the GPU."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, device="cuda")
        self._clock = GpuClock()


_TIMED: type[SelfTimed] = CudaTorchSession


def _signature(program: "ExportedProgram", path: Path) -> tuple[TensorSpec, ...]:
    """Return the inputs of a program.

    Raises:
        DataError: an input is not a tensor of fixed shape, or is too large.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = []
    for name in program.graph_signature.user_inputs:
        value = values.get(str(name))
        shape = getattr(value, "shape", ())
        if value is None or not all(isinstance(size, int) for size in shape):
            msg = (
                f"{path}: input '{name!s:.80}' is not a tensor of fixed shape; export the network "
                "again."
            )
            raise DataError(msg)
        check_tensor(str(name), shape, path)
        dtype = str(value.dtype).removeprefix("torch.")
        signature.append(tensor_spec(str(name), shape, dtype, path))
    return tuple(signature)
