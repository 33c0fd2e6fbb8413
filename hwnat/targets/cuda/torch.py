"""`torch.export` files, run by PyTorch operator by operator on an NVIDIA GPU. fp32 only.

Batch norms are not folded, and nothing is compiled or captured as a CUDA graph: the times are those
of PyTorch with its defaults.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import (
    Floats,
    SelfTimed,
    Session,
    Target,
    check_input,
    eval_copy,
    installed,
    require_file,
)
from hwnat.targets.cuda.gpu import GpuClock, require_gpu
from hwnat.targets.limits import check_tensor

if TYPE_CHECKING:
    from torch import nn

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
        """Refuse: operators are not traced on a GPU.

        Raises:
            UsageError: always.
        """
        msg = (
            f"{path}: what PyTorch executes on a GPU cannot be traced; name a device of another "
            "target, such as host-onnx, or profile a space."
        )
        raise UsageError(msg)

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


@contextmanager
def _whole_floats() -> Iterator[None]:
    """Run without gradients, and without TF32, which convolutions would use by default."""
    import torch

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


class TorchSession(Session):
    """A program on the CPU."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        from torch.export.passes import move_to_device_pass

        from hwnat.targets.cuda.torch_file import read_program

        program = read_program(path)
        self.input_shape = _fixed(program, path)
        if device != "cpu":
            program = move_to_device_pass(program, device)
        # `prepare` checks the input's shape once, so that runs need not.
        self._module = program.module(check_guards=False)
        self._device = device
        self._x: Any = None
        self._y: Any = None

    def prepare(self, x: Floats) -> None:
        """Copy an input to the device; see `Session.prepare`."""
        import torch

        held = np.array(check_input(x, self.input_shape), order="C")
        self._x = torch.from_numpy(held).to(self._device)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        with _whole_floats():
            self._call()

    def output(self) -> Floats:
        """Return a copy of the output; see `Session.output`."""
        return np.array(self._y.cpu().numpy(), dtype=np.float32)

    def _call(self) -> None:
        self._y = self._module(self._x)


class CudaTorchSession(TorchSession):
    """A program on the GPU, timed by events on the stream that runs it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, device="cuda")
        self._clock = GpuClock()

    def prepare(self, x: Floats) -> None:
        """Copy an input to the GPU; see `Session.prepare`."""
        self._clock.wait(lambda: super(CudaTorchSession, self).prepare(x))

    def invoke(self) -> None:
        """Run once and wait for the GPU; see `Session.invoke`."""
        with _whole_floats():
            self._clock.wait(self._call)

    def timed(self) -> int:
        """Run once and return its nanoseconds; see `SelfTimed`."""
        with _whole_floats():
            return self._clock.timed(self._call)


_TIMED: type[SelfTimed] = CudaTorchSession


def _fixed(program: Any, path: Path) -> Shape:  # noqa: ANN401
    """Return the shape of a program's only input.

    Raises:
        DataError: the program does not have one 4-D input and one output.
    """
    signature = program.graph_signature
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    given = [values.get(name) for name in signature.user_inputs]
    shape = tuple(getattr(given[0], "shape", ())) if len(given) == 1 else ()
    if len(shape) != 4 or len(signature.user_outputs) != 1:
        msg = (
            f"{path} must have one 4-D input of fixed shape and one output; its input is {shape}. "
            "Export it again."
        )
        raise DataError(msg)
    check_tensor("input", shape, path)
    batch, channels, height, width = (int(size) for size in shape)
    return batch, channels, height, width
