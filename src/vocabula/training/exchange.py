"""Exchanged attributes: what a decoder makes of codes for another speaker keeps what is said."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from vocabula.errors import OptionError
from vocabula.nn.conditional import ConditionalDecoder
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer, Tokenizer
from vocabula.types import Reconstruction


def check_exchange(tokenizer: SignalTokenizer, weight: float) -> None:
    """Check that attributes can be exchanged, if they are to be.

    Raises:
        OptionError: the tokenizer has several levels, or a decoder that takes no attributes.
    """
    if weight and not (
        isinstance(tokenizer, Tokenizer) and isinstance(tokenizer.decoder, ConditionalDecoder)
    ):
        raise OptionError(
            "training.exchange: expected a tokenizer of one level whose decoder takes attributes, "
            "got another; set training.exchange=0"
        )


def exchange_loss(tokenizer: Tokenizer, result: Reconstruction, condition: Condition) -> Tensor:
    """How far signals with the attributes of others are from the codes that they are decoded from.

    ::

        |E(D(v, a')) - v|^2 / |v|^2      v the values of the codes, a' the attributes of others

    Only the decoder learns from it. Without this, a decoder meets codes of one speaker with the
    voice of another for the first time when voices are exchanged.

    Args:
        tokenizer: of one level, with a decoder that takes attributes.
        result: its reconstruction of signals (B, C, *extent).
        condition: the attributes of these signals; each gets those of another signal.

    Source: Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent adversarial
    networks", section 3.2, in the space of the codes.
    """
    encoder, decoder, level = tokenizer.encoder, tokenizer.decoder, result.levels[0]
    values = level.values.detach()  # (B, *grid, D)
    first_book = level.codes.reshape(*values.shape[:-1], -1)[..., 0]
    inside = (first_book >= 0).to(values.dtype)
    order = torch.randperm(len(values), device=values.device)
    others = Condition({name: own[order] for name, own in condition.attributes.items()})
    known = {"mask": inside.bool()} if encoder.masked and decoder.masked else {}
    y = tokenizer.likelihood.mean(decoder(values.movedim(-1, 1), others, **known))
    if known:  # the last window of a signal reaches into its padding
        y = y * inside.repeat_interleave(tokenizer.strides[0], 1).unsqueeze(1)
    held = {name: own.detach() for name, own in encoder.named_parameters()}
    again = functional_call(encoder, held, (y - tokenizer.signal.centre,), known).movedim(1, -1)
    apart = ((again - values).square().sum(-1) * inside).sum()
    size = (values.square().sum(-1) * inside).sum()
    return apart / size.clamp_min(torch.finfo(size.dtype).tiny)
