"""The check that weights, statistics, losses and outputs are finite numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hwnat.errors import DataError


def require_finite(tensors: Mapping[str, Tensor], *, what: str, remedy: str) -> None:
    """Refuse NaN, infinities and negative variances.

    Args:
        tensors: name -> tensor of any shape; names that end in `running_var` hold variances.
        what: the file, network or step with these tensors; it begins the message.
        remedy: the next step for the user; it ends the message.

    Raises:
        DataError: a value is not a finite number; the message names the first such tensor.
    """
    for name, tensor in tensors.items():
        least = 0.0 if name.endswith("running_var") else -torch.inf
        bad = int((~torch.isfinite(tensor) | (tensor < least)).sum())
        if bad:
            msg = f"{what}: {bad} of {tensor.numel()} values of {name} are not numbers. {remedy}"
            raise DataError(msg)
