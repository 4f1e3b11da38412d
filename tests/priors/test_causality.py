"""No output depends on its own symbol or a later one: by gradients and by perturbation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from priors.builders import (
    CONDITIONS,
    condition,
    conditioning,
    every_condition,
    every_grid,
    every_prior,
    make,
    random_codes,
    two_books,
)
from vocabula.priors import CodeGrid, Condition, PixelCNN, Prior, TransformerPrior


def embedded(prior: Prior, symbols: Tensor, given: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Logits (batch 1) in the order of symbols, and per symbol the vectors it enters by."""
    slots = symbols.shape[-1]
    entries: list[list[Tensor]] = [[] for _ in range(symbols[0].numel())]
    handles = []

    def watch(module: nn.Module, places: Any) -> None:
        def hook(_: nn.Module, __: Any, out: Tensor) -> Tensor:
            leaf = out.detach().requires_grad_()
            rows = leaf.flatten(1, -2).unbind(1)
            joined = torch.stack(rows, 1).reshape(out.shape)
            for row, time in zip(rows, places, strict=False):
                if time >= 0:
                    row.retain_grad()
                    entries[time].append(row)
            return joined

        handles.append(module.register_forward_hook(hook))

    times = range(0, len(entries), slots)
    if isinstance(prior, TransformerPrior):
        prefix = prior.vocabulary.prefix_length
        watch(prior.model.get_input_embeddings(), range(-prefix, len(entries)))
    else:
        for tables in (prior.embed.tables, prior.head.tables):
            for slot, table in enumerate(tables):
                watch(table, [time + slot for time in times])
    logits = prior.symbol_logits(symbols, given)
    for handle in handles:
        handle.remove()
    flat = [part.flatten(1, -2) for part in logits]
    return [flat[slot][0, place] for place in range(len(times)) for slot in range(slots)], entries


def dependence(prior: Prior, symbols: Tensor, given: Any) -> Tensor:
    """(T, T) largest gradient of any logit of symbol i by the embedding of symbol j."""
    outputs, entries = embedded(prior, symbols, given)
    table = torch.zeros(len(outputs), len(entries), dtype=torch.float64)
    sums = torch.stack([(out * torch.randn(out.shape, dtype=out.dtype)).sum() for out in outputs])
    each = torch.eye(len(sums), dtype=sums.dtype)
    wanted = [row for rows in entries for row in rows]
    gradients = iter(
        torch.autograd.grad(sums, wanted, each, is_grads_batched=True, allow_unused=True)
    )
    for j, rows in enumerate(entries):
        for _ in rows:
            gradient = next(gradients)
            if gradient is not None:
                table[:, j] = table[:, j].maximum(gradient.flatten(1).abs().amax(1))
    return table


@every_condition
@every_grid
@every_prior
def test_gradients_reach_exactly_what_came_before(
    kind: str, grid: tuple[int, ...], given: str
) -> None:
    codes = two_books(grid)
    prior = make(kind, codes, conditioning(given, grid))
    complete = prior.conditioning.complete(condition(given, grid, 1), 1, prior.device)
    table = dependence(prior, codes.split(random_codes(codes, 1)), complete)
    before = torch.ones_like(table).tril(-1).bool()
    assert table[~before].max() == 0
    # the last symbol of all is never read
    assert table[before].min() > 0


def same_for_all(given: Condition | None, count: int) -> Condition | None:
    """A condition of one row, for each of several."""
    if given is None:
        return None
    return Condition(
        attributes={name: values.repeat(count) for name, values in given.attributes.items()},
        text=None if given.text is None else given.text.repeat(count, 1),
        upper=tuple(upper.repeat(count, *(1,) * (upper.ndim - 1)) for upper in given.upper),
    )


@every_condition
@every_grid
@every_prior
def test_a_changed_symbol_changes_only_what_comes_after(
    kind: str, grid: tuple[int, ...], given: str
) -> None:
    codes = two_books(grid)
    prior = make(kind, codes, conditioning(given, grid))
    sizes = codes.symbol_sizes
    symbols = codes.split(random_codes(codes, 1))
    times = symbols.numel()
    rows = symbols.flatten(1).repeat(times + 1, 1)  # row 0 stays; row 1 + t changes symbol t
    for time in range(times):
        rows[1 + time, time] = (rows[1 + time, time] + 1) % sizes[time % len(sizes)]
    known = same_for_all(condition(given, grid, 1), len(rows))
    complete = prior.conditioning.complete(known, len(rows), prior.device)
    with torch.no_grad():
        parts = prior.symbol_logits(rows.view(-1, *symbols.shape[1:]), complete)
    flat = [part.flatten(1, -2) for part in parts]
    for at in range(times):
        logits = flat[at % len(sizes)][:, at // len(sizes)]
        moved = (logits[1:] - logits[0]).abs().amax(-1)  # by a change of each symbol
        assert moved[at:].max() <= 1e-13
        assert at == 0 or moved[at - 1] > 1e-8


@pytest.mark.parametrize("grid", [(4, 6), (3, 4, 4)])
def test_pixelcnn_has_no_blind_spot(grid: tuple[int, ...]) -> None:
    """A single stack of masked 3 x 3 convolutions never sees what is far up and to the right."""
    codes = CodeGrid((4,), grid)
    prior = PixelCNN(codes, hidden=6, layers=6, kernel=3).double().eval()
    complete = prior.conditioning.complete(None, 1, prior.device)
    table = dependence(prior, codes.split(random_codes(codes, 1)), complete)
    assert table[torch.ones_like(table).tril(-1).bool()].min() > 0
    assert table.triu().max() == 0


@pytest.mark.parametrize("given", CONDITIONS[1:])
@every_prior
def test_every_condition_reaches_every_output(kind: str, given: str) -> None:
    grid = (3, 3)
    prior = make(kind, two_books(grid), conditioning(given, grid))
    codes = random_codes(prior.codes, 1).expand(20, -1, -1, -1)
    log_probs = prior.log_probs(codes, condition(given, grid, 20))
    assert log_probs.std(0).min() > 1e-6


@every_condition
@every_prior
def test_every_parameter_learns(kind: str, given: str) -> None:
    """Training in several processes waits for the gradient of every parameter."""
    grid = (3, 3)
    prior = make(kind, two_books(grid), conditioning(given, grid)).train()
    prior(random_codes(prior.codes, 4), condition(given, grid, 4)).backward()
    assert [name for name, p in prior.named_parameters() if p.grad is None] == []
