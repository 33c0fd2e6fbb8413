"""The smallest and largest value of every tensor of a TFLite file over calibration inputs."""

from typing import Final

import numpy as np

from hwnat.errors import DataError
from hwnat.records.artifact import Shape
from hwnat.targets.base import Floats

Range = tuple[float, float]
#: Number of random batches for calibration without given inputs.
_DRAWN: Final = 8
_LARGEST: Final = float(np.finfo(np.float32).max)


def calibration_inputs(given: Floats | None, shape: Shape) -> Floats:
    """Return (n, channels, height, width) float32 inputs, n a multiple of the batch.

    Args:
        given: inputs that represent the deployed ones; None draws the same normally distributed
            inputs every time.
        shape: shape of the file's input, NCHW.

    Raises:
        DataError: the inputs are empty, have another shape or type, or are not finite.
    """
    if given is None:
        drawn = np.random.default_rng(0).standard_normal((_DRAWN * shape[0], *shape[1:]))
        return drawn.astype(np.float32)
    fits = given.dtype == np.float32 and given.ndim == 4 and given.shape[1:] == shape[1:]
    if not fits or not len(given) or len(given) % shape[0]:
        msg = (
            f"Calibration inputs are {given.dtype} {given.shape}; this module takes float32 "
            f"(n, {shape[1]}, {shape[2]}, {shape[3]}), n a multiple of {shape[0]}."
        )
        raise DataError(msg)
    if not np.isfinite(given).all():
        msg = "Calibration inputs hold NaN or infinity; no scale spans that. Leave those out."
        raise DataError(msg)
    return given


def find_ranges(content: bytes, inputs: Floats) -> dict[int, Range]:
    """Run a float file on `inputs` and return the range of each tensor that it computes.

    Args:
        content: content of the file.
        inputs: (n, channels, height, width), where n is a multiple of the file's batch.

    Raises:
        DataError: a computed value is not finite.
    """
    # A delegate would not expose its intermediate tensors.
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=plain,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    computed = [source["index"]]
    computed += [int(i) for op in interpreter._get_ops_details() for i in op["outputs"]]
    ranges: dict[int, Range] = {}
    for start in range(0, len(inputs), int(source["shape"][0])):
        rows = inputs[start : start + int(source["shape"][0])].transpose(0, 2, 3, 1)
        interpreter.set_tensor(source["index"], np.ascontiguousarray(rows))
        interpreter.invoke()
        for index in computed:
            values = interpreter.get_tensor(index)
            low, high = float(values.min()), float(values.max())
            # Kernels clamp infinity to the largest number.
            if not max(abs(low), abs(high)) < _LARGEST:
                msg = (
                    "The module computes NaN or infinity on its calibration inputs; look at its "
                    "weights and batch-norm statistics."
                )
                raise DataError(msg)
            known = ranges.get(index, (low, high))
            ranges[index] = min(low, known[0]), max(high, known[1])
    return ranges
