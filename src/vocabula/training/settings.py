"""What the ``training`` section of a configuration holds: how long, how large, what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le, Lt, MinLen

from vocabula.registry import component

Part = Literal["encoder", "quantizer", "decoder", "likelihood"]
PARTS: tuple[Part, ...] = ("encoder", "quantizer", "decoder", "likelihood")


@component("stage", "stage")
@dataclass(kw_only=True)
class Stage:
    """One stage of a staged training: the parts that learn, and for how long.

    Args:
        train: the parts that learn; the others are frozen, a quantizer's codebook included.
        steps: length of the stage in optimizer steps.
    """

    component_kind: ClassVar[str] = "stage"

    train: Annotated[tuple[Part, ...], MinLen(1)]
    steps: Annotated[int, Ge(1)]


@component("training", "training")
@dataclass(kw_only=True)
class TrainingOptions:
    """How a run is carried out, apart from the model, the data and the optimizer.

    Args:
        steps: optimizer steps of the whole run.
        batch_size: images in one optimizer step, over all processes and micro-batches.
        seed: seed of the weights, the order of the data and every random draw.
        precision: "bf16" runs the networks under bfloat16 autocast; weights stay float32.
        clip_norm: largest global gradient norm; longer gradients are scaled down; 0 is off.
        accumulate: micro-batches that one optimizer step is split into.
        average_decay: decay per step of the averaged weights that the saved tokenizer uses;
            0 is off.
        checkpoint_every: optimizer steps between checkpoints.
        keep_checkpoints: how many of the newest checkpoints are kept.
        log_every: optimizer steps between lines of the log, each a mean over these steps.
        stages: parts that learn first, in order; after the last stage everything learns.
        tensorboard: also write TensorBoard events into the run's folder.
        channels_last: run the convolutions in the channels-last memory format, which is about
            6 % faster on a CPU (`cifar10` and `photos`, one thread).
        threads: CPU threads of each process; 0 leaves PyTorch's choice.
        max_minutes: stop in good order after this many minutes; 0 is no limit.
    """

    component_kind: ClassVar[str] = "training"

    steps: Annotated[int, Ge(1)] = 10_000
    batch_size: Annotated[int, Ge(1)] = 32
    seed: Annotated[int, Ge(0), Lt(2**31)] = 0
    precision: Literal["no", "bf16"] = "no"
    clip_norm: Annotated[float, Ge(0)] = 0.0
    accumulate: Annotated[int, Ge(1)] = 1
    average_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    checkpoint_every: Annotated[int, Ge(1)] = 500
    keep_checkpoints: Annotated[int, Ge(1)] = 2
    log_every: Annotated[int, Ge(1)] = 100
    stages: tuple[Stage, ...] = ()
    tensorboard: bool = False
    channels_last: bool = True
    threads: Annotated[int, Ge(0), Le(1024)] = 0
    max_minutes: Annotated[float, Ge(0)] = 0.0


__all__ = ["PARTS", "Part", "Stage", "TrainingOptions"]
