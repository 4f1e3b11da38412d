"""The cost of a training step, from a few small steps of a temporary model."""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator

from vocabula.functional import distributed
from vocabula.quantizers import VectorQuantizer
from vocabula.training.base import BaseTrainer
from vocabula.training.live_memory import LiveMemory, MemoryExceeded
from vocabula.training.machine import free_memory, resident_memory
from vocabula.training.optimizers import OptimizerSettings
from vocabula.training.settings import TrainingOptions

T = TypeVar("T", bound=BaseTrainer[Any])
Size = tuple[int, ...]
"""Items of a batch, and the extent of each: height and width of images, samples of recordings."""

LONGEST = 3.0
"""Seconds: a step that would take longer is not made but extrapolated."""
_WORKSPACE = 1.2  # what operations and the allocator take beside the tensors: measured 1.1 to 1.3
_LIBRARIES = 48 * 2**20  # what the first steps load and compile: measured 30 to 60 MB on the CPU


@dataclass(frozen=True)
class _Trial:
    """One measured step: its work (items times extent), seconds and the bytes of each moment."""

    work: float
    seconds: float
    series: Sequence[int]


@dataclass(frozen=True)
class StepCost:
    """The cost of steps of any size; see `measure_step`.

    Attributes:
        parameters: how many numbers the optimizer learns.
        base: bytes of the process without model and batches.
        kept: bytes of weights, buffers, optimizer state and averages.
        saving: bytes that writing a checkpoint takes for a while.
        trials: the steps that were measured.
    """

    parameters: int
    base: int
    kept: int
    saving: int
    trials: tuple[_Trial, ...]

    def seconds(self, work: float) -> float:
        """Seconds of one step."""
        last = self.trials[-1]
        if len(self.trials) == 1:
            return last.seconds * max(1.0, work / last.work)
        before = self.trials[-2]
        slope = max(0.0, (last.seconds - before.seconds) / (last.work - before.work))
        if work > last.work:  # no more than in proportion, however noisy two short times are
            slope = min(slope, last.seconds / last.work)
        return max(0.0, last.seconds + slope * (work - last.work))

    def peak(self, work: float) -> int:
        """Bytes that one step takes beside what is kept."""
        return int(_WORKSPACE * _extrapolated(self.trials, work))

    def total(self, work: float) -> int:
        """Bytes of a process that trains with such steps, at its peak."""
        return self.base + _LIBRARIES + self.kept + max(self.peak(work), self.saving)


def _extrapolated(trials: Sequence[_Trial], work: float) -> float:
    """The most bytes alive at any moment of a step: at each moment linear in the work."""
    last = trials[-1]
    if len(trials) == 1 or work == last.work:
        return max(last.series) * max(1.0, work / last.work)
    before = trials[-2]
    step = (work - last.work) / (last.work - before.work)
    if len(before.series) == len(last.series):
        pairs = zip(before.series, last.series, strict=True)
        return max(b + (b - a) * step for a, b in pairs)
    a, b = max(before.series), max(last.series)
    return b + max((b - a) * step, b * (work / last.work - 1))


def measure_step(
    make: Callable[[TrainingOptions, Accelerator], T],
    batch: Callable[[Size], Any],
    sizes: Sequence[Size],
    *,
    options: TrainingOptions,
    optimizer: OptimizerSettings,
    device: torch.device,
) -> StepCost:
    """Build a model, take a few steps of rising size, and discard it.

    The second size is always measured. Another is left out if it would take more than
    `LONGEST`, and any if it would take most of the memory; a size that is reached without those
    in between is not extrapolated. Nothing is reduced over processes. Random generators are drawn
    from, so seed them afterwards.

    Args:
        make: the trainer of a new model, on an accelerator.
        batch: random data of a size.
        sizes: rising; the last is that of a micro-batch.
        options: how the run is carried out.
        optimizer: what the trainer takes its steps with.
        device: where it runs.

    Raises:
        MemoryExceeded: not even the first size fits.
    """
    alone = cast(Accelerator, _Alone(device))
    changed = replace(options, batch_size=1, accumulate=1, stages=(), max_minutes=0.0)
    try:
        with distributed.alone(), _memory_errors():
            with _counted((), device):
                trainer = make(changed, alone)
            base = _held_now(device) - _bytes(_kept(trainer))
            _settle(trainer)
            state = _state_bytes(trainer, optimizer)  # the first step loads much of torch
            trials = _trials(trainer, batch, sizes, device)
            held = [module for module, _ in _networks(trainer)]
            model = max(_bytes(module.state_dict().values()) for module in held)
            kept = _bytes(_kept(trainer)) - _bytes(_states(trainer)) + sum(state)
            numbers = sum(p.numel() for p in trainer.model.parameters())
            return StepCost(numbers, base, kept, 2 * max(model, *state), tuple(trials))
    finally:
        trainer = None  # type: ignore[assignment]
        if device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _trials(
    trainer: BaseTrainer[Any],
    batch: Callable[[Size], Any],
    sizes: Sequence[Size],
    device: torch.device,
) -> list[_Trial]:
    with _counted(_kept(trainer), device):  # the first pass creates state that later ones reuse
        trainer.compute_gradients(batch(sizes[0]))
    _forget(trainer)
    trials: list[_Trial] = []
    for size in sizes:
        work = math.prod(size)
        if trials and not _worthwhile(trials, work, math.prod(sizes[-1]), device):
            continue
        trials.append(_trial(trainer, batch(size), float(work), device))
    return trials


