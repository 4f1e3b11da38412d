"""The loop that draws codes symbol by symbol, cached or recomputing everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.errors import DataError, OptionError
from vocabula.priors.decoding import Decoding, Model, Recomputing
from vocabula.priors.drawing import Drawing, guide
from vocabula.signals import Condition

Progress = Callable[[int, int], None]
"""Called with the number of positions that are done, and of all."""
Known = tuple[Tensor, Tensor]
"""Codes (B, *grid, *code_shape) and a mask (*grid) or (B, *grid), true where they are given."""


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request for samples.

    Attributes:
        batch: number of signals B.
        grid: positions along each axis.
        condition: complete, of batch B.
        drawing: how symbols are drawn.
        uniform: (B, positions x symbols) numbers in [0, 1), one per draw.
        known: codes and a mask, or None.
    """

    batch: int
    grid: tuple[int, ...]
    condition: Condition
    drawing: Drawing
    uniform: Tensor
    known: Known | None = None


def draw_codes(
    prior: Model, request: Request, *, cache: bool, progress: Progress | None = None
) -> Tensor:
    """Draw codes (B, *grid, *code_shape) as a request says.

    Signal i depends on row i of the numbers and conditions only, so a batch may be cut anywhere.

    Args:
        prior: the model, in evaluation mode.
        request: what to draw.
        cache: compute every position once, rather than everything for every symbol.
        progress: called after every position.
    """
    codes, batch, guided = prior.codes, request.batch, request.drawing.guidance != 1
    condition = request.condition
    if guided:
        condition = condition.beside(condition.without())
    make = prior.decoding if cache else _recomputing(prior)
    decoding = make(batch * (1 + guided), request.grid, condition)
    slots, positions = len(codes.slots), math.prod(request.grid)
    symbols = torch.zeros(batch, positions, slots, dtype=torch.long, device=prior.device)
    given, mask, whole = _known_symbols(prior, request)
    for done, (position, slot) in enumerate(prior.visits(request.grid), start=1):
        here = symbols[:, position]
        if whole[position]:
            symbol = given[:, position, slot]
        else:
            logits = decoding.logits()
            if guided:
                with_condition, without = logits.chunk(2)
                logits = guide(with_condition, without, request.drawing.guidance)
            logits = codes.forbid(logits, slot, here)
            number = request.uniform[:, position * slots + slot]
            symbol = request.drawing.draw(logits, number)
            if request.known is not None:
                symbol = torch.where(mask[:, position], given[:, position, slot], symbol)
        here[:, slot] = symbol
        decoding.push(torch.cat([symbol, symbol]) if guided else symbol)
        if progress is not None and done % slots == 0:
            progress(done // slots, positions)
    return codes.join(symbols.view(batch, *request.grid, slots))


def uniform_numbers(
    shape: tuple[int, int], seed: int | None, generator: torch.Generator | None
) -> Tensor:
    """The float64 numbers (B, draws) in [0, 1) for all draws of a batch.

    They are drawn on the CPU for every device, so that a seed means the same everywhere, and row by
    row: with a generator, two batches of 32 equal one of 64.

    Raises:
        OptionError: both a seed and a generator are given, the generator is on another device, or
            the seed is not an integer in [0, 2^63).
    """
    if seed is not None and generator is not None:
        raise OptionError("sample.seed: expected a seed or a generator, got both; leave one out")
    if generator is not None and generator.device.type != "cpu":
        raise OptionError(
            f"sample.generator: expected one of the CPU, got one of {generator.device}; "
            "make it with torch.Generator()"
        )
    if seed is not None:
        check_seed(seed)
        generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, dtype=torch.float64, generator=generator)


def check_seed(seed: int) -> None:
    """Refuse a seed that is not an integer in [0, 2^63).

    Raises:
        OptionError: it is not such an integer.
    """
    if int(seed) != seed or not 0 <= seed < 2**63:
        raise OptionError(
            f"sample.seed: expected an integer in [0, 2^63), got {seed}; choose another"
        )


def check_known(prior: Model, known: Known, batch: int, grid: tuple[int, ...]) -> Known:
    """Known codes and a mask (B, *grid), on the model's device.

    Codes that are not known may have any value.

    Raises:
        CodeError: the codes have a wrong shape, or known codes have a wrong value.
        DataError: the mask has a wrong shape or type.
    """
    codes, mask = (part.to(prior.device) for part in known)
    if mask.dtype != torch.bool or tuple(mask.shape) not in (grid, (batch, *grid)):
        raise DataError(
            f"sample.known: expected a mask of booleans, shape {grid} or {(batch, *grid)}, got "
            f"{str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)}; "
            "make it true where the codes are given"
        )
    mask = mask.expand(batch, *grid)
    wide = mask.reshape(*mask.shape, *(1 for _ in prior.codes.shape_of_code))
    if codes.ndim == wide.ndim and codes.shape[: 1 + len(grid)] == mask.shape:
        codes = codes.masked_fill(~wide, 0)
    prior.codes.check(codes, grid)
    if len(codes) != batch:
        raise DataError(
            f"sample.known: expected the codes of {batch} signals, got {len(codes)}; "
            "repeat or cut them"
        )
    return codes, mask


def _recomputing(prior: Model) -> Callable[[int, Sequence[int], Condition], Decoding]:
    return lambda batch, grid, condition: Recomputing(prior, batch, grid, condition)


def _known_symbols(prior: Model, request: Request) -> tuple[Tensor, Tensor, list[bool]]:
    """Known symbols (B, n, S), their mask (B, n), and the positions known in the whole batch."""
    positions, slots = math.prod(request.grid), len(prior.codes.slots)
    if request.known is None:
        empty = torch.zeros(request.batch, positions, dtype=torch.bool, device=prior.device)
        nothing = empty.long()[..., None].expand(-1, -1, slots)
        return nothing, empty, [False] * positions
    codes, mask = request.known
    symbols, flat = prior.codes.split(codes).flatten(1, -2), mask.flatten(1)
    return symbols, flat, flat.all(0).tolist()
