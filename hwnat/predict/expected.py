"""Expected latency of a distribution over networks, differentiable in its probabilities.

Source: ProxylessNAS (arXiv:1812.00332) and FBNet (arXiv:1812.03443) train architecture
probabilities with this term in the loss. Deviation: depth is part of the distribution, and the
space's rules for skipped blocks apply, so the expectation stays exact.
"""

import torch
from torch import Tensor, nn

from hwnat.errors import UsageError
from hwnat.predict.slots import SlotCosts
from hwnat.records.space import MAX_DEPTH, MIN_BLOCK, MIN_DEPTH


class ExpectedLatency(nn.Module):
    """Mean latency in ns of networks whose slots are drawn independently, then repaired.

    `Space.repair` turns a drawn genome into a network; the mean is over the repaired networks:
        - a fourth block runs only if the third does: its cost is weighted by P(third not skipped);
        - a mandatory block cannot be skipped: repair turns a 0 into the smallest block, so
          probability on choice 0 counts as probability on choice 1.

    For one-hot rows of a canonical genome, this equals the predictor's `latency_ns`. Costs stay
    in double precision even if you cast the module, because nanoseconds overflow half precision.
    They follow the input to its device. The module has no parameters and no state to save.

    Args:
        costs: slot costs from `AdditivePredictor.slot_costs`.
    """

    def __init__(self, costs: SlotCosts) -> None:
        super().__init__()
        block_ns = torch.tensor(costs.block_ns).unflatten(0, (-1, MAX_DEPTH))
        block_ns[:, :MIN_DEPTH, :, 0] = block_ns[:, :MIN_DEPTH, :, MIN_BLOCK]
        self._slots = costs.block_ns.shape[0]
        # Not buffers: casting the model would cast them too.
        self._block_ns = block_ns
        self._fixed_ns = torch.tensor(costs.fixed_ns)

    def forward(self, probabilities: Tensor, corner_weights: Tensor | None = None) -> Tensor:
        """Return (...) expected nanoseconds.

        Args:
            probabilities: (..., slots, choices); each row sums to 1 (apply a softmax or a Gumbel
                softmax to logits first); half precision is computed in single precision.
            corner_weights: (..., corners) probabilities of the pairs of resolution and width, drawn
                independently of the slots; required if there are several corners.

        Raises:
            UsageError: a shape is wrong, or weights are missing for several corners.
        """
        stages, _, corners, choices = self._block_ns.shape
        if probabilities.shape[-2:] != (self._slots, choices):
            msg = (
                f"Expected latency takes probabilities (…, {self._slots}, {choices}); "
                f"got {tuple(probabilities.shape)}."
            )
            raise UsageError(msg)
        if corner_weights is None and corners == 1:
            corner_weights = probabilities.new_ones(1)
        if corner_weights is None or corner_weights.shape[-1] != corners:
            got = "none" if corner_weights is None else tuple(corner_weights.shape)
            msg = f"Expected latency takes corner weights (…, {corners}); got {got}."
            raise UsageError(msg)
        dtype = torch.promote_types(probabilities.dtype, torch.float32)
        block_ns = self._block_ns.to(probabilities.device, dtype)
        p = probabilities.to(dtype).unflatten(-2, (stages, MAX_DEPTH))
        # Not a matrix product: automatic mixed precision would compute it in half precision.
        costs = (p.unsqueeze(-2) * block_ns).sum(-1)
        # A block runs if no optional block before it in its stage is skipped.
        active = 1 - p[..., MIN_DEPTH : MAX_DEPTH - 1, 0]
        sure = torch.ones_like(p[..., : MIN_DEPTH + 1, 0])
        runs = torch.cat([sure, active.cumprod(-1)], dim=-1)
        by_corner = (costs * runs.unsqueeze(-1)).sum((-3, -2))
        by_corner = by_corner + self._fixed_ns.to(probabilities.device, dtype)
        expected: Tensor = (by_corner * corner_weights.to(probabilities.device, dtype)).sum(-1)
        return expected
