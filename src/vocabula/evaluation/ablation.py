"""The contribution of each level of a hierarchy: images with one level replaced by its mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vocabula.signals import Condition
from vocabula.tokenizers import CodeLevel, SignalTokenizer
from vocabula.types import Reconstruction


def without_each_level(
    tokenizer: SignalTokenizer,
    found: Reconstruction,
    size: tuple[int, int] | torch.Size,
    mean_values: Sequence[Tensor],
    condition: Condition | None = None,
) -> Iterator[tuple[CodeLevel, Tensor]]:
    """Decode images once per level, with that level's values replaced by their mean.

    The other levels keep their codes: nothing is encoded again.

    Args:
        tokenizer: the tokenizer.
        found: the result of `analyse` for the images.
        size: (H, W) of the images.
        mean_values: (D,) of each level, as `Evaluation.mean_values` has them.
        condition: what is known of the images, for a decoder that takes it.

    Yields:
        each level, the coarsest first, with the images (B, C, H, W) in [0, 1]; nothing if there is
        only one level, as no image would remain without it.
    """
    if len(mean_values) < 2:
        return
    kept = [level.values for level in found.levels]
    for i, (level, mean) in enumerate(zip(tokenizer.levels, mean_values, strict=True)):
        replaced = mean.to(kept[i]).expand_as(kept[i])
        values = [*kept[:i], replaced, *kept[i + 1 :]]
        yield level, tokenizer.decode_values(values, condition, size=(size[0], size[1]))
