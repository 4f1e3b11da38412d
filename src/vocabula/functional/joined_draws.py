"""Random draws for the joined batch of all ranks, the same as one process makes for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from vocabula.functional import distributed

__all__ = [
    "draw_noise",
    "draw_rows",
    "generator_of_rank_0",
    "joined_noise",
    "joined_places",
    "joined_rand",
    "joined_randint",
]

Noise = Literal["uniform", "normal", "exponential"]


def _alone() -> bool:
    return not torch.compiler.is_compiling() and distributed.world_size() == 1


# The operators are opaque, because the sizes of other ranks depend on data. They are defined in the
# long form because the short form `custom_op(tags=...)` is newer than torch 2.6.
torch.library.define(
    "vocabula::joined_noise",
    "(Tensor like, str kind, SymInt items, SymInt columns, SymInt item_rows) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)
torch.library.define(
    "vocabula::joined_randint",
    "(Tensor like, SymInt items, int low, int high, SymInt item_rows) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)


def joined_places(items: int, item_rows: int, device: torch.device) -> tuple[Tensor, int]:
    """Where the items of this rank are in the joined batch, ascending, and its length."""
    counts, sizes = distributed.all_gather_sizes(items, [item_rows], device)
    places = distributed.joined_order(counts, sizes).argsort()
    return places.split(counts.tolist())[distributed.rank()], len(places)


@contextmanager
def generator_of_rank_0(device: torch.device) -> Iterator[None]:
    """Within the block every rank draws what rank 0 draws; the other generators do not move."""
    module: Any = torch if device.type == "cpu" else torch.get_device_module(device)
    where = () if device.type == "cpu" else (device,)
    own = module.get_rng_state(*where)
    module.set_rng_state(distributed.broadcast(own.to(device)).to(own.device), *where)
    try:
        yield
    finally:
        if distributed.rank() != 0:
            module.set_rng_state(own, *where)


def _joined(draw: Callable[[int], Tensor], items: int, item_rows: int, like: Tensor) -> Tensor:
    """The draws of this rank's items, out of those for the joined batch."""
    if distributed.world_size() == 1:
        return draw(items)
    places, total = joined_places(items, item_rows, like.device)
    with generator_of_rank_0(like.device):
        return draw(total)[places]


def draw_noise(like: Tensor, kind: str) -> Tensor:
    """Draw numbers of `like`'s shape, dtype and device."""
    if kind == "uniform":
        return torch.rand_like(like)
    return torch.randn_like(like) if kind == "normal" else torch.empty_like(like).exponential_()


@torch.library.impl("vocabula::joined_noise", "CompositeExplicitAutograd")
def _joined_noise(like: Tensor, kind: str, items: int, columns: int, item_rows: int) -> Tensor:
    def draw(count: int) -> Tensor:
        return draw_noise(like.new_empty((count, columns)), kind)

    return _joined(draw, items, item_rows, like)


@torch.library.impl("vocabula::joined_randint", "CompositeExplicitAutograd")
def _joined_randint(like: Tensor, items: int, low: int, high: int, item_rows: int) -> Tensor:
    def draw(count: int) -> Tensor:
        return torch.randint(low, high, (count, 1), device=like.device)

    return _joined(draw, items, item_rows, like)


@torch.library.register_fake("vocabula::joined_noise")
def _(like: Tensor, kind: str, items: int, columns: int, item_rows: int) -> Tensor:
    return like.new_empty((items, columns))


@torch.library.register_fake("vocabula::joined_randint")
def _(like: Tensor, items: int, low: int, high: int, item_rows: int) -> Tensor:
    return like.new_empty((items, 1), dtype=torch.int64)


def joined_noise(like: Tensor, kind: Noise) -> Tensor:
    """Draw a row of numbers for each row of a batch, with rank 0's generator.

    Every rank draws for all rows of the joined batch, and keeps those of its own rows.

    Args:
        like: (N, C) whose shape, dtype and device the draws have.
        kind: "uniform" in [0, 1), "normal" of variance 1, or "exponential" of mean 1.
    """
    if _alone():
        return draw_noise(like, kind)
    rows, (items, columns) = distributed.item_rows(len(like)), like.shape
    empty = like.detach().new_empty(0)
    draws: Tensor = torch.ops.vocabula.joined_noise(empty, kind, items, columns, rows)
    return draws


