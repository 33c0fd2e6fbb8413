"""Settings of training and adaptation, which are checked before PyTorch is loaded."""

import math
from dataclasses import dataclass
from typing import Final

from hwnat.errors import UsageError

#: Highest learning rate; SGD on batch-normalised networks gains nothing from higher ones.
MAX_RATE: Final = 10.0
#: The settings of NAT's authors, who also use momentum 0.9 and neither smoothing nor clipping.
NAT_RATE: Final = 0.01
NAT_BATCH: Final = 96
NAT_DECAY: Final = 4e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Settings of SGD with Nesterov momentum and one cosine over all epochs.

    Attributes:
        epochs: number of passes over the training images.
        batch: images per step.
        learning_rate: highest learning rate.
        warmup: share of all steps in which the rate rises linearly.
        momentum: momentum of SGD.
        weight_decay: decay of weights; biases and batch norms have none.
        label_smoothing: share of the target that is spread over all classes.
        clip_norm: largest norm of the gradient.
        flip: whether images are mirrored at random.
        jitter: strength of random scaling and shifting; 0 leaves images unchanged.
        seed: random seed.
    """

    epochs: int
    batch: int = 128
    learning_rate: float = 0.1
    warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 3e-5
    label_smoothing: float = 0.1
    clip_norm: float = 5.0
    flip: bool = False
    jitter: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            msg = "Training needs at least one epoch and at least one image per batch."
            raise UsageError(msg)
        # Each condition is written so that NaN fails.
        if not 0 < self.learning_rate <= MAX_RATE:
            msg = (
                f"A learning rate of {self.learning_rate:g} cannot train; "
                f"choose one above 0 and up to {MAX_RATE:g}, such as 0.1."
            )
            raise UsageError(msg)
        if not 0 <= self.jitter < 1:
            msg = f"A jitter of {self.jitter:g} is not a share of the image; choose 0 to 0.5."
            raise UsageError(msg)

    def rate(self, step: int, total: int) -> float:
        """Return the learning rate of a step."""
        ramp = self.warmup * total
        if step < ramp:
            return self.learning_rate * (step + 1) / (ramp + 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - ramp) / (total - ramp)))
