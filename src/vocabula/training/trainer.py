"""The trainer: one optimizer step at a time, on one device or on several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object
from torch import Tensor, nn

from vocabula.errors import OptionError, TrainingError
from vocabula.quantizers.base import Quantizer
from vocabula.tokenizers import Tokenizer
from vocabula.training.average import WeightAverage
from vocabula.training.checkpoint import Checkpoint, load_model, load_optimizer, optimizer_tensors
from vocabula.training.measures import Meter, batch_perplexity, step_figures
from vocabula.training.optimizers import OptimizerSettings
from vocabula.training.random_state import (
    capture_random_state,
    restore_random_state,
    seed_everything,
)
from vocabula.training.schedules import Schedule
from vocabula.training.settings import TrainingOptions
from vocabula.training.stages import set_trained_parts, stage_at, trained_parts
from vocabula.types import Reconstruction, UsageReport


def make_accelerator() -> Accelerator:
    """The accelerator of this process; several exist under ``accelerate launch``.

    Mixed precision is off here whatever the launcher says: `TrainingOptions.precision` decides.
    Buffers are not broadcast at every forward pass: quantizers keep them equal by reducing
    their statistics.
    """
    handler = DistributedDataParallelKwargs(broadcast_buffers=False)
    return Accelerator(mixed_precision="no", kwargs_handlers=[handler])


class Trainer:
    """Trains a tokenizer, one optimizer step per call.

    Codebook learning is applied once per optimizer step, after it, so that gradient
    accumulation counts every vector once. Gradients are averaged over processes.

    Args:
        tokenizer: what learns.
        options: how the run is carried out.
        optimizer: settings of the optimizer.
        schedule: factor of the learning rate by step.
        accelerator: device and process group; made if left out.

    Attributes:
        step: optimizer steps done.
        meter: figures summed since the last reset.

    Raises:
        OptionError: if the batch does not split evenly over processes and micro-batches.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        options: TrainingOptions,
        optimizer: OptimizerSettings,
        schedule: Schedule,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.accelerator = accelerator or make_accelerator()
        check_batch_size(options, self.accelerator.num_processes)
        self.options = options
        self.schedule = schedule
        self.step = 0
        self.meter = Meter()
        layout = torch.channels_last if options.channels_last else torch.preserve_format
        self.tokenizer = tokenizer.to(self.accelerator.device)
        self.tokenizer.to(memory_format=layout)  # type: ignore[call-overload]
        self._layout = layout
        for module in self.tokenizer.modules():
            if isinstance(module, Quantizer):
                module.auto_update = False
        self.optimizer = optimizer.build(self.tokenizer.parameters())
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        decay = options.average_decay
        self.average = WeightAverage(self.tokenizer, decay) if decay > 0 else None
        self._model: nn.Module | None = None
        self._stage = -1

    # ---------------------------------------------------------------- stepping

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step taken, or of the first before that."""
        factor = self.schedule.factor(max(0, self.step - 1), self.options.steps)
        return self._rates[0] * factor

    @property
    def stage(self) -> int:
        """The index of the stage that the next step belongs to."""
        return stage_at(self.options.stages, self.step)

    def train_step(self, images: Tensor) -> dict[str, Tensor]:
        """Take one optimizer step.

        Args:
            images: (B, C, H, W) uint8, or floating point in [0, 1]; this process's share.

        Returns:
            The step's figures, each (), also added to `meter`.

        Raises:
            TrainingError: the loss or a gradient is not finite; no weight has been changed, but the
                batch stays counted in the codebook's pending statistics.
        """
        self._prepare_step()
        images = images.to(self.accelerator.device, non_blocking=True, memory_format=self._layout)
        figures, codes = self._accumulate(images)
        norm = self._gradient_norm()
        self._stop_unless_finite(figures["loss"], norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        quantizer = self.tokenizer.quantizer
        if isinstance(quantizer, Quantizer):
            quantizer.update()
        if self.average is not None:
            self.average.update(self.tokenizer, self.step)
        self.step += 1
        figures["grad_norm"] = norm
        if isinstance(quantizer, Quantizer) and codes.numel():
            figures["perplexity"] = batch_perplexity(codes, quantizer.codebook_sizes)
        self.meter.add(figures)
        return figures

    def usage_report(self) -> UsageReport | None:
        """The quantizer's usage lately; every process must call it. None where it has none."""
        quantizer = self.tokenizer.quantizer
        return quantizer.usage_report() if isinstance(quantizer, Quantizer) else None

    def means(self) -> dict[str, float]:
        """Means of the figures since the last call, over all processes; every one must call it."""
        means = self.meter.means()
        self.meter.reset()
        if self.accelerator.num_processes > 1 and means:
            values = torch.tensor(list(means.values()), device=self.accelerator.device)
            reduced = self.accelerator.reduce(values, reduction="mean").tolist()
            means = dict(zip(means, reduced, strict=True))
        return means

    def any_process(self, flag: bool) -> bool:
        """Whether the flag is set in any process; every process must call it."""
        if self.accelerator.num_processes == 1:
            return flag
        value = torch.tensor([float(flag)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(value, reduction="sum").item() > 0)

    # -------------------------------------------------------------- checkpoint

    def checkpoint(self, extra: Mapping[str, Any]) -> Checkpoint:
        """Everything that training goes on from; every process must call it."""
        tensors = {
            "model": self.tokenizer.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        if self.average is not None:
            tensors["average"] = self.average.state()
        state = {
            "stage": self.stage,
            "random": gather_object([capture_random_state()]),
            "meter": self.meter.state(),
            **extra,
        }
        return Checkpoint(self.step, tensors, state)

    def load_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: if it belongs to another model.
        """
        load_model(self.tokenizer, checkpoint.tensors["model"])
        load_optimizer(self.optimizer, checkpoint.tensors["optimizer"])
        if self.average is not None:
            fallback = checkpoint.tensors["model"]
            self.average.load_state(checkpoint.tensors.get("average", fallback))
        self.step = checkpoint.step
        self.meter.load_state(checkpoint.state["meter"], self.accelerator.device)
        states = checkpoint.state["random"]
        if len(states) == self.accelerator.num_processes:
            restore_random_state(states[self.accelerator.process_index])
        else:  # another number of processes: no state fits, so draw afresh
            rank = self.accelerator.process_index
            seed_everything(self.options.seed + 7919 * self.step + rank)
        self._stage = -1

    # --------------------------------------------------------------- internals

    def _prepare_step(self) -> None:
        """Enter the step's stage and set its learning rate."""
        if self._stage != self.stage:
            self._stage = self.stage
            set_trained_parts(self.tokenizer, trained_parts(self.options.stages, self._stage))
            self.optimizer.zero_grad(set_to_none=True)
            self._model = self._wrapped()
        factor = self.schedule.factor(self.step, self.options.steps)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.tokenizer.train()

    def _wrapped(self) -> nn.Module:
        """The tokenizer, under gradient averaging where there are several processes.

        It is wrapped anew for every stage: the wrapper expects a gradient of each parameter that
        could learn when it was made.
        """
        learns = any(p.requires_grad for p in self.tokenizer.parameters())
        if self.accelerator.num_processes == 1 or not learns:
            return self.tokenizer
        self.accelerator.free_memory()
        return self.accelerator.prepare_model(self.tokenizer)

    def _accumulate(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Forward and backward over the micro-batches; mean figures and all codes."""
        parts = images.chunk(self.options.accumulate)
        totals: dict[str, Tensor] = {}
        codes = []
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            with contextlib.nullcontext() if last else self._without_reduction():
                result = self._forward(part)
                if result.loss.requires_grad:
                    (result.loss / len(parts)).backward()
            for name, value in step_figures(result, to_unit_interval(part)).items():
                share = value / len(parts)
                totals[name] = totals[name] + share if name in totals else share
            codes.append(result.quantized.codes)
        return totals, torch.cat(codes)

    def _without_reduction(self) -> Any:
        assert self._model is not None
        return self.accelerator.no_sync(self._model)

    def _forward(self, images: Tensor) -> Reconstruction:
        assert self._model is not None
        enabled = self.options.precision == "bf16"
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=enabled):
            return self._model(images)

    def _gradient_norm(self) -> Tensor:
        """The global gradient norm before clipping, (); clips in place."""
        gradients = [p.grad for p in self.tokenizer.parameters() if p.grad is not None]
        if not gradients:
            return torch.zeros((), device=self.accelerator.device)
        norm = nn.utils.get_total_norm(gradients)
        if self.options.clip_norm > 0:
            parameters = [p for p in self.tokenizer.parameters() if p.grad is not None]
            nn.utils.clip_grads_with_norm_(parameters, self.options.clip_norm, norm)
        return norm

    def _stop_unless_finite(self, loss: Tensor, norm: Tensor) -> None:
        broken = not bool(torch.isfinite(loss + norm))
        if not self.any_process(broken):
            return
        self.optimizer.zero_grad(set_to_none=True)
        what = "loss" if not bool(torch.isfinite(loss)) else "gradient"
        value = float(loss if what == "loss" else norm)
        rate = self.optimizer.param_groups[0]["lr"]
        raise TrainingError(
            f"training step {self.step + 1}: expected a finite {what}, got {value}; try "
            f"optimizer.learning_rate={rate / 4:.2g} or training.clip_norm=1"
            + (" or training.precision=no" if self.options.precision != "no" else "")
            + " with --resume"
        )


def check_batch_size(options: TrainingOptions, processes: int) -> None:
    """Refuse a batch that does not split evenly.

    Raises:
        OptionError: if processes times micro-batches do not divide the batch size.
    """
    pieces = processes * options.accumulate
    if options.batch_size % pieces:
        nearest = max(pieces, round(options.batch_size / pieces) * pieces)
        raise OptionError(
            f"training.batch_size: expected a multiple of {pieces} ({processes} processes times "
            f"{options.accumulate} micro-batches), got {options.batch_size}; use {nearest}"
        )


def to_unit_interval(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
