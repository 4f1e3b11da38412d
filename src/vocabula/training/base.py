"""The optimizer step that all models share, on one device or in several processes."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from vocabula.errors import TrainingError
from vocabula.training.accelerators import check_batch_size, make_accelerator
from vocabula.training.average import WeightAverage
from vocabula.training.checkpoint import Checkpoint
from vocabula.training.measures import Meter
from vocabula.training.optimizers import OptimizerSettings
from vocabula.training.random_state import (
    capture_random_state,
    restore_random_state,
    seed_everything,
)
from vocabula.training.restoring import load_model, load_optimizer, optimizer_tensors
from vocabula.training.schedules import Schedule
from vocabula.training.settings import TrainingOptions

B = TypeVar("B")


class BaseTrainer(ABC, Generic[B]):
    """Trains a model, one optimizer step per call; subclasses define what a step computes.

    ::

        batch --micro_batches--> forward, backward of each --> clip --> optimizer --> average

    Gradients are averaged over processes.

    Args:
        model: what learns.
        options: how the run is carried out.
        optimizer: settings of the optimizer.
        schedule: factor of the learning rate by step.
        accelerator: device and process group; made if left out.

    Attributes:
        step: optimizer steps done.
        elapsed: fraction of the time limit that has passed, 0 without a limit; the schedule follows
            it.
        meter: figures summed since the last reset.

    Raises:
        OptionError: if the batch does not split evenly over processes and micro-batches.
    """

    def __init__(
        self,
        model: nn.Module,
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
        self.elapsed = 0.0
        self._factor: float | None = None
        self.meter = Meter()
        # kernels of three axes have a format of their own, and no gain from it
        flat = options.channels_last and all(p.ndim < 5 for p in model.parameters())
        self.layout = torch.channels_last if flat else torch.preserve_format
        self.model = model.to(self.accelerator.device)
        self.model.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.optimizer = optimizer.build(self.model.parameters())
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        decay = options.average_decay
        self.average = WeightAverage(self.model, decay) if decay > 0 else None
        self._wrapped: nn.Module | None = None

    # ------------------------------------------------------- what a model gives

    @abstractmethod
    def micro_batches(self, batch: B) -> Sequence[Any]:
        """The parts of a batch, on the device, whose gradients add up to one step."""

    @abstractmethod
    def forward(self, part: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss () of a micro-batch, by `call`, and its figures, each (), with ``loss``."""

    def begin_step(self) -> None:
        """A hook before a step; does nothing unless overridden."""

    def finish_step(self) -> dict[str, Tensor]:
        """A hook after the optimizer: figures of the whole batch; none unless overridden."""
        return {}

    def skips(self, loss: Tensor, norm: Tensor) -> bool:
        """Whether a step is left out, as its values are not finite; no unless overridden.

        Every process calls it, between the backward passes and the optimizer.

        Args:
            loss: () of this process.
            norm: () of the gradient.
        """
        return False

    def companions(self) -> Sequence[tuple[nn.Module, torch.optim.Optimizer | None]]:
        """Networks that the training holds beside the model, each with its optimizer if it learns.

        None unless overridden.
        """
        return ()

    # ---------------------------------------------------------------- stepping

    @property
    def parameters(self) -> int:
        """The number of parameters of the model."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step taken, or of the first before that."""
        return self._rates[0] * self.factor

    @property
    def factor(self) -> float:
        """The schedule's factor of the step under way, or of the last step taken."""
        if self._factor is None:
            return self.schedule.factor(max(0, self.step - 1), self.options.steps, self.elapsed)
        return self._factor

    def train_step(self, batch: B) -> dict[str, Tensor]:
        """Take one optimizer step.

        Args:
            batch: this process's share of what the step learns from.

        Returns:
            The step's figures, each (), also added to `meter`; not of a step left out by `skips`.

        Raises:
            TrainingError: the loss or a gradient is not finite; no weight has been changed, but the
                batch stays counted in the codebook's pending statistics.
        """
        self._factor = factor = self.schedule.factor(self.step, self.options.steps, self.elapsed)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        figures = self.compute_gradients(batch)
        norm = self._gradient_norm()
        if self.skips(figures["loss"], norm):
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
            return figures
        self._stop_unless_finite(figures["loss"], norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        more = self.finish_step()
        if self.average is not None:
            self.average.update(self.model, self.step)
        self.step += 1
        figures["grad_norm"] = norm
        figures |= more
        self.meter.add(figures)
        return figures

    def compute_gradients(self, batch: B) -> dict[str, Tensor]:
        """The first half of a step: forward and backward; the figures, each ()."""
        self.begin_step()
        if self._wrapped is None:
            self.wrap()
        self.model.train()
        return self._accumulate(self.micro_batches(batch))

    def call(self, *inputs: Any) -> Any:
        """Run the model in the precision of the options, with gradients averaged over processes."""
        assert self._wrapped is not None
        enabled = self.options.precision == "bf16"
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=enabled):
            return self._wrapped(*inputs)

    def wrap(self) -> None:
        """Put the model under gradient averaging where there are several processes.

        The wrapper expects a gradient of each parameter that was trainable when it was created.
        """
        learns = any(p.requires_grad for p in self.model.parameters())
        if self.accelerator.num_processes == 1 or not learns:
            self._wrapped = self.model
            return
        self.accelerator.free_memory()
        self._wrapped = self.accelerator.prepare_model(self.model)

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

    def mean_of_processes(self, value: float) -> float:
        """The mean of a number over all processes; every process must call it."""
        if self.accelerator.num_processes == 1:
            return value
        tensor = torch.tensor([value], device=self.accelerator.device)
        return float(self.accelerator.reduce(tensor, reduction="mean").item())

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the model has the averaged weights, if weights are averaged."""
        with self.borrowing(self.average.state() if self.average else {}):
            yield

    @contextlib.contextmanager
    def borrowing(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Within the block the parameters named in `weights` have its values."""
        parameters = dict(self.model.named_parameters())
        own = {name: parameters[name].detach().clone() for name in weights}
        try:
            self._set(weights)
            yield
        finally:
            self._set(own)

    # -------------------------------------------------------------- checkpoint

    def checkpoint(self, extra: Mapping[str, Any]) -> Checkpoint:
        """Everything needed to continue training; every process must call it."""
        tensors = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        if self.average is not None:
            tensors["average"] = self.average.state()
        state = {
            "random": gather_object([capture_random_state()]),
            "meter": self.meter.state(),
            **extra,
        }
        if self.accelerator.num_processes > 1:
            state["meters"] = gather_object([self.meter.state()])
        return Checkpoint(self.step, tensors, state)

    def load_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: if it belongs to another model.
        """
        load_model(self.model, checkpoint.tensors["model"])
        load_optimizer(self.optimizer, checkpoint.tensors["optimizer"])
        if self.average is not None:
            fallback = checkpoint.tensors["model"]
            self.average.load_state(checkpoint.tensors.get("average", fallback))
        self.step, self._factor = checkpoint.step, None
        meters = checkpoint.state.get("meters", [])
        same = len(meters) == self.accelerator.num_processes
        meter = meters[self.accelerator.process_index] if same else checkpoint.state["meter"]
        self.meter.load_state(meter, self.accelerator.device)
        states = checkpoint.state["random"]
        if len(states) == self.accelerator.num_processes:
            restore_random_state(states[self.accelerator.process_index])
        else:  # another number of processes: no state fits, so draw afresh
            rank = self.accelerator.process_index
            seed_everything(self.options.seed + 7919 * self.step + rank)
        self._wrapped = None

    # --------------------------------------------------------------- internals

    def _accumulate(self, parts: Sequence[Any]) -> dict[str, Tensor]:
        """Forward and backward over the micro-batches; their mean figures."""
        totals: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            with contextlib.nullcontext() if last else self._without_reduction():
                loss, figures = self.forward(part)
                if loss.requires_grad:
                    (loss / len(parts)).backward()
            for name, value in figures.items():
                share = value / len(parts)
                totals[name] = totals[name] + share if name in totals else share
        return totals

    @torch.no_grad()
    def _set(self, weights: Mapping[str, Tensor]) -> None:
        parameters = dict(self.model.named_parameters())
        for name, value in weights.items():
            parameters[name].copy_(value)

    def _without_reduction(self) -> Any:
        assert self._wrapped is not None
        return self.accelerator.no_sync(self._wrapped)

    def _gradient_norm(self) -> Tensor:
        """The global gradient norm before clipping, (); clips in place."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if not gradients:
            return torch.zeros((), device=self.accelerator.device)
        norm = nn.utils.get_total_norm(gradients)
        if self.options.clip_norm > 0:
            parameters = [p for p in self.model.parameters() if p.grad is not None]
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
