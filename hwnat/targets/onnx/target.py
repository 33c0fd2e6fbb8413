"""ONNX files, run by ONNX Runtime on the CPU. fp32 only; no graph surgery, no other providers."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hwnat.errors import UsageError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import Piece, Session, Target, eval_copy, installed, require_file
from hwnat.targets.difference import Arrays, check_export
from hwnat.targets.limits import reading
from hwnat.targets.onnx.session import OnnxSession, open_session, session_options

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace

OPSET: Final = 17


class OnnxTarget:
    """Exports with torch's graph tracer and times with ONNX Runtime."""

    name = "onnx"
    suffix = ".onnx"
    layout: Layout = "NCHW"
    precision: Precision = "fp32"

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module`; see `Target.export`."""
        with staged(path) as draft:
            counts = write_onnx(module, input_shape, draft)
            session = open_session(draft, session_options(1))

            def run(feed: Arrays) -> list[Any]:
                with reading(draft, "ONNX Runtime"):
                    return list(session.run(None, dict(feed)))

            check_export(module, input_shape, run, what=str(path))
        return describe(
            path, target=self.name, layout=self.layout, nchw=input_shape, details=counts
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Write a self-contained copy; see `Target.convert`."""
        from hwnat.targets.onnx.graph import open_onnx
        from hwnat.targets.onnx.shapes import save_onnx

        with staged(path) as draft:
            save_onnx(open_onnx(onnx).model, draft)

    def fixed(self, path: Path, shapes: Mapping[str, tuple[int, ...]], out: Path) -> None:
        """Write a copy with fixed input shapes; see `Reshaping.fixed`."""
        from hwnat.targets.onnx.shapes import fixed_onnx

        fixed_onnx(require_file(path, "ONNX"), shapes, out)

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`."""
        return OnnxSession(require_file(path, "ONNX"), threads)

    def trace(self, path: Path) -> "Trace":
        """Return the kernels that ONNX Runtime executes; see `Target.trace`."""
        from hwnat.targets.onnx.trace import trace_onnx

        return trace_onnx(path, runtime=" ".join(self.runtime()))

    def cut(self, path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool = False) -> Piece:
        """Write some nodes of a file as a file of their own; see `Cutting.cut`."""
        from hwnat.targets.onnx.cut import cut_onnx

        return cut_onnx(path, nodes, out, ancestors=ancestors)

    def runtime(self) -> tuple[str, str]:
        """Return ("onnxruntime", version)."""
        return installed("onnxruntime", extra="onnx")


_CHECK: type[Target] = OnnxTarget


def write_onnx(module: "nn.Module", input_shape: Shape, path: Path) -> dict[str, int]:
    """Write a checked, self-contained opset-17 file for one fixed NCHW shape; return its counts.

    The graph tracer is deprecated, but it writes the same graph in a tenth of the time of the
    exporter based on torch.export, and puts no stack traces of this machine into the file.

    Raises:
        UsageError: the module cannot be traced or contains an operator without an ONNX form.
    """
    import onnx
    import torch

    for name, part in module.named_modules():
        if getattr(part, "divisor_override", None) is not None:
            msg = (
                f"No ONNX form: {type(part).__name__} at '{name}' divides by a number of its own, "
                "which PyTorch's exporter drops. Multiply the mean by a constant instead."
            )
            raise UsageError(msg)
    with warnings.catch_warnings():
        for warning in ("You are using the legacy TorchScript", "The feature will be removed"):
            warnings.filterwarnings("ignore", warning, DeprecationWarning)
        # Padding becomes arithmetic on constants, which every runtime folds.
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1", UserWarning)
        # Instance norms have no running statistics, so training and evaluation do not differ.
        warnings.filterwarnings(
            "ignore", "ONNX export mode is set to TrainingMode.EVAL", UserWarning
        )
        # Torch's own functions check shapes, which are fixed here.
        tracer = torch.jit._trace.TracerWarning
        warnings.filterwarnings("ignore", category=tracer, module=r"torch\.nn\.")
        try:
            torch.onnx.export(
                eval_copy(module),
                (torch.zeros(input_shape),),
                path,
                dynamo=False,
                opset_version=OPSET,
                external_data=False,
                input_names=["input"],
                output_names=["output"],
            )
        except RuntimeError as error:  # torch's exporter errors and shape errors derive from it
            reason = str(error).partition("\n")[0]
            msg = f"No ONNX file {path.name} for input {input_shape}: {reason}"
            raise UsageError(msg) from error
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    nodes = [node.op_type for node in model.graph.node]
    return {"operators": len(nodes), "transposes": nodes.count("Transpose"), "opset": OPSET}
