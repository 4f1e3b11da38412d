"""Counting the codes of a data set, as initial counts of the entropy models."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch

from vocabula.codec.code_order import orders_of
from vocabula.codec.stages import discrete
from vocabula.data import Source
from vocabula.data.long_signal import LongSignal
from vocabula.evaluation.batches import read_bounded
from vocabula.levels import levels_of
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.inference import inference
from vocabula.tokenizers.passing import codes_of_parts, takes_parts

ENOUGH_CODES, ENOUGH_EACH = 2**20, 256
"""Codes of a book after which counting ends: as many, and as many to a codeword."""


def learn_statistics(
    tokenizer: SignalTokenizer,
    source: Source,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> CodeStatistics:
    """Encode signals and count their codes.

    Args:
        tokenizer: a tokenizer with a codebook.
        source: what it was trained on, or signals like those to be compressed.
        batch_size: most signals of a batch; None takes the source's own.
        limit: count the first `limit` signals only; it also ends when a book has `ENOUGH_CODES`
            and, on average, `ENOUGH_EACH` per codeword.
        advance: called with the number of signals of each batch.

    Returns:
        The statistics; `CodeStatistics.save` writes them to the run's folder.

    Raises:
        OptionError: the tokenizer is continuous.
        DataError: the channels differ from the tokenizer's.
    """
    quantizers = discrete(tokenizer)
    sizes = [size for quantizer in quantizers for size in quantizer.codebook_sizes]
    enough = [max(ENOUGH_CODES, ENOUGH_EACH * size) for size in sizes]
    counts = [np.zeros(size, np.int64) for size in sizes]
    parts = takes_parts(tokenizer, decodes=False)
    batches = read_bounded(source, batch_size=batch_size, limit=limit, workers=0, parts=parts)
    with closing(batches), inference(tokenizer) as device:
        for batch in batches:
            if isinstance(batch, LongSignal):
                levels = [torch.from_numpy(own) for own in codes_of_parts(tokenizer, batch.parts)]
            else:
                levels = [*levels_of(tokenizer.encode(batch.values.to(device)))]
            books = [
                book
                for codes, quantizer in zip(levels, quantizers, strict=True)
                for book in codes.reshape(-1, len(quantizer.codebook_sizes)).T.cpu().numpy()
            ]
            for count, codes in zip(counts, books, strict=True):
                count += np.bincount(codes, minlength=len(count))
            advance(len(batch.paths))
            if any(count.sum() >= most for count, most in zip(counts, enough, strict=True)):
                break
        orders = orders_of(quantizers, counts)
    return CodeStatistics(tokenizer.code_names().written, tuple(counts), orders)
