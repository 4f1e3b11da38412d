"""Builds a tokenizer from settings and fills in widths that follow from one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.levels import level_names
from vocabula.quantizers.multi_scale import MultiScaleQuantizer
from vocabula.signals import Signal
from vocabula.tokenizers.base import SignalTokenizer
from vocabula.tokenizers.hierarchical import HierarchicalTokenizer
from vocabula.tokenizers.independent import IndependentLevel, IndependentTokenizer
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.multi_scale import MultiScaleTokenizer
from vocabula.tokenizers.tokenizer import Tokenizer
from vocabula.tokenizers.widths import keeps_width, with_width

PARTS = ("encoder", "quantizer", "decoder", "likelihood")
IMAGE = "image"
"""The kind of signal where settings name none."""
FEATURES = 128
"""Channels that pass between the levels of a hierarchy, up and down, unless settings say."""


def build_tokenizer(
    specs: Mapping[str, Any],
    channels: int,
    *,
    attributes: Mapping[str, int] | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> SignalTokenizer:
    """Build the parts and connect them.

    The quantizer comes first, since it knows its width; the encoder's ``in_channels`` and ``dim``
    and the decoder's ``dim`` and ``out_channels`` follow unless the settings give them. With the
    encoder ``identity`` the quantizer's ``dim`` follows from the channels. Between
    levels pass `FEATURES` channels unless ``level2.encoder.dim`` (upwards) or
    ``level1.decoder.out_channels`` (downwards) say otherwise.

    Args:
        specs: for each of ``encoder``, ``quantizer``, ``decoder`` and, if wanted, ``likelihood``
            a registered name, a ``{"name": ..., option: value}`` mapping or a ready-made part.
            ``signal`` names another kind of signal than images, such as ``vector``, and ``scaling``
            how its values are scaled, ``none`` or a registered name.
            For a `HierarchicalTokenizer` ``level1`` (the coarsest), ``level2``, ... each hold
            their encoder, quantizer and decoder; for an `IndependentTokenizer` each has the name
            ``independent`` besides. Other keys are not looked at.
        channels: channels of the signal.
        attributes: number of values of each attribute of the data, for a decoder that takes them.
        names: what these values are called, where they have names.

    Raises:
        OptionError: a part is missing, unknown, has a wrong option or does not fit the others.

    Example:
        >>> specs = {"encoder": "vqvae", "decoder": "vqvae",
        ...          "quantizer": {"name": "gaussian", "dim": 64}}
        >>> build_tokenizer(specs, channels=3).encoder.dim
        64
    """
    levels = level_names(specs)
    known: dict[str, Any] = {} if attributes is None else {"attributes": attributes, "names": names}
    if levels:
        return _hierarchical({name: specs[name] for name in levels}, specs, channels, known)
    _require_parts(specs, "")
    if keeps_width(specs["encoder"]):
        specs = {**specs, "quantizer": with_width(specs["quantizer"], channels)}
    quantizer = _build("quantizer", specs)
    settings, scaling = specs.get("signal"), specs.get("scaling")
    signal, rate = _signal(settings, channels)
    likelihood = _likelihood(specs, **rate)
    kind = MultiScaleTokenizer if isinstance(quantizer, MultiScaleQuantizer) else Tokenizer
    return kind(
        _build("encoder", specs, in_channels=channels, dim=quantizer.dim, **rate),
        quantizer,
        _build(
            "decoder",
            specs,
            dim=quantizer.dim,
            out_channels=likelihood.parameter_channels(channels),
            axes=len(signal.axes),
            **known,
        ),
        likelihood=likelihood,
        signal=signal if settings else None,  # of images, as earlier releases saved it
        scaling=scaling and registry.build("scaling", scaling, path="scaling", channels=channels),
    )


def _hierarchical(
    tables: dict[str, Any], specs: Mapping[str, Any], channels: int, known: Mapping[str, Any]
) -> SignalTokenizer:
    """The levels of `tables`, the coarsest first, and the likelihood of `specs`."""
    for name, table in tables.items():
        _require_parts(table, f"{name}.")
    settings = specs.get("signal")
    signal, rate = _signal(settings, channels)
    likelihood = _likelihood(specs, **rate)
    wired = {**known, "axes": len(signal.axes)}
    kinds = {registry.lookup("level", table.get("name", "level")) for table in tables.values()}
    if IndependentLevel in kinds:
        if len(kinds) > 1:
            raise OptionError(
                'levels: expected the name "independent" for all levels or for none, got both; '
                "give it to all"
            )
        out = likelihood.parameter_channels(channels)
        alone = [
            _independent(name, table, channels, out, rate, wired) for name, table in tables.items()
        ]
        return IndependentTokenizer(
            alone, likelihood=likelihood, signal=signal if settings else None
        )
    below, encoders = channels, []
    for name in reversed(tables):
        sizes = {"in_channels": below, "dim": FEATURES, **rate}
        encoder = _build("encoder", tables[name], f"{name}.", **sizes)
        encoders.append(encoder)
        below = encoder.dim
    above, levels = 0, []
    for position, (name, table) in enumerate(tables.items(), start=1):
        quantizer = _build("quantizer", table, f"{name}.")
        last = position == len(tables)
        out = likelihood.parameter_channels(channels) if last else FEATURES
        dim = quantizer.dim + above
        decoder = _build("decoder", table, f"{name}.", dim=dim, out_channels=out, **wired)
        kind = registry.lookup("level", table.get("name", "level"))
        levels.append(kind(encoders.pop(), quantizer, decoder))
        above = decoder.out_channels
    return HierarchicalTokenizer(levels, likelihood=likelihood, signal=signal if settings else None)


def _independent(
    name: str,
    table: Mapping[str, Any],
    channels: int,
    out: int,
    rate: Mapping[str, Any],
    wired: Mapping[str, Any],
) -> IndependentLevel:
    """One independent level: its quantizer, and networks between it and the signal."""
    quantizer = _build("quantizer", table, f"{name}.")
    sizes = {"in_channels": channels, "dim": quantizer.dim, **rate}
    return IndependentLevel(
        _build("encoder", table, f"{name}.", **sizes),
        quantizer,
        _build("decoder", table, f"{name}.", dim=quantizer.dim, out_channels=out, **wired),
    )


def _signal(settings: Any, channels: int) -> tuple[Signal, dict[str, Any]]:
    """The kind of signal, and its sample rate as an option of networks, where it has one."""
    signal: Signal = registry.build("signal", settings or IMAGE, path="signal", channels=channels)
    return signal, {} if signal.sample_rate is None else {"sample_rate": signal.sample_rate}


def _likelihood(specs: Mapping[str, Any], **wired: Any) -> Likelihood:
    settings = specs.get("likelihood") or "gaussian"
    likelihood: Likelihood = registry.build("likelihood", settings, path="likelihood", **wired)
    return likelihood


def _build(part: str, specs: Mapping[str, Any], prefix: str = "", **wired: Any) -> Any:
    return registry.build(part, specs[part], path=f"{prefix}{part}", **wired)


def _require_parts(specs: Any, prefix: str) -> None:
    """Check that there are settings for each network and the quantizer."""
    given = specs if isinstance(specs, Mapping) else {}
    for part in PARTS[:3]:
        if part not in given:
            raise OptionError(
                f"{prefix.rstrip('.') or 'tokenizer'}: expected settings for "
                f"{', '.join(PARTS[:3])}, got no {part}; "
                f"name one of {', '.join(registry.names(part))}"
            )
