"""What holds for every entropy model; a public one without a row here fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vocabula import codec
from vocabula.codec import Block, CodeStatistics, EntropyModel
from vocabula.priors import CodeGrid, Conditioning, PixelCNN, PortablePrior

BOOKS = ((7, 1), (300,), (7, 2))
GRIDS = (((2, (5, 4)), (1, (1, 1))), ((2, (10, 8)), (1, (2, 2))), ((2, (10, 8)), (1, (2, 2))))


def statistics() -> CodeStatistics:
    sizes = [k for books in BOOKS for k in books]
    counts = tuple(np.arange(k) ** 2 for k in sizes)
    orders = tuple(np.arange(k, dtype=np.uint32)[::-1] for k in sizes)
    return CodeStatistics("rows", counts, orders)


def prior_model() -> EntropyModel:
    """A network for each stage, given the codes of the stages before; nothing is trained."""
    grids = [
        CodeGrid(k, g, (len(k),)) for k, g in zip(BOOKS, ((5, 4), (10, 8), (10, 8)), strict=True)
    ]
    torch.manual_seed(0)
    return codec.PriorModel(
        [
            PixelCNN(grid, Conditioning(upper=grids[:stage]), hidden=8, layers=2)
            for stage, grid in enumerate(grids)
        ]
    )


def portable_model() -> EntropyModel:
    """The same in integers: a network for each level."""
    coarse, fine = CodeGrid((7, 1), (5, 4)), CodeGrid((300, 7, 2), (10, 8))
    torch.manual_seed(0)
    return codec.PortableModel(
        [
            PortablePrior(coarse, hidden=8, layers=1),
            PortablePrior(fine, Conditioning(upper=[coarse]), hidden=8, layers=1),
        ]
    )


ROWS: dict[str, Callable[[], EntropyModel]] = {
    "UniformModel": codec.UniformModel,
    "StaticModel": lambda: codec.StaticModel(statistics()),
    "AdaptiveModel": codec.AdaptiveModel,
    "AdaptiveModel with counts": lambda: codec.AdaptiveModel(statistics()),
    "PriorModel": prior_model,
    "PortableModel": portable_model,
}


def full_block(seed: int = 0) -> Block:
    """Three signals, two levels, the finer of two stages; one book has one codeword."""
    generator = np.random.default_rng(seed)
    block = Block(BOOKS, GRIDS)
    for stage, books in enumerate(BOOKS):
        for symbols in books:
            codes = generator.zipf(1.5, block.positions(stage)) % symbols
            block.codes.append(codes.astype(np.uint32))
    return block


def up_to(block: Block, stage: int) -> Block:
    """What a decoder knows before a stage."""
    return Block(block.books, block.grids, block.codes[: block.streams(stage).start])


def test_every_public_model_has_a_row() -> None:
    public = {
        name
        for name in codec.__all__
        if inspect.isclass(found := getattr(codec, name))
        and issubclass(found, EntropyModel)
        and not inspect.isabstract(found)
    }
    assert public == {name.split()[0] for name in ROWS}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_codes_come_back_stage_by_stage(row: str) -> None:
    block = full_block()
    for stage in range(len(BOOKS)):
        content = ROWS[row]().encode(block, stage)
        found = ROWS[row]().decode(up_to(block, stage), stage, content)
        assert len(found) == len(BOOKS[stage])
        for stream, codes in zip(block.streams(stage), found, strict=True):
            assert codes.dtype == np.uint32
            assert np.array_equal(codes, block.codes[stream])


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_stage_does_not_depend_on_later_ones(row: str) -> None:
    """Else a file that is cut after it could not be decoded."""
    block = full_block()
    for stage in range(len(BOOKS)):
        until = block.streams(stage).stop
        short = Block(block.books[: stage + 1], block.grids[: stage + 1], block.codes[:until])
        assert ROWS[row]().encode(short, stage) == ROWS[row]().encode(block, stage)


@pytest.mark.parametrize("row", ROWS)
def test_bytes_are_the_cross_entropy(row: str) -> None:
    block, model = full_block(), ROWS[row]()
    for stage in range(len(BOOKS)):
        bits = model.bits(block, stage)
        assert bits - 1 <= 8 * len(model.encode(block, stage)) <= 1.001 * bits + 64


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_threads_share_a_model(row: str) -> None:
    model, blocks = ROWS[row](), [full_block(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda block: model.encode(block, 1), blocks))
    assert together == [ROWS[row]().encode(block, 1) for block in blocks]


def test_names_differ_where_probabilities_do() -> None:
    names = [build().name for build in ROWS.values()]
    assert len(set(names)) == len(ROWS)
    assert names == [build().name for build in ROWS.values()]
