"""Tokens that do not fit into memory, and tokens as a data set of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vocabula.data import ArraySource, TokenDataset, TokenRecord, code_arrays, read_tokens
from vocabula.data.code_arrays import CodeArrays, read_codes
from vocabula.data.code_batches import CodeBatch, train_code_batches
from vocabula.data.token_blocks import TokenBlocks
from vocabula.data.token_writer import write_tokens
from vocabula.evaluation.code_nats import count_nats
from vocabula.pipelines import encode_dataset
from vocabula.priors.data import read_prior_data
from vocabula.priors.sources import Sources
from vocabula.signals import CodeSpec
from vocabula.tokenizers import SignalTokenizer

Make = Callable[..., SignalTokenizer]


def parts(folder: Path, lengths: bool) -> Path:
    """Five files of seven records of two books: of a grid of 2 x 2, or of one axis."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in range(5):
        records = []
        for number in range(7 * part, 7 * part + 7):
            grid = (1 + number % 4,) if lengths else (2, 2)
            codes = rng.integers(0, 16, (*grid, 2)).astype(np.int64)
            codes.flat[0] = number % 16
            extent = (8 * grid[0],) if lengths else (8, 8)
            records.append(TokenRecord(codes, f"{number}", number % 3, *extent))
        write_tokens(
            folder / f"{part}.parquet",
            records,
            fingerprint="f",
            levels=[CodeSpec((16, 16), (2,))],
            signal="audio" if lengths else "image",
        )
    return folder


@pytest.fixture(params=[False, True], ids=["grids", "lengths"])
def streamed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[CodeArrays, CodeArrays]:
    """The same codes read when they are needed, and in memory."""
    folder = parts(tmp_path / "tokens", request.param)
    whole = read_codes(read_tokens(folder))
    monkeypatch.setattr(code_arrays, "WHOLE", 0)
    return read_codes(read_tokens(folder)), whole


def equal(one: CodeBatch, other: CodeBatch) -> bool:
    pairs = zip(
        (*one.levels, one.indices, one.draws),
        (*other.levels, other.indices, other.draws),
        strict=True,
    )
    return all(torch.equal(a, b) for a, b in pairs)


def test_streamed_codes_are_those_in_memory(streamed: tuple[CodeArrays, CodeArrays]) -> None:
    found, whole = streamed
    assert not isinstance(found.levels[0], np.ndarray) and isinstance(whole.levels[0], np.ndarray)
    assert found.grids == whole.grids and len(found) == 35
    rows = np.array([34, 0, 8, 7, 20])
    assert torch.equal(found.codes(0, rows), whole.codes(0, rows))
    kept = np.arange(1, 35, 2)
    assert torch.equal(found.take(kept).codes(0), whole.take(kept).codes(0))
    assert isinstance(found.take(kept).loaded().levels[0], np.ndarray)
    assert (found.counts is None) == (whole.counts is None)
    assert found.digest() == read_again(found).digest() != whole.digest()


@pytest.mark.parametrize(("size", "most"), [(1, 1), (17, 2), (10**6, 35)])
def test_parts_hold_every_signal_once_and_few_at_a_time(
    size: int, most: int, streamed: tuple[CodeArrays, CodeArrays]
) -> None:
    """A signal has at most 4 positions with two codes each."""
    for arrays in streamed:
        parts = list(arrays.parts(size))
        counts = [len(codes) for (codes,) in parts]
        assert set(counts[:-1]) <= {most} and counts[-1] <= most and sum(counts) == 35
        first = 0
        for (codes,) in parts:
            rows = np.arange(first, first + len(codes))
            assert torch.equal(codes, arrays.codes(0, rows))
            first += len(codes)


