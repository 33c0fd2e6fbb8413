"""Training of shared weights: the sandwich rule, and the loop that adaptation also uses.

The sandwich rule with in-place distillation (BigNAS, arXiv:2003.11142) replaces progressive
shrinking. It needs one phase, one schedule and no separate teacher, and every step trains the
largest and the smallest network, whose accuracies bound those of all others.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from hwnat.data.readers import Dataset
from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.lock import file_lock
from hwnat.supernet.finite import require_finite
from hwnat.supernet.inputs import augment, normalise
from hwnat.supernet.network import Supernet, write_tensors
from hwnat.supernet.recipe import Recipe

#: Called with (done steps, all steps, mean loss since the last call).
Progress = Callable[[int, int, float], None]
#: Chooses the networks of one step; the first teaches the others.
Chooser = Callable[[np.random.Generator], Sequence[Arch]]
_REPORT_EVERY: Final = 20
#: Random guesses have a loss of log(classes); an epoch with this multiple of it has diverged.
_DIVERGED: Final = 10.0
_CHECKPOINT_EVERY: Final = 200
_LOWER: Final = "Choose a lower --learning-rate."


def sandwich(supernet: Supernet) -> Chooser:
    """Return a function that chooses the largest, the smallest and a uniformly random network.

    The three share one random width and resolution, so a step augments its images once.
    """
    space = supernet.space

    def choose(rng: np.random.Generator) -> list[Arch]:
        drawn = tuple(int(gene) for gene in space.sample(1, rng=rng)[0])
        blocks = (space.largest()[2:], space.smallest()[2:], drawn[2:])
        return [Arch(space=space, genome=(*drawn[:2], *chosen)) for chosen in blocks]

    return choose


class Trainer:
    """SGD over shared weights; every random draw is a function of the seed and the step.

    A step changes and decays only the weights that it used, because others have no gradient.
    """

    def __init__(self, supernet: Supernet, data: Dataset, recipe: Recipe) -> None:
        self.supernet, self.data, self.recipe = supernet, data, recipe
        plain = [p for p in supernet.parameters() if p.ndim > 1]
        other = [p for p in supernet.parameters() if p.ndim <= 1]
        groups = [
            {"params": plain, "weight_decay": recipe.weight_decay},
            {"params": other, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True
        )
        # A checkpoint must have the same key. Images and initial weights are identified by their
        # content, because a file may change without a change of its name.
        self.key: dict[str, object] = {
            **asdict(recipe),
            "data": data.digest,
            "start": _digest(supernet.state_dict()),
        }

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training part, at least one."""
        return max(1, len(self.data.train) // self.recipe.batch)

    def run(
        self,
        choose: Chooser,
        *,
        first: int,
        last: int,
        total: int,
        progress: Progress | None = None,
        after_step: Callable[[int], None] | None = None,
    ) -> None:
        """Take the steps `first` to `last - 1` of a schedule of `total` steps."""
        self.supernet.train()
        losses: list[float] = []
        epoch_losses: list[float] = []
        for step in range(first, last):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(step, total)
            losses.append(self._step(step, choose))
            epoch_losses.append(losses[-1])
            if (step + 1) % self.steps_per_epoch == 0 or step + 1 == last:
                self._require_sound(step, epoch_losses)
                epoch_losses.clear()
            if after_step:
                after_step(step + 1)
            if progress and ((step + 1) % _REPORT_EVERY == 0 or step + 1 == last):
                progress(step + 1, total, sum(losses) / len(losses))
                losses.clear()
        self.supernet.eval()

    def _require_sound(self, step: int, losses: Sequence[float]) -> None:
        """Refuse weights, statistics and momenta that are not finite, and a loss far above chance.

        Raises:
            DataError: the training has diverged.
        """
        rate = self.recipe.learning_rate
        what = f"Training diverged by step {step + 1} at a learning rate of {rate:g}"
        require_finite(self.state(), what=what, remedy=_LOWER)
        mean, worst = sum(losses) / len(losses), _DIVERGED * math.log(max(2, self.data.classes))
        if mean > worst:
            msg = f"{what}: the mean loss is {mean:.3g}, over {worst:.3g}. {_LOWER}"
            raise DataError(msg)

    def _step(self, step: int, choose: Chooser) -> float:
        recipe, train = self.recipe, self.data.train
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([recipe.seed, 1, epoch]).permutation(len(train))
        images = train.take(order[position * recipe.batch : (position + 1) * recipe.batch])
        archs = choose(np.random.default_rng([recipe.seed, 2, step]))
        seed = int(np.random.default_rng([recipe.seed, 3, step]).integers(2**62))
        self.optimizer.zero_grad(set_to_none=True)
        targets: Tensor = functional.one_hot(
            torch.from_numpy(images.labels), self.data.classes
        ).float()
        smooth = recipe.label_smoothing
        targets = targets * (1 - smooth) + smooth / self.data.classes
        loss_of_first = math.nan
        for index, arch in enumerate(archs):
            generator = torch.Generator().manual_seed(seed)
            pixels = augment(
                torch.from_numpy(images.pixels).float(),
                arch.resolution,
                flip=recipe.flip,
                jitter=recipe.jitter,
                generator=generator,
            )
            logits = self.supernet(normalise(self.data, pixels), arch)
            loss = functional.cross_entropy(logits, targets)
            require_finite(
                {"loss": loss.detach()}, what=f"Training diverged in step {step + 1}", remedy=_LOWER
            )
            loss.backward()
            if index == 0:
                loss_of_first = float(loss.detach())
                if len(archs) > 1:
                    targets = logits.detach().softmax(1)
        torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), recipe.clip_norm)
        self.optimizer.step()
        return loss_of_first

    def state(self) -> dict[str, Tensor]:
        """Return weights and momenta, from which training resumes exactly."""
        tensors = {f"weights.{k}": v for k, v in self.supernet.state_dict().items()}
        for name, parameter in self.supernet.named_parameters():
            buffer = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{name}"] = buffer
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Load a state that `state` returned."""
        weights = {k[8:]: v for k, v in tensors.items() if k.startswith("weights.")}
        self.supernet.load_state_dict(weights)
        for name, parameter in self.supernet.named_parameters():
            if f"momentum.{name}" in tensors:
                buffer = tensors[f"momentum.{name}"].clone()
                self.optimizer.state[parameter]["momentum_buffer"] = buffer


def save_state(trainer: Trainer, path: Path, *, step: int) -> None:
    """Write a checkpoint; the file is never half-written."""
    write_tensors(path, trainer.state(), {"step": str(step), "recipe": json.dumps(trainer.key)})


def load_state(trainer: Trainer, path: Path) -> int:
    """Read a checkpoint and return the number of steps that are done.

    Raises:
        DataError: the checkpoint is missing, damaged or for another space.
        UsageError: the checkpoint belongs to a training with other settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        held = json.loads(header["recipe"])
        if differing := [name for name, value in trainer.key.items() if held.get(name) != value]:
            msg = (
                f"{path} belongs to a training with another {', '.join(differing)}; "
                "delete it to start again, or repeat the command that began it."
            )
            raise UsageError(msg)
        require_finite(tensors, what=str(path), remedy="Delete it to start again.")
        trainer.load_state(tensors)
        return int(header["step"])
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"{path} is not a usable checkpoint ({reason}); delete it to start again."
        raise DataError(msg) from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(
    supernet: Supernet,
    data: Dataset,
    recipe: Recipe,
    *,
    out: Path,
    progress: Progress | None = None,
) -> Path:
    """Train by the sandwich rule and write the weights; an interrupted training resumes.

    Until the last step is done, a checkpoint is kept beside `out`.

    Raises:
        DataError: the training diverged, or its checkpoint is damaged.
        UsageError: `out` cannot be written, its checkpoint belongs to another training, or another
            process trains it.
    """
    if out.is_dir():
        msg = f"{out} is a folder; name the file to write weights to."
        raise UsageError(msg)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        msg = f"Cannot write {out}: {problem.strerror}; choose another path."
        raise UsageError(msg) from problem
    with file_lock(out.with_name(f".{out.name}.lock"), what=f"Weights file {out}"):
        _train(Trainer(supernet, data, recipe), out, progress)
    return out


def _train(trainer: Trainer, out: Path, progress: Progress | None) -> None:
    supernet, recipe = trainer.supernet, trainer.recipe
    checkpoint = out.with_name(out.name + ".checkpoint")
    total = recipe.epochs * trainer.steps_per_epoch
    first = load_state(trainer, checkpoint) if checkpoint.exists() else 0
    # A checkpoint that cannot be written must be reported before the first step.
    save_state(trainer, checkpoint, step=first)

    def keep(done: int) -> None:
        if done % _CHECKPOINT_EVERY == 0:
            save_state(trainer, checkpoint, step=done)

    try:
        trainer.run(
            sandwich(supernet),
            first=first,
            last=total,
            total=total,
            progress=progress,
            after_step=keep,
        )
    except DataError:
        # A resumed training would diverge again, and a lower rate would not match the checkpoint.
        checkpoint.unlink(missing_ok=True)
        raise
    supernet.save(out, details={"data": trainer.data.name, "recipe": asdict(recipe)})
    checkpoint.unlink(missing_ok=True)
