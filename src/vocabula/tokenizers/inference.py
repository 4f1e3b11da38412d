"""Running a tokenizer without training it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch

from vocabula.tokenizers.base import SignalTokenizer


@contextmanager
def inference(tokenizer: SignalTokenizer) -> Iterator[torch.device]:
    """Evaluation mode without gradients; yields the tokenizer's device, restores its mode."""
    training = tokenizer.training
    tokenizer.eval()
    try:
        with torch.inference_mode():
            yield device_of(tokenizer)
    finally:
        tokenizer.train(training)


def device_of(tokenizer: SignalTokenizer) -> torch.device:
    """The device of the tokenizer's first parameter or buffer, or the CPU if it has none."""
    first = next(chain(tokenizer.parameters(), tokenizer.buffers()), None)
    return torch.device("cpu") if first is None else first.device
