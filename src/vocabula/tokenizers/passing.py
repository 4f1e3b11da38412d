"""Signals of one axis that come in parts: what a tokenizer makes of them, tile by tile.

::

    parts ... | around | tile | around | ...    the network sees a tile and the context around it;
                       +-kept-+                 what it makes of the context is dropped

The tiles are those in which a whole signal of that length passes, so codes and values are the same.
`pieces` passes signals whose length is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.data.long_signal import Parts
from vocabula.levels import levels_of
from vocabula.signals import Condition
from vocabula.tokenizers.base import SignalTokenizer
from vocabula.tokenizers.inference import inference
from vocabula.tokenizers.tiles import Tile, tiles


def takes_parts(tokenizer: SignalTokenizer, *, encodes: bool = True, decodes: bool = True) -> bool:
    """Whether long signals can pass in parts: the networks state their context, and codes are made.

    Args:
        tokenizer: of any kind of signal.
        encodes: whether they pass the encoder.
        decodes: whether they pass the decoder.
    """
    return (
        len(tokenizer.strides) == 1
        and not (encodes and tokenizer.encode_context is None)
        and not (decodes and tokenizer.decode_context is None)
        and all(level.codebook_sizes for level in tokenizer.levels)
    )


def windows(
    tokenizer: SignalTokenizer, parts: Parts, *contexts: int | None
) -> Iterator[tuple[Tile, Tensor]]:
    """The tiles of a signal, and what the networks see of each, (1, C, n).

    Args:
        tokenizer: see `takes_parts`.
        parts: the signal.
        contexts: elements around a tile that each network depends on.
    """
    coming, held, start = parts.read(), list[Tensor](), 0
    for tile in _tiles(tokenizer, parts.length, *contexts):
        first = tile.ranges[0].seen_first
        after = first + tile.size[0]
        while start + sum(part.shape[2] for part in held) < after:
            held.append(next(coming))
        joined = held[0] if len(held) == 1 else torch.cat(held, dim=2)
        held, start = [joined[..., first - start :].clone()], first
        yield tile, held[0][..., : after - first]
    for _ in coming:  # only at the end is it known whether the signal is as long as it should be
        pass


def codes_of_parts(tokenizer: SignalTokenizer, parts: Parts) -> list[NDArray[np.integer]]:
    """The codes (1, n, *code_shape) of each level of a signal, of the types that files store.

    Args:
        tokenizer: see `takes_parts`.
        parts: the signal.

    Raises:
        DataError: see `Signal.refuse`.
    """
    specs = [level.spec for level in tokenizer.levels]
    grids = tokenizer.grids(parts.length)
    found: list[NDArray[np.integer]] = [
        np.empty((1, *grid, *spec.code_shape), spec.dtype)
        for spec, grid in zip(specs, grids, strict=True)
    ]
    for tile, seen in windows(tokenizer, parts, tokenizer.encode_context):
        with inference(tokenizer) as device:
            codes = levels_of(tokenizer.encode(seen.to(device)))
        for whole, own, level in zip(found, codes, tokenizer.levels, strict=True):
            kept = own[:, *tile.kept(level.stride)].cpu().numpy()
            (place,) = tile.at(level.stride)
            whole[:, place.start : place.start + kept.shape[1]] = kept
    return found


def decoded_parts(
    tokenizer: SignalTokenizer,
    codes_at: Callable[[Sequence[slice]], Sequence[Tensor]],
    length: int,
    condition: Condition | None = None,
) -> Parts:
    """The signal of codes in parts, in the form that files store.

    Args:
        tokenizer: see `takes_parts`.
        codes_at: gives the codes (1, n, *code_shape) of each level at some of its positions.
        length: of the signal.
        condition: what is known of it, for a decoder that takes it.
    """

    def read() -> Iterator[Tensor]:
        for tile in _tiles(tokenizer, length, tokenizer.decode_context):
            seen = [tile.seen(level.stride)[0] for level in tokenizer.levels]
            with inference(tokenizer) as device:
                levels = [codes.to(device) for codes in codes_at(seen)]
                made = tokenizer.decode_stored(levels, condition, size=tile.size)
                part = made[:, :, *tile.kept()].cpu()
            yield part

    return Parts(length, read)


def reconstructed_parts(
    tokenizer: SignalTokenizer, parts: Parts, condition: Condition | None = None
) -> Parts:
    """A signal after the bottleneck in parts, in the form that files store.

    Args:
        tokenizer: see `takes_parts`.
        parts: the signal.
        condition: what is known of it, for a decoder that takes it.
    """
    signal, contexts = tokenizer.signal, (tokenizer.encode_context, tokenizer.decode_context)

    def read() -> Iterator[Tensor]:
        for tile, seen in windows(tokenizer, parts, *contexts):
            with inference(tokenizer) as device:
                x = signal.to_values(seen.to(device))
                made = tokenizer.reconstruct(x, condition=condition)[:, :, *tile.kept()]
                part = signal.to_stored(made).cpu()
            yield part

    return Parts(parts.length, read)


def _tiles(tokenizer: SignalTokenizer, length: int, *contexts: int | None) -> Iterator[Tile]:
    around = sum(context or 0 for context in contexts)
    return tiles((length,), tokenizer.strides[0], around)
