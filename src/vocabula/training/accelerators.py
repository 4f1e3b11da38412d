"""The devices and processes of a run."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import KwargsHandler

from vocabula.errors import OptionError
from vocabula.training.meeting import meeting_place
from vocabula.training.settings import TrainingOptions


def make_accelerator() -> Accelerator:
    """The accelerator of this process; several exist under ``torchrun`` and ``accelerate launch``.

    Mixed precision is always off here; only `TrainingOptions.precision` sets it.
    Buffers are not broadcast at every forward pass: quantizers keep them equal by reducing
    their statistics.
    """
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(broadcast_buffers=False)]
    if (place := meeting_place()) is not None:
        handlers.append(InitProcessGroupKwargs(init_method=place))
    return Accelerator(cpu=_several_on_cpu(), mixed_precision="no", kwargs_handlers=handlers)


def _several_on_cpu() -> bool:
    """Whether a launcher has started several processes without accelerators.

    Otherwise each would take itself for the only process and write the same folder.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found is None or found.type == "mps"  # which has no collective operations


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
