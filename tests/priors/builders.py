"""Tiny priors of every kind, on every number of axes, with every kind of condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vocabula.priors import (
    CodeGrid,
    Condition,
    Conditioning,
    PixelCNN,
    PixelSNAIL,
    PortablePrior,
    Prior,
    TransformerPrior,
)

PRIORS: dict[str, Callable[..., Prior]] = {
    "pixelcnn": lambda *a, **o: PixelCNN(*a, **{"hidden": 12, "layers": 3, "kernel": 5, **o}),
    "pixelsnail": lambda *a, **o: PixelSNAIL(
        *a, **{"hidden": 12, "blocks": 1, "residuals": 1, "heads": 2, **o}
    ),
    "gpt2": lambda *a, **o: TransformerPrior(
        *a, **{"hidden": 16, "layers": 2, "heads": 2, "dropout": 0.0, **o}
    ),
    "llama": lambda *a, **o: TransformerPrior(
        *a, **{"architecture": "llama", "hidden": 16, "layers": 2, "heads": 2, "dropout": 0.0, **o}
    ),
}
MAKERS: dict[str, Callable[..., Prior]] = {
    **PRIORS,
    "portable": lambda *a, **o: PortablePrior(*a, **{"hidden": 12, "layers": 1, "reach": 2, **o}),
}
"""The same, and the one that takes grids of two axes or one position, and no class or text."""
GRIDS = {"1d": (5,), "2d": (3, 3), "3d": (2, 2, 2)}
CONDITIONS = ("nothing", "class", "text", "upper", "everything")

every_prior = pytest.mark.parametrize("kind", PRIORS)
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
every_condition = pytest.mark.parametrize("given", CONDITIONS)
every_pair = pytest.mark.parametrize(
    ("kind", "grid", "given"),
    [
        pytest.param(kind, GRIDS[grid], given, id=f"{kind}-{grid}-{given}")
        for i, kind in enumerate(PRIORS)
        for j, given in enumerate(CONDITIONS)
        for grid in [list(GRIDS)[(i + j) % 3]]
    ],
)
"""Twenty of the sixty, in which any two of a kind, a grid and a condition meet."""


def two_books(grid: tuple[int, ...]) -> CodeGrid:
    """A book of 3 codes, and one of 23 that is written in two digits of base 5."""
    return CodeGrid((3, 23), grid, largest_symbol=5)


def conditioning(given: str, grid: tuple[int, ...]) -> Conditioning:
    known: dict[str, Any] = {}
    if given in ("class", "everything"):
        known |= {"classes": 3}
    if given in ("text", "everything"):
        known |= {"text_tokens": 6, "text_length": 3}
    if given in ("upper", "everything"):
        known |= {"upper": [CodeGrid((4,), tuple(-(-size // 2) for size in grid))]}
    return Conditioning(**known)


def condition(given: str, grid: tuple[int, ...], batch: int) -> Condition | None:
    if given == "nothing":
        return None
    known: dict[str, Any] = {}
    if given in ("class", "everything"):
        known |= {"attributes": {"class": torch.arange(batch) % 3}}
    if given in ("text", "everything"):
        known |= {"text": torch.randint(1, 6, (batch, 3))}
    if given in ("upper", "everything"):
        shape = (batch, *(-(-size // 2) for size in grid))
        known |= {"upper": (torch.randint(4, shape),)}
    return Condition(**known)


def make(
    kind: str, codes: CodeGrid, conditions: Conditioning | None = None, **options: Any
) -> Prior:
    """A prior in float64 and evaluation mode, with weights that are not small."""
    torch.manual_seed(1)
    prior = PRIORS[kind](codes, conditions or Conditioning(), **options).double().eval()
    if isinstance(prior, TransformerPrior):
        with torch.no_grad():
            for parameter in prior.parameters():
                if parameter.ndim > 1:
                    parameter *= 10  # their first weights are so small that codes hardly matter
    return prior


def random_codes(codes: CodeGrid, batch: int) -> Tensor:
    books = [torch.randint(size, (batch, *codes.grid)) for size in codes.codebook_sizes]
    return torch.stack(books, -1).reshape(batch, *codes.grid, *codes.shape_of_code)