def _worthwhile(trials: Sequence[_Trial], work: float, full: float, device: torch.device) -> bool:
    """Whether a further trial is needed, and cheap in time and memory by the trials before."""
    room = free_memory(device)
    space = math.inf if room is None else room
    last, cost = trials[-1], StepCost(0, 0, 0, 0, tuple(trials))
    if work < full and last.seconds * full / last.work < 1 and cost.peak(full) < space / 4:
        return False  # the last trial costs next to nothing
    if len(trials) == 1 and work < full:  # one alone does not tell what grows and what stays
        return cost.peak(work) < space / 2
    return cost.seconds(work) < LONGEST and cost.peak(work) < space / 2


def _trial(trainer: BaseTrainer[Any], data: Any, work: float, device: torch.device) -> _Trial:
    with _counted(_kept(trainer), device) as memory:
        started = time.perf_counter()
        trainer.compute_gradients(data)
        halfway = _now(device) - started
    _forget(trainer)
    if halfway > LONGEST / 3:  # the optimizer's memory does not matter
        return _Trial(work, halfway, memory.series)
    with _counted(_kept(trainer), device):
        started = time.perf_counter()
        trainer.train_step(data)
        return _Trial(work, _now(device) - started, memory.series)


class _Alone(SimpleNamespace):
    """The interface of an accelerator for a single process."""

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, device: torch.device) -> None:
        super().__init__(device=device)

    def no_sync(self, model: object) -> contextlib.AbstractContextManager[None]:
        """Nothing is reduced anyway."""
        return contextlib.nullcontext()


class _CudaMemory:
    """As `LiveMemory`, by the count of the GPU's allocator: the most of the block is its series."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.series: list[int] = []

    def __enter__(self) -> _CudaMemory:
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        self.series.append(torch.cuda.max_memory_allocated(self._device) - self._before)


def _counted(before: Sequence[torch.Tensor], device: torch.device) -> LiveMemory | _CudaMemory:
    if device.type == "cuda":
        return _CudaMemory(device)
    room = free_memory(device)
    return LiveMemory(before, most=math.inf if room is None else 0.9 * room)


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise MemoryExceeded from None
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error):
            raise MemoryExceeded from None
        raise


def _settle(trainer: BaseTrainer[Any]) -> None:
    """Let codebooks begin as they are: k-means belongs to the first steps of a run only."""
    for module in trainer.model.modules():
        if isinstance(module, VectorQuantizer):
            module.codebook = module.codebook


def _networks(
    trainer: BaseTrainer[Any],
) -> list[tuple[torch.nn.Module, torch.optim.Optimizer | None]]:
    """The model and what stands beside it, such as an adversary, each with its optimizer."""
    return [(trainer.model, trainer.optimizer), *trainer.companions()]


def _forget(trainer: BaseTrainer[Any]) -> None:
    """Free all gradients."""
    for _, optimizer in _networks(trainer):
        if optimizer is not None:
            optimizer.zero_grad(set_to_none=True)


def _kept(trainer: BaseTrainer[Any]) -> list[torch.Tensor]:
    average = trainer.average
    averages = [] if average is None else list(average.state().values())
    held = [[*module.parameters(), *module.buffers()] for module, _ in _networks(trainer)]
    return [*itertools.chain(*held), *averages, *_states(trainer)]


def _states(trainer: BaseTrainer[Any]) -> list[torch.Tensor]:
    """What all optimizers keep."""
    return [
        tensor
        for _, optimizer in _networks(trainer)
        if optimizer is not None
        for tensor in _tensors(optimizer)
    ]


def _tensors(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    entries = optimizer.state.values()
    return [v for entry in entries for v in entry.values() if isinstance(v, torch.Tensor)]


def _state_bytes(trainer: BaseTrainer[Any], optimizer: OptimizerSettings) -> list[int]:
    """Bytes that each optimizer will keep, by what it keeps of one parameter."""
    found = [_state_of(trainer.model, optimizer.build)]
    for module, own in trainer.companions():
        if own is not None:
            kind: Any = type(own)
            found.append(_state_of(module, partial(kind, **own.defaults)))
    return found


def _state_of(
    module: torch.nn.Module, build: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
) -> int:
    one = torch.nn.Parameter(torch.zeros(256, 256))
    one.grad = torch.zeros_like(one)
    small = build([one])
    small.step()
    share = _bytes(_tensors(small)) / _bytes([one])
    return int(share * _bytes(p for p in module.parameters() if p.requires_grad))


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _held_now(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return resident_memory()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
