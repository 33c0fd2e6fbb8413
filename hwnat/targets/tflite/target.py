"""TFLite files, run by LiteRT's interpreter or by tflite-runtime, with XNNPACK on the CPU.

Loading and timing need numpy and one of those two runtimes; only exporting needs torch.
`hwnat.targets.tflite.gpu` runs the files on a GPU instead.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hwnat.errors import UsageError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import Floats, Piece, Session, Target, eval_copy, installed, require_file
from hwnat.targets.tflite.session import RUNTIMES, TfliteSession, runtime_in_use

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace


class TfliteTarget:
    """Exports with this package's own writer and times with LiteRT or tflite-runtime.

    Args:
        split_depthwise: see `hwnat.targets.tflite.writer.write_tflite`.
        precision: int8 writes files with int8 input and output; see `hwnat.targets.tflite.int8`.
        calibration: (n, channels, height, width) inputs that determine the scales of int8.
        delegate: `gpu` loads files onto the GPU; None loads them onto the CPU.
    """

    name = "tflite"
    suffix = ".tflite"
    layout: Layout = "NHWC"

    def __init__(
        self,
        *,
        split_depthwise: bool = True,
        precision: Precision = "fp32",
        calibration: Floats | None = None,
        delegate: Literal["gpu"] | None = None,
    ) -> None:
        self._split_depthwise = split_depthwise
        self.precision: Precision = precision
        self._calibration = calibration
        self._delegate = delegate

    def quantised(self, calibration: Floats | None = None) -> Target:
        """Return the target that writes INT8 files; see `Quantising`."""
        return TfliteTarget(
            split_depthwise=self._split_depthwise,
            precision="int8",
            calibration=calibration,
            delegate=self._delegate,
        )

    def delegated(self, delegate: str) -> Target:
        """Return the target that runs files on the GPU; see `Delegating`."""
        if delegate != "gpu":
            msg = (
                f"Target {self.name} runs files on this machine's CPU, or with delegate 'gpu'; "
                f"it knows no '{delegate}'. Change the device file."
            )
            raise UsageError(msg)
        return TfliteTarget(
            split_depthwise=self._split_depthwise,
            precision=self.precision,
            calibration=self._calibration,
            delegate="gpu",
        )

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module`; see `Target.export`."""
        from hwnat.targets.tflite.writer import write_tflite

        with staged(path) as draft:
            if self.precision == "int8":
                counts = self._quantise(eval_copy(module), input_shape, draft)
            else:
                counts = write_tflite(
                    eval_copy(module), input_shape, draft, split_depthwise=self._split_depthwise
                )
        return describe(
            path,
            target=self.name,
            layout=self.layout,
            nchw=input_shape,
            precision=self.precision,
            details=counts,
        )

    def _quantise(self, module: "nn.Module", shape: Shape, path: Path) -> dict[str, int]:
        from hwnat.targets.tflite.int8 import write_int8

        return write_int8(
            module,
            shape,
            path,
            calibration=self._calibration,
            split_depthwise=self._split_depthwise,
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Convert an ONNX file whose operators the writer supports; see `Target.convert`."""
        from hwnat.targets.tflite.convert import convert_onnx

        with staged(path) as draft:
            imported, _ = convert_onnx(onnx, draft, split_depthwise=self._split_depthwise)
            if self.precision == "int8":
                self._quantise(imported.module, imported.input_shape, draft)

    def fixed(self, path: Path, shapes: Mapping[str, tuple[int, ...]], out: Path) -> None:
        """Write a copy with fixed input shapes; see `Reshaping.fixed`."""
        from hwnat.targets.tflite.plan import fixed_tflite

        fixed_tflite(require_file(path, "TFLite"), shapes, out)

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`."""
        require_file(path, "TFLite")
        if self._delegate == "gpu":
            from hwnat.targets.tflite.gpu import GpuSession

            return GpuSession(path)
        return TfliteSession(path, threads)

    def trace(self, path: Path) -> "Trace":
        """Return the kernels that the interpreter executes; convert an ONNX file first.

        Raises:
            UsageError: this target writes INT8 files or runs files on a GPU; for other errors
                see `Target.trace`.
        """
        if self._delegate is not None:
            msg = (
                f"{path}: operators on a GPU cannot be traced; name a device of target "
                f"{self.name} without a delegate, such as host-tflite."
            )
            raise UsageError(msg)
        if self.precision != "fp32":
            msg = (
                f"{path}: operators are traced and timed in fp32 only; name a device of that "
                "precision, or profile a space instead of a --model."
            )
            raise UsageError(msg)
        from hwnat.targets.tflite.trace import trace_onnx_as_tflite, trace_tflite

        runtime = " ".join(self.runtime())
        if path.suffix == ".onnx":
            return trace_onnx_as_tflite(path, split=self._split_depthwise, runtime=runtime)
        return trace_tflite(require_file(path, "TFLite"), runtime=runtime)

    def cut(self, path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool = False) -> Piece:
        """Write some nodes of a file as a file of their own; see `Cutting.cut`."""
        from hwnat.targets.tflite.cut import cut_tflite

        return cut_tflite(require_file(path, "TFLite"), nodes, out, ancestors=ancestors)

    def runtime(self) -> tuple[str, str]:
        """Return the package and version of the runtime in use."""
        package = RUNTIMES[0][0] if self._delegate == "gpu" else runtime_in_use()[0]
        return installed(package, extra="tflite")


_CHECK: type[Target] = TfliteTarget
