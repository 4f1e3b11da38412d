"""Refuses looks that do not fit the rest of a configuration, and makes those that do."""

from __future__ import annotations

from collections.abc import Sequence

from accelerate import Accelerator

from vocabula.errors import OptionError
from vocabula.nn.discriminators import (
    DiscriminatorSettings,
    PatchSettings,
    SpectrumSettings,
)
from vocabula.signals import Signal
from vocabula.tokenizers import SignalTokenizer
from vocabula.training.config import RunConfig
from vocabula.training.looks.adversary import Adversary
from vocabula.training.looks.looks import Looks, LookSettings
from vocabula.training.looks.options import AdversaryOptions
from vocabula.training.settings import TrainingOptions
from vocabula.training.stages import LOOK


def look_settings(config: RunConfig) -> LookSettings | None:
    """The sections of a configuration, built; None where it has neither.

    Raises:
        OptionError: feature matching has no adversary, or a perceptual network is missing.
    """
    given = {
        name: config.build(name) for name in ("perceptual", "adversary") if name in config.sections
    }
    if not given:
        return None
    settings = LookSettings(**given)
    perceptual = settings.perceptual
    if perceptual is not None and perceptual.needs_adversary and settings.adversary is None:
        raise OptionError(
            "perceptual: expected an adversary, whose discriminator features compares, got none; "
            "add a section adversary, or choose another perceptual"
        )
    return settings


def check_looks(
    config: RunConfig, signal: Signal, extent: Sequence[int], options: TrainingOptions
) -> LookSettings | None:
    """The settings of a configuration, checked against its signals and its course.

    Args:
        config: the configuration.
        signal: the kind of signal, with its channels.
        extent: of the signals, or crops, of the training.
        options: how the run is carried out.

    Raises:
        OptionError: they do not fit.
    """
    settings = look_settings(config)
    if settings is None:
        return None
    if settings.perceptual is not None:
        settings.perceptual.check(len(signal.axes), signal.channels, extent)
    if settings.adversary is not None:
        _check_course(settings.adversary, options)
        _check_field(settings.adversary, signal, extent)
        likelihood = config.build("likelihood")
        if likelihood.parameter_channels(signal.channels) != signal.channels:
            raise OptionError(
                f"adversary: expected a likelihood whose decoder gives the signal itself, got "
                f"{config.sections['likelihood']['name']}; use likelihood=gaussian"
            )
    return settings


def least_side(settings: LookSettings | None, signal: Signal) -> int:
    """The smallest side of a signal that looks take; 1 without any."""
    if settings is None:
        return 1
    least = 1 if settings.perceptual is None else settings.perceptual.least
    return least if settings.adversary is None else max(least, _field(settings.adversary, signal))


def make_looks(
    settings: LookSettings,
    tokenizer: SignalTokenizer,
    options: TrainingOptions,
    accelerator: Accelerator,
) -> Looks:
    """The looks of a training.

    Raises:
        OptionError: there is no discriminator for the signal.
    """
    adversary, signal = None, tokenizer.signal
    if settings.adversary is not None:
        network = discriminator_settings(settings.adversary, signal).build(signal.channels)
        adversary = Adversary(
            settings.adversary,
            network,
            accelerator,
            centre=signal.centre,
            bf16=options.precision == "bf16",
        )
    return Looks(settings, tokenizer, accelerator, adversary=adversary, steps=options.steps)


def discriminator_settings(options: AdversaryOptions, signal: Signal) -> DiscriminatorSettings:
    """The discriminator of an adversary, by the axes of the signal where none is named.

    Raises:
        OptionError: there is none, or it takes other axes.
    """
    axes = len(signal.axes)
    known: dict[int, type[DiscriminatorSettings]] = {1: SpectrumSettings, 2: PatchSettings}
    if options.discriminator is None and axes in known:
        return known[axes]()
    if options.discriminator is None or options.discriminator.axes != axes:
        wanted = 2 if options.discriminator is None else options.discriminator.axes
        raise OptionError(
            f"adversary.discriminator: expected signals of {wanted} axes, got {signal.plural} with "
            f"{axes}; " + ("leave it out" if axes in known else "leave the adversary out")
        )
    return options.discriminator


def _check_course(adversary: AdversaryOptions, options: TrainingOptions) -> None:
    """Refuse an adversary that begins too late, or plays against a frozen decoder."""
    begin = adversary.begins(options.steps)
    if begin + adversary.warmup >= options.steps:
        raise OptionError(
            f"adversary: expected start and warmup to end before training.steps={options.steps}, "
            f"got {begin} + {adversary.warmup}; use an earlier adversary.start or a shorter "
            "adversary.warmup"
        )
    end = 0
    for index, stage in enumerate(options.stages):
        end += stage.steps
        if end > begin and not {"decoder", LOOK} & set(stage.train):
            late = end + adversary.warmup >= options.steps
            advice = "let it learn there" if late else f"use adversary.start={end}"
            raise OptionError(
                f"adversary: expected a decoder that learns from step {begin} on, got one frozen "
                f"by training.stages.{index} until step {end}; {advice}"
            )


def _check_field(adversary: AdversaryOptions, signal: Signal, extent: Sequence[int]) -> None:
    """Refuse signals, or cuts of them, smaller than what one logit sees."""
    field = _field(adversary, signal)
    if 0 < adversary.crop < field:
        raise OptionError(
            f"adversary.crop: expected at least the {field} elements that a logit of its "
            f"discriminator sees, or 0, got {adversary.crop}; use {field}"
        )
    if min(extent) < field:
        raise OptionError(
            f"adversary: expected sides of at least the {field} elements that a logit of its "
            f"discriminator sees, got {' x '.join(map(str, extent))}; use fewer "
            "adversary.discriminator.layers or larger crops"
        )


def _field(adversary: AdversaryOptions, signal: Signal) -> int:
    """Elements along each axis that one logit of the discriminator sees."""
    return discriminator_settings(adversary, signal).build(signal.channels).field
