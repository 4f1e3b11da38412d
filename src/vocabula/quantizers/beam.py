"""Beam search for the codes of a sum of codewords."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vocabula.quantizers.stage_scales import Stage

#: Elements of one block of candidate sums: 16 MiB in float32, and a few of them at a time.
BLOCK = 2**22
Show = Callable[[int, slice, Tensor], None]


def beam_search(
    z: Tensor, stages: Sequence[Stage], beam: int, show: Show = lambda stage, rows, sums: None
) -> Tensor:
    """Codes of a sum of one codeword per stage that approximates each row.

    At each stage every kept partial sum is extended by the stage's `candidates` for what is left,
    and the `beam` sums of the smallest squared error are kept, ties to the earlier one. Weighted
    bits of codes, where a stage has a rate term, count as error.

    Args:
        z: (N, D).
        stages: quantizers of width D.
        beam: partial sums kept per row, at least 1.
        show: called before each stage with its number, the rows at work (n of N) and their sums
            (n kept, D), those of a row together.

    Returns:
        (N, books) int64, the codes of the stages side by side.
    """
    # A traced graph does not know the number of blocks, so it takes all rows at once.
    rows = max(1, BLOCK // (beam * beam * z.shape[1]))
    blocks = [z] if torch.compiler.is_compiling() else z.split(rows)
    found, first = [], 0
    for block in blocks:
        here = slice(first, first + block.shape[0])
        found.append(_search(block, stages, beam, here, show))
        first = here.stop
    return torch.cat(found)


def _search(z: Tensor, stages: Sequence[Stage], beam: int, rows: slice, show: Show) -> Tensor:
    total = torch.zeros_like(z).unsqueeze(1)  # (N, kept, D)
    codes = torch.zeros_like(total[..., :0], dtype=torch.int64)  # (N, kept, books so far)
    paid = torch.zeros_like(total[..., 0])  # (N, kept)
    for number, stage in enumerate(stages):
        show(number, rows, total.flatten(0, 1))
        kept = total.shape[1]
        left = (z.unsqueeze(1) - total).flatten(0, 1)
        found = stage.candidates(left, beam)
        fresh = found.shape[1]
        values = stage._decode(found.flatten(0, 1)).unflatten(0, (z.shape[0], kept * fresh))
        before = total.repeat_interleave(fresh, 1)
        sums = before + values
        show(number, rows, before.flatten(0, 1))
        penalties = stage._penalties(found.flatten(0, 1))
        found = found.reshape(z.shape[0], kept * fresh, stage.books)
        chains = torch.cat([codes.repeat_interleave(fresh, 1), found], dim=-1)
        costs = paid.repeat_interleave(fresh, 1)
        if penalties is not None:
            costs = costs + penalties.reshape(costs.shape)
        error = (z.unsqueeze(1) - sums).square().sum(-1) + costs
        best = error.sort(dim=-1, stable=True).indices[:, :beam, None]
        total = sums.gather(1, best.expand(-1, -1, sums.shape[-1]))
        codes = chains.gather(1, best.expand(-1, -1, chains.shape[-1]))
        paid = costs.gather(1, best[..., 0])
    return codes[:, 0]
