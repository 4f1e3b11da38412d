"""The workloads of tokenizers and priors, so that a step can be tried before a run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from accelerate import Accelerator

from vocabula import registry
from vocabula.data import Batch, SignalData, Source
from vocabula.data.code_batches import train_code_batches
from vocabula.priors import Prior
from vocabula.priors.data import PriorData
from vocabula.signals import Signal
from vocabula.tokenizers import build_tokenizer
from vocabula.training.config import RunConfig
from vocabula.training.forecast import Workload
from vocabula.training.looks.checks import least_side
from vocabula.training.looks.looks import LookSettings
from vocabula.training.prior_session import build_prior
from vocabula.training.prior_trainer import ConditionedBatch, PriorTrainer
from vocabula.training.probe import Size
from vocabula.training.sections import networks
from vocabula.training.settings import TrainingOptions
from vocabula.training.start import Start, begin_as
from vocabula.training.trainer import Trainer

IMAGE = "image"
"""The signal of configurations that name none."""


def make_trainer(
    config: RunConfig,
    channels: int,
    options: TrainingOptions,
    accelerator: Accelerator,
    known: Mapping[str, Any] = MappingProxyType({}),
    looks: LookSettings | None = None,
    start: Start | None = None,
) -> Trainer:
    """The trainer of a tokenizer; `known` is from `known_attributes`, `looks` checked.

    Raises:
        OptionError: the tokenizer of the start has other networks.
    """
    tokenizer = build_tokenizer(config.sections, channels, **known)
    if start is not None:
        begin_as(tokenizer, start)
    return Trainer(
        tokenizer,
        options=options,
        optimizer=config.build("optimizer"),
        schedule=config.build("schedule"),
        accelerator=accelerator,
        looks=looks,
    )


def known_attributes(config: RunConfig, source: Source) -> dict[str, Any]:
    """The attributes of the data, for a decoder that takes them: options of `build_tokenizer`.

    Other decoders need none, and then the data are not looked at.
    """
    decoders = [str(table["decoder"]["name"]) for _, table in networks(config.sections)]
    if not any(
        getattr(registry.lookup("decoder", name), "conditional", False) for name in decoders
    ):
        return {}
    return {"attributes": source.attribute_values(), "names": source.names}


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
    reading: SignalData,
    source: Source,
    options: TrainingOptions,
    accelerator: Accelerator,
    known: Mapping[str, Any] = MappingProxyType({}),
    looks: LookSettings | None = None,
) -> Workload:
    """The steps of a tokenizer on signals; `known` and `looks` are those of `make_trainer`.

    Raises:
        DataError: the signals do not fit the options that say how they are read.
    """
    extent, signal = reading.extent(source), signal_of(config, source.channels)

    def make(options: TrainingOptions, alone: Accelerator) -> Trainer:
        trainer = make_trainer(config, source.channels, options, alone, known, looks)
        trainer.start_now()
        return trainer

    def batch(size: Size) -> Batch:
        count, extent = size[0], size[1:]
        values = known.get("attributes", {})
        return Batch(
            signal.random(count, extent),
            {name: torch.randint(most, (count,)) for name, most in values.items()},
            torch.arange(count),
            mask=torch.ones(count, *extent, dtype=torch.bool) if signal.pads else None,
        )

    cut = f"a smaller data.{reading.sized_by}, " if reading.sized_by else ""
    return Workload(
        make=make,
        batch=batch,
        size=(_items(options, accelerator), *extent),
        stored=reading.kept_bytes(source) if accelerator.device.type == "cpu" else 0,
        unit=signal.plural,
        smaller=f"use {cut}a smaller quantizer.codebook_size or smaller networks",
        least=least_side(looks, signal),
    )


def signal_of(config: RunConfig, channels: int) -> Signal:
    """The kind of signal of a configuration."""
    settings = config.sections.get("signal", IMAGE)
    signal: Signal = registry.build("signal", settings, path="signal", channels=channels)
    return signal


def plural_of(config: RunConfig) -> str:
    """What the signals of a configuration are called."""
    return signal_of(config, 1).plural


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
