"""The known part of an image of which a part is kept: pixels, and codes made of them alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, avg_pool2d, pad

from vocabula.budgets import ENCODED_PIXELS
from vocabula.errors import DataError, OptionError
from vocabula.levels import levels_of
from vocabula.priors.sampling import Known
from vocabula.tokenizers import SignalTokenizer


def check_completes(tokenizer: SignalTokenizer) -> None:
    """Refuse to complete signals other than images: no part of a vector can be kept.

    Raises:
        OptionError: the tokenizer is one of signals without height and width.
    """
    if len(tokenizer.strides) != 2:
        raise OptionError(
            f"complete: expected a prior of images, got one of {tokenizer.signal.plural}; draw "
            "whole ones with vocabula sample"
        )


def check_keep(keep: Tensor, images: Tensor) -> Tensor:
    """A mask of pixels (B, H, W) for images (B, C, H, W), checked.

    Raises:
        DataError: it has another shape or type.
    """
    batch, _, height, width = images.shape
    if keep.dtype != torch.bool or tuple(keep.shape) not in (
        (height, width),
        (batch, height, width),
    ):
        raise DataError(
            f"keep: expected booleans of shape {(height, width)} or {(batch, height, width)}, got "
            f"{str(keep.dtype).removeprefix('torch.')} of shape {tuple(keep.shape)}; make it true "
            "where a pixel is kept"
        )
    return keep.expand(batch, height, width)


@torch.no_grad()
def known_codes(tokenizer: SignalTokenizer, images: Tensor, keep: Tensor) -> tuple[Known, ...]:
    """The codes of each level, the coarsest first, and where they are known.

    A code is known if all its pixels are kept. Before encoding, other pixels are replaced by their
    surroundings (see `fill_hidden`), as an encoder sees more than a code's pixels.

    Args:
        tokenizer: the tokenizer, on the device of the images.
        images: (B, C, H, W) in [0, 1].
        keep: (B, H, W) booleans, true where a pixel is kept.

    Raises:
        DataError: no code is known, or all are.
    """
    levels, grids = tokenizer.levels, tokenizer.grids(*images.shape[-2:])
    pairs = zip(levels, grids, strict=True)
    masks = [known_positions(keep, level.stride, grid) for level, grid in pairs]
    if not any(bool(mask.any()) for mask in masks):
        side = levels[-1].stride
        raise DataError(
            f"keep: expected a part that holds a whole code, {side} x {side} pixels, got less; "
            "keep more"
        )
    if all(bool(mask.all()) for mask in masks):
        raise DataError("keep: expected something left to draw, got all pixels; keep fewer")
    at_once = max(1, ENCODED_PIXELS // images[0, 0].numel())
    encoded = [
        levels_of(tokenizer.encode(fill_hidden(*part)))
        for part in zip(images.split(at_once), keep.split(at_once), strict=True)
    ]
    codes = (torch.cat(parts) for parts in zip(*encoded, strict=True))
    return tuple(zip(codes, masks, strict=True))


def known_positions(keep: Tensor, stride: int | Fraction, grid: tuple[int, ...]) -> Tensor:
    """Where codes are known: a mask (B, h, w), true where every pixel of a code is kept.

    Args:
        keep: (B, H, W) booleans, true where a pixel is kept.
        stride: pixels per code along each axis; a fraction for cells that overlap.
        grid: (h, w); its pixels beyond H and W are repetitions and do not count.
    """
    below, right = (int(n * stride) - side for n, side in zip(grid, keep.shape[1:], strict=True))
    hidden = pad((~keep).float(), (0, right, 0, below))
    return adaptive_max_pool2d(hidden[:, None], grid)[:, 0] == 0


def fill_hidden(images: Tensor, keep: Tensor) -> Tensor:
    """Images whose hidden pixels are replaced by their surroundings, ring by ring inwards.

    Each hidden pixel gets the mean of its kept or filled neighbours among the eight around it, so
    that an encoder sees neither a trace of hidden pixels nor an edge around them. An image without
    kept pixels becomes grey.

    Args:
        images: (B, C, H, W) in [0, 1].
        keep: (B, H, W) booleans, true where a pixel is kept.
    """
    weight = keep[:, None].to(images)
    values = torch.where(keep[:, None], images, torch.zeros_like(images))
    while True:
        around = avg_pool2d(weight, 3, stride=1, padding=1)
        fresh = (weight == 0) & (around > 0)
        if not bool(fresh.any()):
            return torch.where(weight > 0, values, torch.full_like(values, 0.5))
        mean = avg_pool2d(values, 3, stride=1, padding=1) / around.clamp_min(1e-12)
        values = torch.where(fresh, mean, values)
        weight = weight + fresh.to(weight)


@torch.no_grad()
def known_beginning(
    tokenizer: SignalTokenizer, x: Tensor, grids: Sequence[tuple[int, ...]], copies: int
) -> tuple[Known, ...]:
    """The codes of each level of beginnings (B, C, T) of one axis, as the known first of a grid.

    Args:
        tokenizer: the tokenizer, on the device of the signals.
        x: the beginnings, of whole codes of every level.
        grids: of the whole signals at each level.
        copies: how often each comes, one after the other.
    """
    found = []
    for codes, (count,) in zip(levels_of(tokenizer.encode(x)), grids, strict=True):
        own = codes.repeat_interleave(copies, 0)
        whole = own.new_zeros(len(own), count, *own.shape[2:])
        whole[:, : own.shape[1]] = own
        mask = torch.arange(count, device=own.device) < own.shape[1]
        found.append((whole, mask.expand(len(own), count)))
    return tuple(found)
