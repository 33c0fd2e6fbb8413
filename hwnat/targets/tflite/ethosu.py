"""INT8 TFLite files for Arm's Ethos-U, estimated by its compiler Vela.

Vela computes cycles from a model of the hardware and runs nothing. It runs in its own process,
because it keeps global state and may exit with a traceback.
"""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hwnat.errors import DeviceError, UsageError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Npu, Precision
from hwnat.targets.base import Floats, Session, Target, eval_copy, installed, require_file
from hwnat.targets.tflite.target import TfliteTarget
from hwnat.transport.base import Transport

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace

#: The largest networks of the bundled spaces take a few seconds.
_TIMEOUT_S: Final = 300.0


class EthosuTarget:
    """Exports INT8 files with a native hard swish and estimates their latency with Vela.

    Args:
        calibration: (n, channels, height, width) inputs that determine the scales.
    """

    name = "ethosu"
    #: Differs from target tflite's suffix, because both files may be in one folder.
    suffix = ".ethosu.tflite"
    layout: Layout = "NHWC"
    precision: Precision = "int8"

    def __init__(self, *, calibration: Floats | None = None) -> None:
        self._calibration = calibration

    def quantised(self, calibration: Floats | None = None) -> Target:
        """Return the target with other calibration inputs; see `Quantising`."""
        return EthosuTarget(calibration=calibration)

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module`; see `Target.export`."""
        with staged(path) as draft:
            counts = self._write(eval_copy(module), input_shape, draft)
        return describe(
            path,
            target=self.name,
            layout=self.layout,
            nchw=input_shape,
            precision=self.precision,
            details=counts,
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Convert an ONNX file whose operators the writer supports; see `Target.convert`."""
        from hwnat.targets.tflite.convert import convert_onnx

        with staged(path) as draft:
            imported, _ = convert_onnx(onnx, draft, split_depthwise=False)
            self._write(imported.module, imported.input_shape, draft)

    def _write(self, module: "nn.Module", shape: Shape, path: Path) -> dict[str, int]:
        from hwnat.targets.tflite.int8 import write_int8

        return write_int8(
            module,
            shape,
            path,
            calibration=self._calibration,
            split_depthwise=False,  # only XNNPACK needs it
            native_hswish=True,
        )

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file on this CPU to compare its outputs; its time is not the NPU's."""
        return TfliteTarget().load(path, threads=threads)

    def trace(self, path: Path) -> "Trace":
        """Refuse: Vela reports fused and cascaded operators for whole networks only.

        Raises:
            UsageError: always.
        """
        msg = (
            f"{path}: tables of operators need timing, which target ethosu does not do; "
            "profile a space: hwnat profile --device NAME --space NAME."
        )
        raise UsageError(msg)

    def runtime(self) -> tuple[str, str]:
        """Return the package and the version of the compiler."""
        return installed("ethos-u-vela", extra="ethosu")

    def estimate(self, path: Path, npu: Npu, *, link: Transport) -> str:
        """Compile a file; see `Estimator`."""
        self.runtime()
        require_file(path, "TFLite")
        with tempfile.TemporaryDirectory(prefix="hwnat-vela-") as folder:
            argv = [
                *(sys.executable, "-m", "ethosu.vela", str(path.resolve())),
                *("--output-dir", folder),
                *("--accelerator-config", npu.accelerator),
                *("--config", npu.config),
                *("--system-config", npu.system),
                *("--memory-mode", npu.memory),
                "--verbose-cycle-estimate",
                "--show-cpu-operations",
            ]
            done = link.run(argv, timeout_s=_TIMEOUT_S)
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            msg = (
                f"Vela cannot compile {path} for {npu.accelerator}, {npu.system}, {npu.memory}: "
                f"it says {reason[:300]!r}. Compare the device file with: vela --list-configs "
                f"{npu.config}"
            )
            raise DeviceError(msg)
        return done.stdout


_CHECK: type[Target] = EthosuTarget
