"""The cost of a run, measured before it begins; runs that cannot fit into memory are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator

from vocabula.data.ahead import local_processes
from vocabula.errors import OptionError
from vocabula.training.base import BaseTrainer
from vocabula.training.live_memory import MemoryExceeded
from vocabula.training.machine import free_memory, resident_memory
from vocabula.training.optimizers import OptimizerSettings
from vocabula.training.phases import phase
from vocabula.training.probe import Size, StepCost, measure_step
from vocabula.training.quantities import gigabytes
from vocabula.training.settings import TrainingOptions
from vocabula.training.together import in_main_process

GO_ON = "training.memory_check=false"
_SPARE = 0.9  # a proposed setting leaves a tenth of the memory free
_SMALL_SIDE = 32  # pixels of the first trial's images
_STEP = 16  # proposed crops have sides of multiples of so many pixels


@dataclass(frozen=True)
class Workload:
    """The model and data of a run's steps.

    Attributes:
        make: a new trainer, on an accelerator.
        batch: random data of a size.
        size: items of a micro-batch of one process, and the extent of each, if it has one.
        stored: bytes of the data that one process keeps.
        copies: how often a process keeps the weights beside the trainer's own.
        unit: what the items are called.
        smaller: advice if no batch fits.
        least: the smallest side of an image that the steps take.
    """

    make: Callable[[TrainingOptions, Accelerator], BaseTrainer[Any]]
    batch: Callable[[Size], Any]
    size: Size
    stored: int = 0
    copies: int = 0
    unit: str = "images"
    smaller: str = "use a smaller quantizer.codebook_size or smaller networks"
    least: int = 1

    def trial_sizes(self) -> list[Size]:
        """Rising sizes to measure: one small item, a larger one, the micro-batch."""
        items, *sides = self.size
        if not _cuts(self.size):  # one vector alone is too little work to tell the cost of many
            return sorted({(-(-items // part), *sides) for part in (64, 8, 1)})
        side = max(_SMALL_SIDE, -(-self.least // _STEP) * _STEP)
        small = [min(each, side) for each in sides]
        larger = [min(each, 2 * side) for each in sides]
        more = 1 if larger != small else min(items, 4)
        return sorted({(1, *small), (more, *larger), self.size}, key=math.prod)


@dataclass(frozen=True)
class Forecast:
    """The cost of one process of a run.

    Attributes:
        parameters: how many numbers the optimizer learns.
        seconds: of one optimizer step.
        memory: bytes at its peak.
        room: bytes available to it; None if not known.
    """

    parameters: int
    seconds: float
    memory: int
    room: int | None


def forecast(
    workload: Workload,
    options: TrainingOptions,
    optimizer: OptimizerSettings,
    accelerator: Accelerator,
    *,
    command: Callable[..., str],
    resumed: bool = False,
    shown: bool = False,
) -> Forecast | None:
    """Measure the cost of a run; the main process measures, and every process calls this.

    Args:
        workload: what its steps are made of.
        options: how it is carried out.
        optimizer: what it takes its steps with.
        accelerator: device and process group.
        command: gives the command that makes the run with more settings, for the error.
        resumed: whether it is read from a checkpoint first.
        shown: say that a step is being measured.

    Returns:
        The forecast, or None where `TrainingOptions.memory_check` is off.

    Raises:
        OptionError: there is not enough memory; the line names the nearest setting that fits.
    """
    if not options.memory_check:
        return None
    return in_main_process(
        accelerator,
        lambda: _forecast(workload, options, optimizer, accelerator, command, resumed, shown),
    )


def _forecast(
    workload: Workload,
    options: TrainingOptions,
    optimizer: OptimizerSettings,
    accelerator: Accelerator,
    command: Callable[..., str],
    resumed: bool,
    shown: bool,
) -> Forecast:
    device = accelerator.device
    room = free_memory(device)
    if room is not None and device.type == "cpu":
        room = room // local_processes() + resident_memory()
    try:
        with phase("measuring a step", shown=shown):
            cost = measure_step(
                workload.make,
                workload.batch,
                workload.trial_sizes(),
                options=options,
                optimizer=optimizer,
                device=device,
            )
    except MemoryExceeded:
        raise OptionError(
            f"memory: expected at most {gigabytes(room or 0)}, which this process can have, got "
            f"more for the smallest step; {workload.smaller} (or {GO_ON} to go on nevertheless)"
        ) from None
    reduced = accelerator.num_processes > 1
    need = _Need(workload, cost, resumed, reduced)
    size = workload.size
    found = Forecast(
        cost.parameters,
        options.accumulate * cost.seconds(math.prod(size)),
        need.bytes(size),
        room,
    )
    if room is None or found.memory <= room:
        return found
    raise _refusal(need, found, options, accelerator.num_processes, command)


@dataclass(frozen=True)
class _Need:
    """The bytes that one process needs."""

    workload: Workload
    cost: StepCost
    resumed: bool
    reduced: bool

    def bytes(self, size: Size) -> int:
        """With micro-batches of a size."""
        cost, weights = self.cost, 4 * self.cost.parameters
        more = self.workload.copies * weights + (weights if self.reduced else 0)
        step = cost.total(math.prod(size)) + self.workload.stored + more
        # a checkpoint is in memory as it is read, and again as the trainer takes it over
        return max(step, cost.base + 2 * cost.kept) if self.resumed else step


def _refusal(
    need: _Need,
    found: Forecast,
    options: TrainingOptions,
    processes: int,
    command: Callable[..., str],
) -> OptionError:
    workload = need.workload
    room = found.room or 0
    settings = _nearest(need, int(_SPARE * room), options, processes)
    what = f"{workload.size[0]} {workload.unit} at a time"
    if _cuts(workload.size):
        what = f"{workload.size[0]} {workload.unit} of {_sides(workload.size)} at a time"
    advice = workload.smaller
    if settings:
        advice = f"run again with {' '.join(settings)}: {command(*settings)}"
    return OptionError(
        f"memory: expected at most {gigabytes(room)}, which this process can have, got about "
        f"{gigabytes(found.memory)} for {what}; {advice} "
        f"(or {GO_ON} to go on nevertheless)"
    )


def _nearest(need: _Need, room: int, options: TrainingOptions, processes: int) -> list[str]:
    """The settings nearest to the options that fit into `room`; empty if none do.

    First the same batch in smaller parts, then smaller crops.
    """
    sides = need.workload.size[1:]
    share = options.batch_size // processes
    for parts in range(options.accumulate + 1, share + 1):
        if share % parts == 0 and need.bytes((share // parts, *sides)) <= room:
            return [f"training.accumulate={parts}"]
    if not _cuts(need.workload.size) or need.resumed:  # which must see the same data
        return []
    for side in range((max(sides) - 1) // _STEP * _STEP, need.workload.least - 1, -_STEP):
        if side <= min(sides) and need.bytes((1, side, side)) <= room:
            return [f"data.crop={side}", f"training.accumulate={share}"]
    return []


def _cuts(size: Size) -> bool:
    """Whether items are images, which can be cut to smaller ones."""
    return len(size) == 3


def _sides(size: Size) -> str:
    return f"{size[2]} x {size[1]}"


def together(first: Forecast | None, second: Forecast | None) -> Forecast | None:
    """The cost of two consecutive runs of one process, step by step."""
    if first is None or second is None:
        return first or second
    return Forecast(
        first.parameters + second.parameters,
        first.seconds + second.seconds,
        max(first.memory, second.memory),
        second.room,
    )
