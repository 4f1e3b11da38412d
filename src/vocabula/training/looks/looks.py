"""The terms beside the reconstruction loss, injected as a gradient at the reconstruction.

::

    y = reconstruction       g = gradient of perceptual and adversarial terms at y
    loss + ((y - y.detach()) g).sum()      has the value of the loss, and at y its gradient plus g
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vocabula.errors import TrainingError
from vocabula.nn.perceptual.base import Perceptual, PerceptualLoss
from vocabula.nn.perceptual.features import FeatureMatching
from vocabula.tokenizers import SignalTokenizer
from vocabula.training.checkpoint import Checkpoint
from vocabula.training.looks.adversary import NAME, Adversary
from vocabula.training.looks.options import AdversaryOptions
from vocabula.types import Reconstruction

IN_A_ROW = 10
"""Steps in a row that are not finite, after which a training ends."""


@dataclass(frozen=True)
class LookSettings:
    """The sections ``perceptual`` and ``adversary`` of a configuration.

    Attributes:
        perceptual: the perceptual term, built; None for none.
        adversary: what the adversary is to be; None for none.
    """

    perceptual: Perceptual | None = None
    adversary: AdversaryOptions | None = None


class Looks:
    """Perceptual and adversarial terms of one training.

    Args:
        settings: which there are.
        tokenizer: what learns.
        accelerator: device and process group.
        adversary: the adversary, if there is one.
        steps: of the whole run.

    Attributes:
        skipped: steps left out because a value was not finite.
    """

    def __init__(
        self,
        settings: LookSettings,
        tokenizer: SignalTokenizer,
        accelerator: Accelerator,
        *,
        adversary: Adversary | None,
        steps: int,
    ) -> None:
        self.accelerator, self.adversary, self.steps = accelerator, adversary, steps
        self.perceptual = settings.perceptual
        if self.perceptual is not None:
            self.perceptual.to(accelerator.device)
        self._distortion = not tokenizer.likelihood.probabilistic
        self.skipped = self._in_a_row = 0
        self._said: list[str] = []
        self._plays = self._first = False
        self._weight = 0.0
        self._error = torch.zeros((), device=accelerator.device)

    @property
    def plays(self) -> bool:
        """Whether the adversary takes part in the step under way."""
        return self._plays

    def begin(self, step: int) -> None:
        """Enter a step."""
        adversary = self.adversary
        self._plays = adversary is not None and adversary.enter(step, self.steps)
        self._weight = 0.0
        if adversary is not None and self._plays:
            self._weight = adversary.ramp(step) * adversary.guard.factor
        self._first = True
        self._error.zero_()

    def start_now(self) -> None:
        """Let the adversary count fully from the first step on, to measure what a step costs."""
        if self.adversary is not None:
            options = self.adversary.options
            self.adversary.begun = -options.warmup - options.ramp

    def networks(self) -> list[tuple[nn.Module, torch.optim.Optimizer | None]]:
        """The networks of the terms, each with its optimizer if it learns."""
        found: list[tuple[nn.Module, torch.optim.Optimizer | None]] = []
        if self.adversary is not None:
            found.append((self.adversary.players, self.adversary.optimizer))
        if self.perceptual is not None:
            found.append((self.perceptual, None))
        return found

    # ------------------------------------------------------------------- terms

    def term(
        self, result: Reconstruction, mask: Tensor | None, share: float, figures: dict[str, Tensor]
    ) -> Tensor:
        """The terms () of a micro-batch: their value is 0, their gradient that of the terms.

        Args:
            result: what the tokenizer made of it.
            mask: (B, *extent) bool, where signals are; None if they fill the batch.
            share: of the micro-batch in the step.
            figures: of the micro-batch, which get further ones.
        """
        output, target = result.output, result.target
        seen = output.detach().float().requires_grad_()
        gradient = torch.zeros_like(seen)
        if isinstance(self.perceptual, PerceptualLoss):
            distance = self.perceptual(seen, target)
            (pull,) = torch.autograd.grad(self.perceptual.weight * distance, seen)
            figures["losses/perceptual"] = distance.detach()
            gradient = gradient + pull
        if self.adversary is not None:
            self._error += share * self._watched(figures)
            if self._plays:
                pull = self._adversarial(result, seen, mask, gradient, share, figures)
                gradient = gradient + pull
        return ((output - output.detach()) * gradient.to(output.dtype)).sum()

    def _adversarial(
        self,
        result: Reconstruction,
        seen: Tensor,
        mask: Tensor | None,
        gradient: Tensor,
        share: float,
        figures: dict[str, Tensor],
    ) -> Tensor:
        """The adversary's gradient at the reconstruction; `gradient` is that of other terms."""
        adversary = self.adversary
        assert adversary is not None
        features = self.perceptual if isinstance(self.perceptual, FeatureMatching) else None
        pull, more = adversary.play(
            seen, result.target, mask, weight=self._weight, share=share, features=features
        )
        figures.update(more)
        found = torch.zeros_like(seen)
        scale = seen.new_tensor(self._weight * adversary.options.weight)
        if pull.adversary is not None:
            if adversary.options.adaptive:
                if self._first:
                    self._balance(result, gradient, pull.adversary)
                scale = scale * adversary.players.balance.ratio
            found = found + scale * pull.adversary
        if pull.features is not None:
            found = found + self._weight * pull.features
        self._first = False
        figures[f"{NAME}/weight"] = scale.detach()
        return found

    def _balance(self, result: Reconstruction, others: Tensor, pull: Tensor) -> None:
        """Measure both gradients at the reconstruction, over all processes."""
        adversary = self.adversary
        assert adversary is not None and result.parameters is not None
        (own,) = torch.autograd.grad(
            result.losses["reconstruction"], result.parameters, retain_graph=True
        )
        faithful = own.float() + others
        squares = torch.stack([faithful.square().sum(), pull.float().square().sum()])
        if self.accelerator.num_processes > 1:
            squares = self.accelerator.reduce(squares, reduction="sum")
        adversary.players.balance.update(squares)

    def _watched(self, figures: Mapping[str, Tensor]) -> Tensor:
        """The error () that the guard watches: of sound, whose phase is free, its distortion."""
        if self._distortion:
            return figures["losses/reconstruction"].square()
        return figures["mse"]

    # -------------------------------------------------------------- the step

    def norm(self) -> Tensor:
        """The norm () of the discriminator's gradients; 0 where it does not play."""
        if self.adversary is None:
            return torch.zeros((), device=self.accelerator.device)
        return self.adversary.norm()

    def skip(self, step: int) -> None:
        """Leave out a step in which a value of either player is not finite.

        Raises:
            TrainingError: the last ten steps were left out.
        """
        assert self.adversary is not None
        self.adversary.forget()
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            raise TrainingError(
                f"training step {step + 1}: expected finite values of both players, got "
                f"{IN_A_ROW} steps in a row with others; try a smaller adversary.weight, "
                "optimizer.learning_rate or training.clip_norm=1 with --resume"
            )
        if self._in_a_row == 1:
            self._said.append(
                f"Step {step + 1} was left out: a value was not finite ({self.skipped} so far)."
            )

    def finish(self, factor: float) -> None:
        """The discriminator's step, and a look at the error; every process calls it.

        Args:
            factor: of the learning rate, by the schedule.
        """
        self._in_a_row = 0
        if self.adversary is None:
            return
        if self._plays:
            self.adversary.update(factor)
        error = self._error
        if self.accelerator.num_processes > 1:
            error = self.accelerator.reduce(error, reduction="mean")
        text = self.adversary.guard.observe(float(error), counts=self._weight > 0)
        if text is not None:
            self._said.append(text)

    def warnings(self, record: Mapping[str, Any]) -> list[str]:
        """What was said since the last line of the log, and what its figures say."""
        said, self._said = self._said, []
        figures = record.get(NAME)
        if self.adversary is None or not figures or "accuracy" not in figures:
            return said
        return [*said, *self.adversary.watch.observe(figures)]

    # -------------------------------------------------------------- checkpoint

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint keeps, by file."""
        return {} if self.adversary is None else self.adversary.tensors()

    def state(self) -> dict[str, Any]:
        """What else a checkpoint keeps, as plain data; empty without an adversary."""
        if self.adversary is None:
            return {}
        counts = {"skipped": self.skipped, "in_a_row": self._in_a_row, "said": self._said}
        return {NAME: {**self.adversary.state(), **counts}}

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: it has no adversary, or another one.
        """
        if self.adversary is None:
            return
        state = checkpoint.state.get(NAME, {})
        self.adversary.load(checkpoint, state)
        self.skipped, self._in_a_row = int(state["skipped"]), int(state["in_a_row"])
        self._said = list(state["said"])
