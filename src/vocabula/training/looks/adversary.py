"""The adversary of a training: a discriminator with its optimizer, balance, guard and watch.

::

    x, y --D--> judgements --generator's loss--> gradient at y, to be injected there
                           --discriminator's loss--> D's gradients

Both losses share one pass of D, of which y is a leaf: nothing of the generator reaches D's
gradients, and nothing of D's loss reaches the generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vocabula.errors import CheckpointError
from vocabula.nn.discriminators.base import Discriminator, Judgement
from vocabula.nn.perceptual.features import FeatureMatching
from vocabula.training.checkpoint import Checkpoint
from vocabula.training.looks.balance import DECAY, Balance
from vocabula.training.looks.guard import Guard, PlayersWatch
from vocabula.training.looks.losses import (
    discriminator_loss,
    generator_loss,
    lecam,
    logit_figures,
)
from vocabula.training.looks.options import AdversaryOptions
from vocabula.training.optimizers import Adam
from vocabula.training.restoring import load_model, load_optimizer, optimizer_tensors

NAME = "adversary"
"""What its files in a checkpoint and its figures in the log are called."""


@dataclass(frozen=True)
class Pull:
    """The gradients () at reconstructions (B, C, *extent), each None where it has no weight.

    Attributes:
        adversary: of the generator's loss.
        features: of feature matching, with its own weight.
    """

    adversary: Tensor | None = None
    features: Tensor | None = None


class Players(nn.Module):
    """What of the adversary a checkpoint keeps as tensors.

    Args:
        discriminator: the network.
        balance: the ratio of gradients.
    """

    means: Tensor

    def __init__(self, discriminator: Discriminator, balance: Balance) -> None:
        super().__init__()
        self.discriminator, self.balance = discriminator, balance
        # running averages of the logits of signals and of reconstructions; last, of ones
        self.register_buffer("means", torch.zeros(3))


class Adversary:
    """Plays against a tokenizer.

    Args:
        options: what it is to be.
        discriminator: the network that judges.
        accelerator: device and process group.
        centre: of the signal, which is subtracted before the discriminator.
        bf16: whether the discriminator runs under bfloat16 autocast; losses are float32.

    Attributes:
        begun: the step at which it began; None before.
        players: the discriminator and running averages.
    """

    def __init__(
        self,
        options: AdversaryOptions,
        discriminator: Discriminator,
        accelerator: Accelerator,
        *,
        centre: float = 0.0,
        bf16: bool = False,
    ) -> None:
        self.options, self.accelerator = options, accelerator
        self.centre, self.bf16 = centre, bf16
        self.players = Players(discriminator, Balance(options.most)).to(accelerator.device)
        self.optimizer = Adam(
            learning_rate=options.learning_rate, beta1=options.beta1, beta2=options.beta2
        ).build(self.players.parameters())
        self.guard = Guard(options.most_drop)
        self.watch = PlayersWatch(options.loss)
        self.begun: int | None = None
        self._logits = torch.zeros(2, device=accelerator.device)

    # ------------------------------------------------------------------- time

    def begins(self, steps: int) -> int:
        """The step at which it begins, or has begun, in a run of so many steps."""
        return self.options.begins(steps) if self.begun is None else self.begun

    def enter(self, step: int, steps: int) -> bool:
        """Whether it plays in a step; from the first such step on, its beginning is fixed."""
        if self.begun is None and step >= self.options.begins(steps):
            self.begun = self.options.begins(steps)
        self._logits.zero_()
        return self.begun is not None

    def ramp(self, step: int) -> float:
        """How much of its weight it has in a step, in [0, 1], before the guard."""
        assert self.begun is not None
        done = step - self.begun - self.options.warmup
        if done < 0:
            return 0.0
        return min(1.0, (done + 1) / self.options.ramp) if self.options.ramp else 1.0

    # ------------------------------------------------------------------- play

    def play(
        self,
        output: Tensor,
        target: Tensor,
        mask: Tensor | None,
        *,
        weight: float,
        share: float,
        features: FeatureMatching | None = None,
    ) -> tuple[Pull, dict[str, Tensor]]:
        """Judge signals: D gets its gradients, and the generator's are returned.

        Args:
            output: (B, C, *extent), a leaf that requires a gradient.
            target: (B, C, *extent).
            mask: (B, *extent) bool, where signals are; None if they fill the batch.
            weight: how much the adversary counts; at 0 no gradient is computed.
            share: of this micro-batch in the step.
            features: feature matching, if wanted.

        Returns:
            The gradients at the output, and figures, each ().
        """
        cut = self._cut(output.shape[2:])
        inside = None if mask is None else mask[:, *cut]
        fake, real = (self.judge(x[:, :, *cut], inside) for x in (output, target.detach()))
        pull, figures = self._pull(output, fake, real, weight, features)
        figures |= self._learn(fake, real, share)
        return pull, {f"{NAME}/{name}": value for name, value in figures.items()}

    def judge(self, x: Tensor, mask: Tensor | None = None) -> list[Judgement]:
        """What the discriminator makes of signals (B, C, *extent)."""
        x = x - self.centre
        if mask is not None:
            x = torch.where(mask.unsqueeze(1), x, 0)
        if x.ndim == 4 and x.is_cpu:  # two thirds of the time there
            x = x.contiguous(memory_format=torch.channels_last)
        device = self.accelerator.device.type
        self.players.train()
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            judgements: list[Judgement] = self.players.discriminator(x, mask)
        return judgements

    def _cut(self, extent: Sequence[int]) -> list[slice]:
        """A random place of what is judged, along each axis of signals of an extent."""
        side = self.options.crop
        if not side:
            return [slice(None)] * len(extent)
        starts = [int(torch.randint(max(0, n - side) + 1, ())) for n in extent]
        return [slice(start, start + side) for start in starts]

    def _pull(
        self,
        output: Tensor,
        fake: list[Judgement],
        real: list[Judgement],
        weight: float,
        features: FeatureMatching | None,
    ) -> tuple[Pull, dict[str, Tensor]]:
        """The generator's gradients at the output; D's parameters are no inputs of them."""
        if not weight:
            return Pull(), {}
        loss = generator_loss(self.options.loss, fake)
        (adversary,) = torch.autograd.grad(loss, output, retain_graph=True)
        figures = {"generator": loss.detach()}
        if features is None:
            return Pull(adversary), figures
        apart = features(fake, real)
        (matching,) = torch.autograd.grad(features.weight * apart, output, retain_graph=True)
        figures["features"] = apart.detach()
        return Pull(adversary, matching), figures

    def _learn(
        self, fake: list[Judgement], real: list[Judgement], share: float
    ) -> dict[str, Tensor]:
        """D's gradients from its own loss; only its parameters get them."""
        loss = discriminator_loss(self.options.loss, real, fake)
        whole = loss
        total, seen = self.players.means[:2], self.players.means[2]
        if self.options.lecam:
            held = lecam(real, fake, total / seen.clamp_min(1e-6))
            whole = loss + self.options.lecam * (seen > 0) * held
        (share * whole).backward(inputs=list(self.players.parameters()))
        figures = logit_figures(real, fake)
        self._logits += share * torch.stack([figures["real"], figures["fake"]])
        return {"discriminator": loss.detach(), **figures}

    # -------------------------------------------------------------- one's step

    def norm(self) -> Tensor:
        """The norm () of D's gradients, which are averaged over processes; all call it."""
        found = [p.grad for p in self.players.parameters() if p.grad is not None]
        if not found:
            return torch.zeros((), device=self.accelerator.device)
        if self.accelerator.num_processes == 1:
            return nn.utils.get_total_norm(found)
        flat = self.accelerator.reduce(torch.cat([g.flatten() for g in found]), reduction="mean")
        for gradient, part in zip(found, flat.split([g.numel() for g in found]), strict=True):
            gradient.copy_(part.view_as(gradient))
        return flat.norm()

    def forget(self) -> None:
        """Drop D's gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def update(self, factor: float) -> None:
        """D's optimizer step and the averages of its logits; every process calls it.

        Args:
            factor: of the learning rate, by the schedule.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * factor
        self.optimizer.step()
        self.forget()
        logits = self._logits
        if self.accelerator.num_processes > 1:
            logits = self.accelerator.reduce(logits, reduction="mean")
        self.players.means.lerp_(torch.cat([logits, logits.new_ones(1)]), 1 - DECAY)

    # -------------------------------------------------------------- checkpoint

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint keeps of it, by file."""
        return {
            NAME: self.players.state_dict(),
            f"{NAME}_optimizer": optimizer_tensors(self.optimizer),
        }

    def state(self) -> dict[str, Any]:
        """What else a checkpoint keeps."""
        watch = self.watch
        return {
            "begun": self.begun,
            "guard": self.guard.state(),
            "watch": [watch.winning, watch.sleeping],
        }

    def load(self, checkpoint: Checkpoint, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: it has no adversary, or another one.
        """
        if NAME not in checkpoint.tensors:
            raise CheckpointError(
                f"checkpoint: expected {NAME}.safetensors, got a run without an adversary; resume "
                "with the configuration that wrote it"
            )
        load_model(self.players, checkpoint.tensors[NAME])
        load_optimizer(self.optimizer, checkpoint.tensors[f"{NAME}_optimizer"])
        self.begun = state["begun"]
        self.guard.load_state(state["guard"])
        self.watch.winning, self.watch.sleeping = state["watch"]
