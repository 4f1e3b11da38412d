"""Which stages and parts of a composite quantizer take part: dropout, and a number at run time."""

from __future__ import annotations

import torch
from torch import Tensor

from vocabula.errors import CodeError, OptionError
from vocabula.functional import readable
from vocabula.functional.joined_draws import joined_rand, joined_randint
from vocabula.quantizers.base import Quantizer
from vocabula.types import Quantized

ABSENT = -1


def kept_stages(
    items: int, stages: int, dropout: float, least: int, multiple: int, device: torch.device
) -> Tensor:
    """Which stages (items, stages) dropout keeps: all, or the first n.

    With probability `dropout` n is uniform in `least`, ..., `stages`, and then rounded up to a
    multiple of `multiple`.
    """
    first = joined_randint(items, least, stages + 1, device)
    first = -(-first // multiple) * multiple if multiple > 1 else first
    whole = joined_rand(items, 1, device) >= dropout
    return whole | (torch.arange(stages, device=device) < first)


def kept_parts(items: int, parts: int, dropout: float, device: torch.device) -> Tensor:
    """Which parts (items, parts) dropout keeps: each with probability 1 - `dropout`, one always."""
    draws = joined_rand(items, parts, device)
    one = torch.zeros_like(draws, dtype=torch.bool).scatter(1, draws.argmax(1, keepdim=True), True)
    return (draws >= dropout) | one


def check_stages(name: str, stages: int | None, most: int) -> int:
    """The number of stages to use, all for None.

    Raises:
        OptionError: if there are not so many.
    """
    if stages is None:
        return most
    if isinstance(stages, bool) or not isinstance(stages, int) or not 1 <= stages <= most:
        raise OptionError(
            f"{name}, stages: expected a whole number from 1 to {most}, got {stages!r}; "
            "None takes all stages"
        )
    return stages


def check_gaps(name: str, present: Tensor) -> None:
    """Accept codes whose absent stages (N, stages) come after all present ones.

    Raises:
        CodeError: if a stage is absent before a present one.
    """
    gaps = readable(present[:, 1:] & ~present[:, :-1])
    if gaps is not None and bool(gaps.any()):
        raise CodeError(
            f"{name}: expected {ABSENT}, for absent stages, after all present ones, got it before "
            "a present one; drop the last stages, not the first"
        )


def padded(codes: Tensor, books: int) -> Tensor:
    """Codes (N, n) of the first books, as (N, books) with -1 for the others."""
    missing = codes.new_full((codes.shape[0], books - codes.shape[1]), ABSENT)
    return torch.cat([codes, missing], dim=-1) if missing.shape[1] else codes


def absent(part: Quantizer, z: Tensor) -> Quantized:
    """The result of a part that takes no part, for z (N, D)."""
    codes = torch.full((len(z), *part.code_shape), ABSENT, dtype=torch.int64, device=z.device)
    return Quantized(torch.zeros_like(z), codes, z.new_zeros(()))


def both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The rows (N,) of the mask `one`, with the mask or the weights of the other; None: all."""
    if one is None or other is None:
        return other if one is None else one
    return one & other if other.dtype == torch.bool else torch.where(one, other, 0)


def like(rows: Tensor, codes: Tensor) -> Tensor:
    """Rows (N,) with as many dimensions as codes (N, *code_shape)."""
    return rows.reshape(-1, *[1] * (codes.ndim - 1))
