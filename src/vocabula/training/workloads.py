"""The workloads of tokenizers and priors, so that a step can be tried before a run."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from vocabula.data import ImageData, ImageSource
from vocabula.data.code_batches import train_code_batches
from vocabula.priors import Prior
from vocabula.priors.data import PriorData
from vocabula.tokenizers import build_tokenizer
from vocabula.training.config import RunConfig
from vocabula.training.forecast import Workload
from vocabula.training.prior_session import build_prior
from vocabula.training.prior_trainer import ConditionedBatch, PriorTrainer
from vocabula.training.probe import Size
from vocabula.training.settings import TrainingOptions
from vocabula.training.trainer import Trainer

_LOOKED_AT = 32  # images whose size stands for that of all


def make_trainer(
    config: RunConfig, channels: int, options: TrainingOptions, accelerator: Accelerator
) -> Trainer:
    """The trainer of a new tokenizer."""
    return Trainer(
        build_tokenizer(config.sections, channels),
        options=options,
        optimizer=config.build("optimizer"),
        schedule=config.build("schedule"),
        accelerator=accelerator,
    )


def make_prior_trainer(
    config: RunConfig, prior: Prior, options: TrainingOptions, accelerator: Accelerator
) -> PriorTrainer:
    """The trainer of a prior."""
    return PriorTrainer(
        prior,
        options=options,
        optimizer=config.build("optimizer"),
        schedule=config.build("schedule"),
        accelerator=accelerator,
    )


def tokenizer_workload(
    config: RunConfig,
    images: ImageData,
    source: ImageSource,
    options: TrainingOptions,
    accelerator: Accelerator,
) -> Workload:
    """The steps of a tokenizer on images.

    Raises:
        DataError: the images do not fit the options that say how they are read.
    """
    images.check_sizes(source)
    height, width = source.read(0).image.shape[:2] if images.crop is None else (images.crop,) * 2

    def batch(size: Size) -> Tensor:
        return torch.randint(256, (size[0], source.channels, *size[1:]), dtype=torch.uint8)

    return Workload(
        make=lambda options, alone: make_trainer(config, source.channels, options, alone),
        batch=batch,
        size=(_items(options, accelerator), height, width),
        stored=_decoded_bytes(images, source) if accelerator.device.type == "cpu" else 0,
    )


def prior_workload(
    config: RunConfig, data: PriorData, options: TrainingOptions, accelerator: Accelerator
) -> Workload:
    """The steps of a prior on the codes of a level."""

    def batch(size: Size) -> ConditionedBatch:
        batches = train_code_batches(data.fitted.arrays, batch_size=size[0], seed=options.seed)
        return data.fitted.of(next(batches))

    return Workload(
        make=lambda options, alone: make_prior_trainer(
            config, build_prior(config, data), options, alone
        ),
        batch=batch,
        size=(_items(options, accelerator),),
        copies=2,  # the best weights so far, and those aside while these are measured
        unit="signals",
        smaller="use a smaller prior, with fewer layers or a smaller prior.hidden",
    )


def _items(options: TrainingOptions, accelerator: Accelerator) -> int:
    return options.batch_size // accelerator.num_processes // options.accumulate


def _decoded_bytes(images: ImageData, source: ImageSource) -> int:
    """About how many bytes of decoded images the process keeps."""
    if images.cache_limit() == 0 or source.gather(np.zeros(1, np.int64)) is not None:
        return 0
    looked_at = range(min(len(source), _LOOKED_AT))
    mean = sum(source.pixels(index) for index in looked_at) / len(looked_at)
    most = images.cache_limit() * max(1, images.readers())
    return int(min(most, mean * source.channels * len(source)))
