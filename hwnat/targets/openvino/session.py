"""OpenVINO on the CPU: the settings that models are timed and traced with."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.targets.base import Feed, Session
from hwnat.targets.inputs import INTEGERS, TensorSpec, check_feed, index_bounds, tensor_spec
from hwnat.targets.limits import reading
from hwnat.targets.openvino.graph import graph_of, input_name, require_fixed
from hwnat.targets.runtimes import load_openvino


@cache
def core() -> Any:  # noqa: ANN401 - OpenVINO has no types here
    """Return this process's only OpenVINO core, which lives as long as the process.

    Each core loads a CPU plug-in, which gives the calling thread an alternate signal stack and
    restores the previous stack when it is unloaded. With two plug-ins, the last one unloaded
    restores the freed stack of the other, and the next Ctrl-C causes a segmentation fault.
    """
    return load_openvino().Core()


def cpu_config(threads: int) -> dict[str, object]:
    """Return the settings that models are timed and traced with."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # With pinning, each model is bound to its own core. Other programs on one of the cores
        # would then delay only one of two models that are timed in alternation.
        "ENABLE_CPU_PINNING": False,
        # Without this hint, a CPU with bf16 instructions computes in bf16.
        "INFERENCE_PRECISION_HINT": "f32",
    }


#: OpenVINO's name of a type -> NumPy's; others cannot be drawn.
_DTYPES: Final = {
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "boolean": "bool",
}
#: Operator -> its input of indices.
_INDEXING: Final = {"Gather": 1, "GatherElements": 1, "GatherND": 1, "OneHot": 0}


def signature_of(model: Any, path: Path) -> tuple[TensorSpec, ...]:  # noqa: ANN401
    """Return the inputs of a model with fixed shapes.

    Raises:
        DataError: the type of an input cannot be drawn.
    """
    types = [value.element_type.get_type_name() for value in model.inputs]
    dtypes = [_DTYPES.get(name, name) for name in types]
    bounds: dict[str, int] = {}
    if INTEGERS & set(dtypes):
        nodes = model.get_ordered_ops()
        sizes = {node.get_friendly_name(): dict(_indexed(node)) for node in nodes}
        bounds = index_bounds(graph_of(model).nodes, sizes)
    return tuple(
        tensor_spec(
            input_name(value),
            value.shape,
            dtype,
            path,
            high=bounds.get(value.get_node().get_friendly_name()),
        )
        for value, dtype in zip(model.inputs, dtypes, strict=True)
    )


def _indexed(node: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401
    """Yield the input of indices and the size of the axis that they index."""
    at = _INDEXING.get(node.get_type_name())
    if at is None:
        return
    sources = [node.input(index).get_source_output() for index in range(node.get_input_size())]
    name = sources[at].get_node().get_friendly_name()
    if node.get_type_name() == "OneHot":
        depth = sources[1].get_node()
        if hasattr(depth, "get_data"):
            yield name, int(depth.get_data().reshape(-1)[0])
        return
    if not sources[0].partial_shape.is_static or not len(sources[0].shape):
        return
    shape = tuple(map(int, sources[0].shape))
    axis = node.get_attributes().get("axis")
    if axis is None and node.get_type_name() == "Gather":
        stored = sources[2].get_node()
        axis = int(stored.get_data().reshape(-1)[0]) if hasattr(stored, "get_data") else None
    yield name, min(shape) if axis is None else shape[axis]


class OpenvinoSession(Session):
    """One reused infer request with bound input tensors."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        with reading(path, "OpenVINO"):
            model = core().read_model(path)
            require_fixed(model, path)
            self.signature = signature_of(model, path)
            compiled = core().compile_model(model, "CPU", cpu_config(threads))
            self._request = compiled.create_infer_request()
        self._count = len(compiled.outputs)

    def bind(self, feed: Feed) -> None:
        """Bind the inputs; see `Session.bind`."""
        for index, array in enumerate(check_feed(feed, self.signature, self.path)):
            self._request.get_input_tensor(index).data[...] = array

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._request.infer(share_outputs=True)

    def outputs(self) -> list[npt.NDArray[Any]]:
        """Return copies of the last outputs; see `Session.outputs`."""
        return [np.array(self._request.get_output_tensor(at).data) for at in range(self._count)]
