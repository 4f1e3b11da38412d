"""What codewords sound like: each code repeated for a while, and decoded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.evaluation.result import Evaluation
from vocabula.quantizers.dropout import ABSENT
from vocabula.quantizers.residual import ResidualQuantizer
from vocabula.reports.gallery import Gallery, Patch
from vocabula.reports.pictures import data_uri
from vocabula.reports.sounds import Sound, sound_of, spectrogram
from vocabula.signals.audio import Audio
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

MOST_SHOWN, MOST_PLAYED = 64, 16
"""Codewords of a book that are drawn, and of the first book that can be played."""
_CELLS, _EDGE = 24, 6
"""Coarsest codes of a sound, and those at its ends that are cut off."""
_AT_ONCE = 16


def codeword_gallery(tokenizer: SignalTokenizer, result: Evaluation) -> list[Gallery]:
    """The spectrograms of the most used codewords of the first book of every level."""
    signal, first, found = tokenizer.signal, 0, []
    assert isinstance(signal, Audio), "the kind of signal chose this view"
    for level in tokenizer.levels:
        histogram = result.histograms[first]
        codes, counts = histogram.ranked()
        waves = _waves(tokenizer, result, first, codes[:MOST_SHOWN])
        patches = [
            Patch(
                code,
                count,
                f"{count / histogram.total:.2%}",
                data_uri(spectrogram(wave, signal.sample_rate)),
            )
            for code, count, wave in zip(codes.tolist(), counts.tolist(), waves, strict=False)
        ]
        name = level.book_names()[0].capitalize() if len(result.histograms) > 1 else ""
        title = f"{name}: the" if name else "The"
        found.append(Gallery(f"{title} {len(patches)} most used of {len(codes)} in use", patches))
        first += len(level.codebook_sizes)
    return found


def codeword_sounds(tokenizer: SignalTokenizer, result: Evaluation) -> list[Sound]:
    """Players of the most used codewords of the first book; none without codes."""
    signal = tokenizer.signal
    assert isinstance(signal, Audio), "the kind of signal chose this view"
    if not result.histograms:
        return []
    codes = result.histograms[0].ranked()[0][:MOST_PLAYED]
    waves = _waves(tokenizer, result, 0, codes)
    pairs = zip(codes.tolist(), waves, strict=True)
    return [sound_of(wave, signal.sample_rate, f"codeword {code}") for code, wave in pairs]


def _waves(
    tokenizer: SignalTokenizer, result: Evaluation, book: int, codes: Tensor
) -> Sequence[Tensor]:
    """Sounds (C, T) of codes (n,) of a book, repeated."""
    stride = tokenizer.strides[0]
    usual = [int(histogram.ranked()[0][0]) for histogram in result.histograms]
    inner = slice(_EDGE * stride, (_CELLS - _EDGE) * stride)
    waves: list[Tensor] = []
    with inference(tokenizer) as device:
        for part in codes.split(_AT_ONCE):
            joint = torch.tensor(usual).repeat(len(part), 1)
            joint[:, book] = part
            levels = _repeated(tokenizer, joint.to(device), book)
            given = tokenizer.first_values(len(part))
            size = (_CELLS * stride,)
            waves += tokenizer.decode(levels, given, size=size)[..., inner].cpu().unbind()
    return waves


def _repeated(tokenizer: SignalTokenizer, joint: Tensor, book: int) -> list[Tensor]:
    """The codes of every level, (n, cells, *code_shape), that repeat joint (n, all books).

    Stages of a residual quantizer behind the book are absent.
    """
    levels, first = [], 0
    grids = tokenizer.grids(_CELLS * tokenizer.strides[0])
    for level, grid in zip(tokenizer.levels, grids, strict=True):
        own = joint[:, first : first + len(level.codebook_sizes)].clone()
        if isinstance(level.quantizer, ResidualQuantizer) and first <= book < first + own.shape[1]:
            own[:, book - first + level.quantizer.stages[0].books :] = ABSENT
        first += own.shape[1]
        shape = (len(own), *(1 for _ in grid), *level.code_shape)
        levels.append(own.reshape(shape).expand(-1, *grid, *level.code_shape))
    return levels
