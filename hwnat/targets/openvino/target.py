"""OpenVINO IR files (.xml with .bin), run by its CPU plug-in in float32. fp32 only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import Piece, Session, Target, installed, require_file
from hwnat.targets.difference import Arrays, check_export
from hwnat.targets.inputs import named_shapes
from hwnat.targets.limits import reading
from hwnat.targets.onnx.conversion import check_conversion
from hwnat.targets.onnx.target import write_onnx
from hwnat.targets.openvino.graph import input_name, input_sizes, require_fixed
from hwnat.targets.openvino.session import OpenvinoSession, core, cpu_config
from hwnat.targets.runtimes import load_openvino

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace


class OpenvinoTarget:
    """Exports through ONNX and times with OpenVINO's CPU plug-in."""

    name = "openvino"
    suffix = ".xml"
    layout: Layout = "NCHW"
    precision: Precision = "fp32"

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module` as path (.xml) and its weights beside it (.bin); see `Target.export`."""
        with staged(path) as draft:
            kinds = _convert(module, input_shape, draft)
            check_export(module, input_shape, lambda feed: _run(draft, feed), what=str(path))
        return describe(
            path,
            target=self.name,
            layout=self.layout,
            nchw=input_shape,
            companions=[path.with_suffix(".bin")],
            details={
                "operators": sum(k not in ("Constant", "Parameter", "Result") for k in kinds),
                "transposes": kinds.count("Transpose"),
            },
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Write an ONNX file as IR; see `Target.convert`."""
        from hwnat.targets.onnx.graph import open_onnx

        open_onnx(onnx, weights=False)
        with staged(path) as draft:
            _write_ir(onnx, draft)
            remedy = "Use target onnx, or export the network again for another opset."
            check_conversion(onnx, lambda feed: _run(draft, feed), remedy=remedy)

    def fixed(self, path: Path, shapes: Mapping[str, tuple[int, ...]], out: Path) -> None:
        """Write a copy with fixed input shapes; see `Reshaping.fixed`."""
        ov = load_openvino()
        require_file(path, "OpenVINO")
        with reading(path, "OpenVINO"):
            model = core().read_model(path)
            named = named_shapes(shapes, input_sizes(model), path)
            model.reshape(
                {
                    value: list(named[input_name(value)])
                    for value in model.inputs
                    if input_name(value) in named
                }
            )
        require_fixed(model, path)
        with staged(out) as draft:
            ov.save_model(model, draft, compress_to_fp16=False)
        del model  # it maps the file

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`."""
        require_file(path.with_suffix(".bin"), "OpenVINO weights")
        return OpenvinoSession(require_file(path, "OpenVINO"), threads)

    def trace(self, path: Path) -> "Trace":
        """Return what OpenVINO's CPU plug-in executes; see `Target.trace`."""
        from hwnat.targets.openvino.trace import trace_openvino

        return trace_openvino(path, runtime=" ".join(self.runtime()))

    def cut(self, path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool = False) -> Piece:
        """Write some nodes of a file as a file of their own; see `Cutting.cut`."""
        from hwnat.targets.openvino.cut import cut_openvino

        return cut_openvino(require_file(path, "OpenVINO"), nodes, out, ancestors=ancestors)

    def runtime(self) -> tuple[str, str]:
        """Return ("openvino", version)."""
        return installed("openvino", extra="openvino")


_CHECK: type[Target] = OpenvinoTarget


def _convert(module: "nn.Module", input_shape: Shape, path: Path) -> list[str]:
    """Write the IR through an interim ONNX file and return the kinds of its operations."""
    interim = path.with_suffix(".onnx")
    write_onnx(module, input_shape, interim)
    kinds = _write_ir(interim, path)
    interim.unlink()
    return kinds


def _write_ir(onnx: Path, path: Path) -> list[str]:
    """Write an ONNX file as IR and return the kinds of its operations.

    Raises:
        DataError: OpenVINO cannot read it.
    """
    ov = load_openvino()
    from openvino.passes import ConstantFolding, Manager

    # `read_model` sends no telemetry; `convert_model` does. `read_model` leaves shape arithmetic,
    # which is folded here, and numbers nodes across the process, so the nodes are renamed.
    with reading(onnx, "OpenVINO"):
        model = core().read_model(onnx)
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    nodes = model.get_ordered_ops()
    for index, node in enumerate(nodes):
        node.set_friendly_name(f"{node.get_type_name()}_{index}")
    ov.save_model(model, path, compress_to_fp16=False)
    kinds = [node.get_type_name() for node in nodes]
    del model, nodes, node  # they map the ONNX file
    return kinds


def _run(path: Path, feed: Arrays) -> list[Any]:
    """Run a file once on named inputs and return its outputs in order.

    Raises:
        DataError: OpenVINO refuses the file.
    """
    with reading(path, "OpenVINO"):
        model = core().read_model(path)
        require_fixed(model, path)
        compiled = core().compile_model(model, "CPU", cpu_config(1))
        results = compiled(dict(feed))
        return [results[output].copy() for output in compiled.outputs]