def joined_rand(items: int, columns: int, device: torch.device) -> Tensor:
    """Draw uniform numbers (items, columns) in [0, 1), float32, as `joined_noise` does."""
    if _alone():
        return torch.rand(items, columns, dtype=torch.float32, device=device)
    rows, like = distributed.item_rows(items), torch.empty(0, dtype=torch.float32, device=device)
    draws: Tensor = torch.ops.vocabula.joined_noise(like, "uniform", items, columns, rows)
    return draws


def joined_randint(items: int, low: int, high: int, device: torch.device) -> Tensor:
    """Draw integers (items, 1) in [low, high) as `joined_noise` draws its numbers."""
    if _alone():
        return torch.randint(low, high, (items, 1), device=device)
    rows, like = distributed.item_rows(items), torch.empty(0, device=device)
    draws: Tensor = torch.ops.vocabula.joined_randint(like, items, low, high, rows)
    return draws


def _pick(marked: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw rows (K,) of N > 0 by uniform numbers (K,); and the sum of the mask or the weights."""
    last = len(marked) - 1
    if marked.is_floating_point():
        position = marked.to(uniform).cumsum(0)
        rows = torch.searchsorted(position, uniform * position[-1], right=True)
    else:
        position = marked.cumsum(0)
        wanted = torch.floor(uniform * position[-1]).long() + 1
        rows = torch.searchsorted(position, wanted.clamp(max=len(marked)))
    return rows.clamp(max=last), position[-1].clone()


@torch.library.custom_op(
    "vocabula::draw_joined_rows",
    mutates_args=(),
    schema="(Tensor uniform, Tensor marked, SymInt item_rows) -> (Tensor, Tensor, Tensor)",
)
def _draw_joined_rows(
    uniform: Tensor, marked: Tensor, item_rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    mine = torch.ones_like(uniform, dtype=torch.bool)
    grouped, joined = distributed.world_size() > 1, marked
    if grouped:
        rows, sizes = distributed.all_gather_sizes(len(marked), [item_rows], marked.device)
        order = distributed.joined_order(rows, sizes)
        joined = distributed.all_gather_rows(marked)[order]
    if len(joined) == 0:
        return torch.zeros_like(uniform, dtype=torch.int64), ~mine, joined.sum()
    drawn, total = _pick(joined, uniform)
    if grouped:
        drawn = order[drawn] - rows[: distributed.rank()].sum()
        mine = (drawn >= 0) & (drawn < len(marked))
        drawn = torch.where(mine, drawn, 0)
    return drawn, mine, total


@_draw_joined_rows.register_fake
def _(uniform: Tensor, marked: Tensor, item_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    total = uniform if marked.is_floating_point() else torch.empty_like(uniform, dtype=torch.int64)
    rows = torch.empty_like(uniform, dtype=torch.int64)
    return rows, torch.empty_like(uniform, dtype=torch.bool), total.new_empty(())


def draw_rows(
    uniform: Tensor, marked: Tensor | None, rows: int
) -> tuple[Tensor, Tensor | None, Tensor | int]:
    """Draw rows from the marked rows of all ranks, in the order of the joined batch.

    Row floor(u n) of the n marked ones is drawn, so that any number of ranks draws the same.

    Args:
        uniform: (K,) in [0, 1), the same on every rank.
        marked: (N,) bool, which rows can be drawn, or floating, weights in proportion to which they
            are drawn; None for all.
        rows: N, which may differ between ranks; 0 is allowed in a group.

    Returns:
        The rows (K,) int64, each of the rank that has it and 0 on the others; whether this rank has
        it (K,), None for always; and n, or the sum of the weights.
    """
    if not _alone():
        if marked is None:
            marked = torch.ones(rows, dtype=torch.bool, device=uniform.device)
        return _draw_joined_rows(uniform, marked, distributed.item_rows(rows))
    if marked is None:
        return torch.floor(uniform * rows).long().clamp_(max=rows - 1), None, rows
    picked, total = _pick(marked, uniform)
    return picked, None, total
