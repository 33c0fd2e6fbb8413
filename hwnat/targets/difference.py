"""How far the outputs of a file lie from those that are wanted, and the check of every export."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.base import eval_copy

if TYPE_CHECKING:
    from torch import nn

Arrays = Mapping[str, npt.NDArray[Any]]
#: Runs a file on named inputs and returns its outputs in order, with axes as in ONNX.
Run = Callable[[Arrays], Sequence[npt.NDArray[Any]]]

#: Largest allowed difference, as a share of the range of the wanted output.
LIMIT: Final = 1e-4
#: An output that hardly varies is judged by this share of its magnitude, which floats resolve.
_FLAT: Final = 0.01
#: Differences up to this are rounding: activations are of the order of 1, and a final sigmoid may
#: squeeze all of them into a range that is smaller than their rounding.
_ROUNDING: Final = 1e-6
_SEED: Final = 0


def difference(wanted: npt.NDArray[Any], returned: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the largest absolute difference and the range of the wanted values.

    The difference is NaN if any value is not a number, or is infinite on both sides.
    """
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which fails as it should
        return float(np.max(np.abs(wanted - returned))), float(np.ptp(wanted))


def why_different(
    wanted: npt.NDArray[Any],
    returned: npt.NDArray[Any],
    source: str = "ONNX Runtime",
    *,
    limit: float = LIMIT,
) -> str:
    """Return in words how two outputs differ by more than `limit` of the range; else nothing.

    Differences up to 1e-6 count as rounding. Values that are not finite must be the same on both
    sides.
    """
    if (wanted.shape, wanted.dtype) != (returned.shape, returned.dtype):
        return (
            f"is {returned.dtype} {returned.shape} instead of {source}'s {wanted.dtype} "
            f"{wanted.shape}"
        )
    if not wanted.size:
        return ""
    if wanted.dtype.kind != "f":
        wrong = int(np.count_nonzero(wanted != returned))
        return f"differs from {source} in {wrong} of {wanted.size} values" if wrong else ""
    known = np.isfinite(wanted)
    if not np.array_equal(wanted[~known], returned[~known], equal_nan=True):
        return f"has NaN or infinity in other places than {source}'s"
    if not known.any():
        return ""
    most, spread = difference(wanted[known], returned[known])
    scale = max(spread, _FLAT * float(np.max(np.abs(wanted[known]))))
    if most <= max(limit * scale, _ROUNDING):  # written so that NaN differs
        return ""
    share = most / scale if scale else np.inf
    return f"differs from {source} by {most:.2e}, {share:.1e} of its range (limit {limit:.0e})"


def check_export(module: "nn.Module", input_shape: Shape, run: Run, *, what: str) -> None:
    """Compare an exported file with its module on one seeded random image.

    Args:
        module: the exported module, which takes one image and returns one tensor or several.
        input_shape: (batch, channels, height, width).
        run: runs the file, whose input is named `input`.
        what: name of the file, for messages.

    Raises:
        UsageError: the file does not run, or an output differs by more than `LIMIT` of its range.
    """
    import torch

    x = np.random.default_rng(_SEED).standard_normal(input_shape).astype(np.float32)
    with torch.no_grad():
        given = eval_copy(module)(torch.from_numpy(x))
    wanted = list(given) if isinstance(given, tuple | list) else [given]
    try:
        returned = run({"input": x})
    except DataError as error:
        msg = f"{what} was not written: the exported file does not run: {error}"
        raise UsageError(msg) from error
    for index, (one, other) in enumerate(zip(wanted, returned, strict=True)):
        if why := why_different(one.numpy(), np.asarray(other), "PyTorch"):
            msg = (
                f"{what} was not written: output {index} of {type(module).__name__} {why} on a "
                "random image, so the exporter does not express the module. Rewrite the part "
                "that it drops, or choose another target."
            )
            raise UsageError(msg)
