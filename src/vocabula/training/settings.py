"""What sections of a configuration hold: how long, how large, what is kept, what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from vocabula.registry import component

Part = Literal["encoder", "quantizer", "decoder", "likelihood", "look"]
PARTS: tuple[Part, ...] = ("encoder", "quantizer", "decoder", "likelihood")


@component("stage", "stage")
@dataclass(kw_only=True)
class Stage:
    """One stage of a staged training: the parts that learn, and for how long.

    Args:
        train: the parts that learn; the others are frozen, a quantizer's codebook included. The
            look is the last decoder and the likelihood: what the codes do not depend on.
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
        batch_size: images, or signals of a prior, in one optimizer step, over all processes and
            micro-batches.
        seed: seed of the weights, the order of the data and every random draw.
        precision: "bf16" runs the networks under bfloat16 autocast; weights stay float32.
        clip_norm: largest global gradient norm; longer gradients are scaled down; 0 is off.
        accumulate: micro-batches that one optimizer step is split into.
        average_decay: decay per step of the averaged weights that the saved model uses; 0 is
            off.
        checkpoint_every: optimizer steps between checkpoints.
        keep_checkpoints: how many of the newest checkpoints are kept.
        log_every: optimizer steps between lines of the log, each a mean over these steps.
        stages: parts of a tokenizer that learn first, in order; after the last stage everything
            learns. A prior has none.
        tensorboard: also write TensorBoard events into the run's folder.
        channels_last: run the convolutions in the channels-last memory format, which is about
            6 % faster on a CPU (`cifar10` and `photos`, one thread).
        threads: CPU threads of each process; 0 leaves PyTorch's choice.
        max_minutes: stop in good order after this many minutes of training, those before --resume
            included; the schedule ends then too. 0 is no limit.
        exchange: share of the signals that a tokenizer hears as decoded with the attributes of
            another signal, after a quarter of the steps; see `Exchange`. 0 is off, as of priors.
        memory_check: measure a step before the run, and refuse a run that has not enough memory.
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
    memory_check: bool = True
    exchange: Annotated[float, Ge(0), Le(1)] = 0.0


@component("captions", "captions")
@dataclass(kw_only=True)
class CaptionOptions:
    """How a prior reads captions.

    Args:
        vocabulary: most tokens that byte-pair encoding learns from the captions.
        length: tokens of the context; longer captions are cut; none takes those of the longest
            training caption, at most 64.
    """

    component_kind: ClassVar[str] = "captions"

    vocabulary: Annotated[int, Ge(8), Le(2**20)] = 1024
    length: Annotated[int, Ge(1), Le(4096)] | None = None


@component("held_out", "held_out")
@dataclass(kw_only=True)
class HeldOutOptions:
    """What a prior is measured on while it learns from the rest.

    Args:
        share: fraction of the signals that is held out, drawn by the seed; without effect where
            a file of held-out tokens is given.
        most: largest number of signals measured.
        every: optimizer steps between measurements.
    """

    component_kind: ClassVar[str] = "held_out"

    share: Annotated[float, Gt(0), Le(0.5)] = 0.05
    most: Annotated[int, Ge(1)] = 2000
    every: Annotated[int, Ge(1)] = 250


@component("context", "context")
@dataclass(kw_only=True)
class ContextOptions:
    """How much of a signal a prior sees at once.

    Args:
        positions: codes of the coarsest level, along each axis; of larger signals a part at random
            is learned at each visit. Of signals of one axis the first part is measured; None:
            whole signals. Signals of several axes are cropped where they differ in size, and then
            None: 16 codes of the finest level.
    """

    component_kind: ClassVar[str] = "context"

    positions: Annotated[int, Ge(1)] | None = None


__all__ = [
    "PARTS",
    "CaptionOptions",
    "ContextOptions",
    "HeldOutOptions",
    "Part",
    "Stage",
    "TrainingOptions",
]
