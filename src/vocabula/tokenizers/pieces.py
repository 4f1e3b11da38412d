"""Long recordings piece by piece: the codes and the wave of the whole in constant memory.

::

    parts ... | around | block | around | ...     the network sees a block and the `context` around
                       +-codes-+                   it; what it makes of the context is dropped

Parts come in any length, as they are read from a file. Networks that look ahead pass as well as
causal ones: all that is needed is that they state their context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vocabula.budgets import TILE_PIXELS
from vocabula.errors import DataError, OptionError
from vocabula.signals import Condition
from vocabula.tokenizers.tokenizer import Tokenizer

_LEAST_CONTEXTS = 8
"""Blocks in contexts, at least: with 8, a quarter more than the block is computed."""


@torch.no_grad()
def encode_pieces(tokenizer: Tokenizer, parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Codes (B, n, *code_shape) of consecutive parts, side by side those of the whole.

    Args:
        tokenizer: in evaluation mode, with one axis.
        parts: (B, C, T) of any lengths from 1, one after the other.

    Yields:
        The codes of some seconds each.

    Raises:
        OptionError: the encoder may depend on everything.
        DataError: there is no sample, or see `Signal.refuse`.
    """
    stride = tokenizer.stride
    around = _around(tokenizer.encode_context, "encoder", stride)
    block = max(TILE_PIXELS // stride, _LEAST_CONTEXTS * around, 1)
    for seen, kept in _blocks(parts, 2, stride, block, around):
        yield tokenizer.encode(seen)[:, kept]


@torch.no_grad()
def decode_pieces(
    tokenizer: Tokenizer,
    codes: Iterable[Tensor],
    condition: Condition | None = None,
    *,
    size: int | None = None,
) -> Iterator[Tensor]:
    """Signals (B, C, T) of consecutive codes, side by side those of the whole.

    Args:
        tokenizer: in evaluation mode, with one axis.
        codes: (B, n, *code_shape) of any numbers from 1, one after the other.
        condition: what is known of the signals, for a decoder that takes it.
        size: samples of the whole; None keeps all that the codes cover.

    Raises:
        OptionError: the decoder may depend on everything.
        DataError: there is no code.
        CodeError: codes of another shape, or that are not in their book.
    """
    stride, given = tokenizer.stride, 0
    around = _around(tokenizer.decode_context, "decoder", stride)
    block = max(TILE_PIXELS // stride, _LEAST_CONTEXTS * around, 1)
    for seen, kept in _blocks(codes, 1, 1, block, around):
        whole = tokenizer.decode(seen, condition)
        wave = whole[..., kept.start * stride : kept.stop and kept.stop * stride]
        wave = wave if size is None else wave[..., : max(0, size - given)]
        given += wave.shape[-1]
        yield wave


def _around(context: int | None, role: str, stride: int) -> int:
    """Positions on each side that a network depends on."""
    if context is None:
        raise OptionError(
            f"pieces: expected an {role} that states its context, got one that may depend on "
            "everything; pass whole recordings"
        )
    return -(-context // stride)


def _blocks(
    parts: Iterable[Tensor], axis: int, unit: int, block: int, around: int
) -> Iterator[tuple[Tensor, slice]]:
    """What the network sees for each block, and which positions of it are the block.

    Args:
        parts: consecutive parts of a signal, or of its codes.
        axis: along which they follow one another.
        unit: elements per position.
        block: positions of a block.
        around: positions of context on each side.
    """
    held: list[Tensor] = []
    before, count = 0, 0

    def joined() -> Tensor:
        return held[0] if len(held) == 1 else torch.cat(held, dim=axis)

    for part in parts:
        held.append(part)
        count += part.shape[axis]
        while count >= (before + block + around) * unit:
            seen = joined()
            length = (before + block + around) * unit
            yield seen.narrow(axis, 0, length), slice(before, before + block)
            first = max(0, before + block - around) * unit
            before = min(around, before + block)
            held, count = [seen.narrow(axis, first, count - first).clone()], count - first
    if not count:
        raise DataError("pieces: expected at least one sample, got none; skip empty recordings")
    if count > before * unit:
        yield joined(), slice(before, None)
