"""A tokenizer from settings: the widths that follow from one another are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.tokenizers.tokenizer import Tokenizer

PARTS = ("encoder", "quantizer", "decoder", "likelihood")


def build_tokenizer(specs: Mapping[str, Any], channels: int) -> Tokenizer:
    """Build the parts and connect them.

    The quantizer comes first, since it knows its width; the encoder's ``in_channels`` and ``dim``
    and the decoder's ``dim`` and ``out_channels`` follow unless the settings give them.

    Args:
        specs: for each of ``encoder``, ``quantizer``, ``decoder`` and, if wanted, ``likelihood``
            a registered name, a ``{"name": ..., option: value}`` mapping or a ready-made part.
            Other keys are not looked at.
        channels: channels of the images.

    Raises:
        OptionError: a part is missing, unknown, has a wrong option or does not fit the others.

    Example:
        >>> specs = {"encoder": "vqvae", "decoder": "vqvae",
        ...          "quantizer": {"name": "gaussian", "dim": 64}}
        >>> build_tokenizer(specs, channels=3).encoder.dim
        64
    """
    for part in PARTS[:3]:
        if part not in specs:
            raise OptionError(
                f"tokenizer: expected settings for {', '.join(PARTS[:3])}, got no {part}; "
                f"name one of {', '.join(registry.names(part))}"
            )
    quantizer = registry.build("quantizer", specs["quantizer"], path="quantizer")
    likelihood = registry.build(
        "likelihood", specs.get("likelihood") or "gaussian", path="likelihood"
    )
    encoder = registry.build(
        "encoder", specs["encoder"], path="encoder", in_channels=channels, dim=quantizer.dim
    )
    decoder = registry.build(
        "decoder",
        specs["decoder"],
        path="decoder",
        dim=quantizer.dim,
        out_channels=likelihood.parameter_channels(channels),
    )
    return Tokenizer(encoder, quantizer, decoder, likelihood=likelihood)
