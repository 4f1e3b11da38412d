"""The trainer of tokenizers: the networks by the optimizer, the codebooks by their own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vocabula.data import Batch
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.pending import Pending
from vocabula.tokenizers import SignalTokenizer
from vocabula.training.base import BaseTrainer
from vocabula.training.checkpoint import Checkpoint
from vocabula.training.exchange import Exchange
from vocabula.training.looks.checks import make_looks
from vocabula.training.looks.looks import Looks, LookSettings
from vocabula.training.measures import code_figures, step_figures
from vocabula.training.optimizers import OptimizerSettings
from vocabula.training.schedules import Schedule
from vocabula.training.settings import TrainingOptions
from vocabula.training.stages import hold_statistics, set_trained_parts, stage_at, trained_parts
from vocabula.types import Reconstruction, UsageReport


class Trainer(BaseTrainer[Batch | Tensor]):
    """Trains a tokenizer, one optimizer step per call.

    A step takes a `Batch` of signals, or their values (B, C, *extent) alone. Codebook learning is
    applied once per optimizer step, after it, so that gradient accumulation counts every vector
    once.

    Args:
        tokenizer: what learns.
        options: how the run is carried out.
        optimizer: settings of the optimizer.
        schedule: factor of the learning rate by step.
        accelerator: device and process group; made if left out.
        looks: the perceptual and adversarial terms, if any.

    Attributes:
        looks: these terms in this training; None without.

    Raises:
        OptionError: if the batch does not split evenly over processes and micro-batches.
    """

    def __init__(
        self,
        tokenizer: SignalTokenizer,
        *,
        options: TrainingOptions,
        optimizer: OptimizerSettings,
        schedule: Schedule,
        accelerator: Accelerator | None = None,
        looks: LookSettings | None = None,
    ) -> None:
        super().__init__(
            tokenizer,
            options=options,
            optimizer=optimizer,
            schedule=schedule,
            accelerator=accelerator,
        )
        self.tokenizer = tokenizer
        for module in tokenizer.modules():
            if isinstance(module, Quantizer):
                module.auto_update = False
        self._stage = -1
        self._codes: list[list[Tensor]] = []
        self._parts = 1
        self.looks: Looks | None = None
        self._exchange = Exchange(tokenizer, options) if options.exchange else None
        if looks is not None:
            self.looks = make_looks(looks, tokenizer, options, self.accelerator)

    @property
    def stage(self) -> int:
        """The index of the stage that the next step belongs to."""
        return stage_at(self.options.stages, self.step)

    def start_now(self) -> None:
        """Let an adversary and an exchange begin at once: the steps of a trial cost the most."""
        if self.looks is not None:
            self.looks.start_now()
        if self._exchange is not None:
            self._exchange.begins = 0

    def begin_step(self) -> None:
        """Enter the step's stage."""
        self._codes = []
        if self._stage != self.stage:
            self._stage = self.stage
            set_trained_parts(self.tokenizer, trained_parts(self.options.stages, self._stage))
            self.optimizer.zero_grad(set_to_none=True)
            self.wrap()
        if self.looks is not None:
            self.looks.begin(self.step)

    def micro_batches(self, batch: Batch | Tensor) -> Sequence[Batch]:
        """The signals in equal parts."""
        if isinstance(batch, Tensor):
            batch = Batch(batch, {}, torch.arange(len(batch)))
        self._hold()
        parts = batch.to(self.accelerator.device, self.layout).chunks(self.options.accumulate)
        self._parts = len(parts)
        return parts

    def forward(self, part: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of some signals and its terms."""
        known = self.tokenizer.known(part.attributes)
        inputs: list[Any] = [part.values] if part.mask is None else [part.values, part.mask]
        if known is not None:
            inputs = [part.values, part.mask, known]
            if self._exchange is not None:
                heard = self._exchange.heard(part, known, self.step)
                if heard is not None:
                    inputs.append(heard)
                    self.tokenizer.train()
                    self._hold()
        result: Reconstruction = self.call(*inputs)
        self._codes.append([level.codes for level in result.levels])
        loss, figures = result.loss, step_figures(result, part.mask)
        if self.looks is not None:
            loss = loss + self.looks.term(result, part.mask, 1 / self._parts, figures)
        return loss, figures

    def _hold(self) -> None:
        """Keep the statistics of what the stage freezes; after ``train()``."""
        hold_statistics(self.tokenizer, trained_parts(self.options.stages, self._stage))

    def skips(self, loss: Tensor, norm: Tensor) -> bool:
        """Whether an adversarial step is left out, as a value of either player is not finite."""
        if self.looks is None or not self.looks.plays:
            return False
        broken = not bool(torch.isfinite(loss + norm + self.looks.norm()))
        if not self.any_process(broken):
            return False
        self.looks.skip(self.step)
        for module in self.tokenizer.modules():
            if isinstance(module, Pending):
                module.discard()
        return True

    def finish_step(self) -> dict[str, Tensor]:
        """Let codebooks and an adversary learn; the perplexities of the step's codes."""
        if self.looks is not None:
            self.looks.finish(self.factor)
        for quantizer in self.tokenizer.parts()["quantizer"]:
            if isinstance(quantizer, Bottleneck):
                quantizer.update()
        codes = [torch.cat(level) for level in zip(*self._codes, strict=True)]
        return code_figures(self.tokenizer.levels, codes)

    def companions(self) -> list[tuple[nn.Module, torch.optim.Optimizer | None]]:
        """The discriminator and the perceptual network; see `BaseTrainer.companions`."""
        return [] if self.looks is None else self.looks.networks()

    def usage_reports(self) -> list[UsageReport | None]:
        """The recent use of each level's codewords; every process must call it.

        None for a level that keeps no count, or is frozen, when nothing is counted.
        """
        return [
            None if level.quantizer.frozen else level.quantizer.usage_report()
            for level in self.tokenizer.levels
        ]

    def checkpoint(self, extra: Mapping[str, Any]) -> Checkpoint:
        """Also the adversary; see `BaseTrainer.checkpoint`."""
        if self.looks is None:
            return super().checkpoint(extra)
        found = super().checkpoint({**extra, **self.looks.state()})
        found.tensors.update(self.looks.tensors())
        return found

    def load_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: if it belongs to another model.
        """
        super().load_checkpoint(checkpoint)
        if self.looks is not None:
            self.looks.load(checkpoint)
        self._stage = -1