def test_corners_of_pictures_of_different_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code at row y and column x of signal n is 10 n + 3 y + x."""
    records = []
    for number, (height, width) in enumerate([(2, 3), (3, 2), (3, 3)]):
        places = 3 * np.arange(height)[:, None] + np.arange(width)
        records.append(TokenRecord(10 * number + places, f"{number}", None, height, width))
    path = tmp_path / "t.parquet"
    write_tokens(path, records, fingerprint="f", levels=[CodeSpec((32,), ())])
    whole = read_codes(read_tokens(path))
    monkeypatch.setattr(code_arrays, "WHOLE", 0)
    for arrays in (whole, read_codes(read_tokens(path))):
        found = arrays.corners([(2, 2)])
        assert (found.grids, found.sizes) == (((2, 2),), None)
        expected = [[[0, 1], [3, 4]], [[10, 11], [13, 14]], [[20, 21], [23, 24]]]
        assert found.codes(0).tolist() == expected
        assert [part.tolist() for (part,) in found.parts(8)] == [expected[:2], expected[2:]]


def read_again(arrays: CodeArrays) -> CodeArrays:
    return read_codes(read_tokens(arrays.name))


def test_batches_resume_and_are_split_over_processes(
    streamed: tuple[CodeArrays, CodeArrays],
) -> None:
    found, _ = streamed
    found = found.take(np.arange(1, 35))

    def batches(
        start: int = 0, rank: int = 0, world: int = 1, size: int = 4
    ) -> Iterator[CodeBatch]:
        return train_code_batches(
            found, batch_size=size, seed=3, start=start, rank=rank, world_size=world
        )

    run = list(islice(batches(), 34))
    seen = torch.cat([batch.indices for batch in run])
    if found.counts is None:  # else batches are drawn in blocks of 16, sorted by length
        assert all(sorted(seen[n : n + 34].tolist()) == list(range(34)) for n in (0, 34))
    else:
        assert torch.bincount(seen[:64]).min() >= 1
    for batch in run[:9]:
        assert torch.equal(batch.levels[0], found.codes(0, batch.indices.numpy()))
    assert equal(next(batches(start=21)), run[21])
    halves = [next(batches(start=5, rank=rank, world=2, size=2)) for rank in (0, 1)]
    joined = torch.stack([half.indices for half in halves], 1).flatten()
    assert torch.equal(joined, run[5].indices)


def test_memory_of_blocks_is_bounded(tmp_path: Path) -> None:
    file = read_tokens(parts(tmp_path / "tokens", lengths=False))
    blocks = TokenBlocks(file, memory=130)  # a row group has 7 x 8 bytes
    assert blocks.bounds.tolist() == [0, 7, 14, 21, 28, 35]
    assert (blocks.window(280), TokenBlocks(file).window(280)) == (1, 5)
    for row in range(0, 35, 3):
        batch, place = blocks.record(row)
        assert batch.paths[place] == str(row)
        assert len(blocks._kept) <= 2


def test_a_prior_reads_them_alike(
    tmp_path: Path, make_tokenizer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer(channels=1)
    images = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    encode_dataset(tokenizer, ArraySource(images), tmp_path / "t.parquet")
    sources = Sources(tmp_path / "t.parquet")
    whole = read_prior_data(tokenizer, sources, share=0.25)
    monkeypatch.setattr(code_arrays, "WHOLE", 0)
    found = read_prior_data(tokenizer, sources, share=0.25)
    assert isinstance(found.held_out.arrays.levels[0], np.ndarray)
    assert not isinstance(found.fitted.arrays.levels[0], np.ndarray)
    assert found.identity["held_out"] == whole.identity["held_out"]
    assert found.fitted.dimensions == whole.fitted.dimensions
    assert count_nats(found.fitted, found.held_out) == count_nats(whole.fitted, whole.held_out)


def test_data_set_pads_and_masks(tmp_path: Path) -> None:
    folder = parts(tmp_path / "tokens", lengths=True)
    data = TokenDataset(folder, fingerprint="f", pad=-1, memory=130)
    order = data.order(seed=2, epoch=1)
    assert sorted(order.tolist()) == list(range(35))
    halves = [data.order(seed=2, epoch=1, rank=rank, world_size=2) for rank in (0, 1)]
    assert [n for pair in zip(*halves, strict=False) for n in pair] == order[:34].tolist()
    records = list(read_tokens(folder))
    seen = []
    for workers in (0, 1):
        loader = DataLoader(
            data, 4, sampler=order, collate_fn=data.collate, num_workers=workers,
            multiprocessing_context="forkserver" if workers else None,
        )  # fmt: skip
        seen.append(list(loader) if workers == 0 else [next(iter(loader))])
    assert torch.equal(seen[0][0]["codes"], seen[1][0]["codes"])
    for batch in seen[0]:
        assert batch["codes"].shape[:2] == batch["mask"].shape and batch["codes"].shape[2:] == (2,)
        assert (batch["codes"][~batch["mask"]] == -1).all()
        for row, index in enumerate(batch["index"].tolist()):
            own = batch["codes"][row][batch["mask"][row]]
            assert (own.numpy() == records[index].codes).all()
            assert batch["class"][row] == records[index].label == index % 3
    assert data.path(11) == "11"
