"""Whether an exported file computes what PyTorch computes; NaN anywhere means it does not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnat.errors import DataError
from hwnat.records.device import Precision
from hwnat.targets.base import Floats, Session, eval_copy
from hwnat.targets.difference import LIMIT, difference

if TYPE_CHECKING:
    from torch import nn

#: `LIMIT` for INT8, whose rounding is no mistake, and the least share of equal top-1 answers.
#: Networks of mbv3-nano with the shipped weights differ by 0.09 to 0.15 and agree on 98.7 %.
INT8_LIMIT: Final = 0.25
INT8_AGREEMENT: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a file's outputs lie from PyTorch's.

    Attributes:
        rows: images compared.
        max_abs_diff: largest absolute difference of any two values; NaN if any is not a number.
        output_range: largest minus smallest value of PyTorch's output.
        top1_agreement: share of rows with the same largest class; None if the outputs are maps.
    """

    rows: int
    max_abs_diff: float
    output_range: float
    top1_agreement: float | None

    @property
    def relative(self) -> float:
        """`max_abs_diff` as a share of `output_range`; infinite if the output is constant."""
        if self.output_range == 0:
            return 0.0 if self.max_abs_diff == 0 else np.inf
        return self.max_abs_diff / self.output_range

    @property
    def ok(self) -> bool:
        """Whether the file may ship; written so that NaN fails."""
        return self.relative <= LIMIT and self.top1_agreement in (None, 1.0)

    @property
    def ok_int8(self) -> bool:
        """Whether a file of integers may ship; written so that NaN fails."""
        agree = 1.0 if self.top1_agreement is None else self.top1_agreement
        return self.relative <= INT8_LIMIT and agree >= INT8_AGREEMENT

    def require(self, what: object, *, precision: Precision = "fp32") -> None:
        """Accept the file named by `what`.

        Raises:
            DataError: it differs too much; the message holds the figures.
        """
        limit = LIMIT if precision == "fp32" else INT8_LIMIT
        if not (self.ok if precision == "fp32" else self.ok_int8):
            agree = "" if self.top1_agreement is None else f", top-1 {self.top1_agreement:.2%}"
            msg = (
                f"{what} differs from PyTorch by {self.max_abs_diff:.2e}, {self.relative:.1e} of "
                f"the output's range (limit {limit:.0e}){agree} on {self.rows} images; do not ship "
                "it. Export it again, or to another target."
            )
            raise DataError(msg)


def check_parity(module: "nn.Module", session: Session, x: Floats) -> Parity:
    """Compare `module` in evaluation mode with its exported file.

    Args:
        module: what was exported; it is not changed.
        session: the loaded file.
        x: (rows, channels, height, width) float32; rows must fill the file's batch evenly.

    Raises:
        DataError: no rows, or they do not fit the file's input.
    """
    import torch

    batch = session.input_shape[0]
    if not len(x) or len(x) % batch:
        msg = f"Parity needs a multiple of {batch} images, the file's batch; got {len(x)}."
        raise DataError(msg)
    reference = eval_copy(module)
    with torch.no_grad():
        wanted = [reference(torch.from_numpy(rows)).numpy() for rows in _chunks(x, 64)]
    returned = [session.run(rows) for rows in _chunks(x, batch)]
    return compare(np.concatenate(wanted), np.concatenate(returned))


def compare(wanted: Floats, returned: Floats) -> Parity:
    """Compare two outputs, (rows, classes) or maps; `wanted` is PyTorch's.

    Raises:
        DataError: the shapes differ.
    """
    if wanted.shape != returned.shape:
        msg = f"The file returns {returned.shape} where PyTorch returns {wanted.shape}."
        raise DataError(msg)
    classes = wanted.ndim == 2
    agree = np.mean(wanted.argmax(axis=-1) == returned.argmax(axis=-1)) if classes else None
    most, spread = difference(wanted, returned)
    return Parity(
        rows=len(wanted),
        max_abs_diff=most,
        output_range=spread,
        top1_agreement=None if agree is None else float(agree),
    )


def _chunks(x: Floats, size: int) -> Iterator[Floats]:
    for start in range(0, len(x), size):
        yield x[start : start + size]
