"""Exchanged attributes: the encoder hears signals as the decoder makes them sound elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vocabula.data import Batch
from vocabula.errors import OptionError
from vocabula.signals import Condition
from vocabula.tokenizers import SignalTokenizer
from vocabula.training.settings import TrainingOptions

BEGINS = 0.25
"""The share of the steps before the first exchange, in which the decoder learns to speak."""


def check_exchange(options: TrainingOptions, attributes: Mapping[str, int]) -> None:
    """Refuse an exchange without attributes.

    Args:
        options: how the run is carried out.
        attributes: what a decoder takes.

    Raises:
        OptionError: it takes none.
    """
    if options.exchange and not attributes:
        raise OptionError(
            "training.exchange: expected a decoder that takes attributes, such as vocos_film, got "
            "one that takes none; use it, or training.exchange=0"
        )


class Exchange:
    """In training, some signals are heard with the attributes of others.

    ::

        x, a --encode--> codes --decode with a' of another signal--> x' --encode--> codes'
        loss(decode(codes', a), x)                         no gradient passes through x'

    With the speaker as the attribute, the encoder hears x in another voice and the decoder, told
    the speaker, has to restore x. So codes come to mean the same in every voice, and the decoder
    meets, with every speaker, codes that were made from the voices of all.

    Args:
        tokenizer: what learns; its last decoder takes attributes.
        options: how the run is carried out.

    Raises:
        OptionError: the decoder takes no attributes.

    Source: back-translation, Sennrich et al. 2016, "Improving Neural Machine Translation Models
    with Monolingual Data", between voices in place of languages; as in Neekhara et al. 2023,
    "SelfVC: Voice Conversion With Iterative Refinement using Self Transformations", with the
    decoder itself as the source of other voices and without its losses of pitch.
    """

    def __init__(self, tokenizer: SignalTokenizer, options: TrainingOptions) -> None:
        check_exchange(options, tokenizer.decoder_attributes)
        self.tokenizer, self.share = tokenizer, options.exchange
        self.begins = max(1, round(BEGINS * options.steps))

    def heard(self, part: Batch, known: Condition, step: int) -> Tensor | None:
        """What the encoder hears (B, C, *extent) in a step; None: the signals as they are.

        The tokenizer is in evaluation mode afterwards, unless the result is None.

        Args:
            part: the signals.
            known: their attributes.
            step: number of the step, from 0.
        """
        if step < self.begins:
            return None
        count, device = len(part), part.values.device
        others = known.rows(torch.randperm(count).to(device))
        chosen = (torch.rand(count) < self.share).to(device)
        self.tokenizer.eval()
        made = self.tokenizer.exchanged(part.values, part.mask, others)
        x = self.tokenizer.signal.to_values(part.values)
        return torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), made.to(x.dtype), x)
