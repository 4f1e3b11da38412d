"""Priors of signals of different lengths: masks, times, lengths that are drawn, windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vocabula.data import read_tokens
from vocabula.data.code_arrays import CodeArrays, read_codes
from vocabula.data.code_batches import train_code_batches
from vocabula.errors import CodeError, OptionError
from vocabula.evaluation.code_nats import measure_codes
from vocabula.functional.context_models import context_nats
from vocabula.priors import (
    CodeGrid,
    PixelCNN,
    PixelSNAIL,
    PortablePrior,
    Prior,
    TransformerPrior,
    load,
    save,
)
from vocabula.priors.condition import Conditioning
from vocabula.priors.conditioned import ConditionedCodes
from vocabula.priors.durations import Durations, durations
from vocabula.priors.origin import Origin
from vocabula.priors.windows import draw, windows
from vocabula.signals import Condition
from vocabula.signals.codes import CodeSpec

COUNTS = (3, 12, 7)
GRID = CodeGrid((7, 5), (12,))
PRIORS = {
    "transformer": lambda grid, known: TransformerPrior(
        grid, known, hidden=16, layers=1, heads=2, dropout=0.0
    ),
    "pixelcnn": lambda grid, known: PixelCNN(grid, known, hidden=8, layers=2),
    "pixelsnail": lambda grid, known: PixelSNAIL(grid, known, hidden=8, blocks=1, heads=2),
}


def make(kind: str, grid: CodeGrid = GRID, **known: object) -> Prior:
    torch.manual_seed(0)
    return PRIORS[kind](grid, Conditioning(**known)).eval()


def ragged(counts: Sequence[int] = COUNTS, sizes: Sequence[int] = (7, 5)) -> Tensor:
    torch.manual_seed(1)
    codes = torch.stack([torch.randint(0, k, (len(counts), max(counts))) for k in sizes], -1)
    codes[torch.arange(max(counts)) >= torch.tensor(counts)[:, None]] = -1
    return codes


def arrays_of(codes: Tensor, counts: Sequence[int] = COUNTS, **values: list[int]) -> CodeArrays:
    n = len(counts)
    return CodeArrays(
        "codes",
        (CodeSpec((7, 5), (2,)),),
        (codes.clamp(min=0).numpy().astype(np.uint8),),
        {name: np.array(own) for name, own in values.items()},
        np.array(counts)[:, None] * 10,
        np.array([f"{i}.wav" for i in range(n)], object),
        signal="audio",
        counts=(np.array(counts),),
    )


@pytest.mark.parametrize("timing", [0, 12])
@pytest.mark.parametrize("kind", PRIORS)
@torch.no_grad()
def test_a_padded_batch_has_the_probabilities_of_each_signal_alone(kind: str, timing: int) -> None:
    prior, codes = make(kind, attributes={"speaker": 3}, timing=timing), ragged()
    known = Condition({"speaker": torch.tensor([0, 2, -1])})
    found = prior.log_probs(codes, known)
    for i, count in enumerate(COUNTS):
        alone = prior.log_probs(codes[i : i + 1, :count], known.rows(slice(i, i + 1)))
        torch.testing.assert_close(found[i, :count], alone[0])
        assert not found[i, count:].any()
    if kind != "transformer":  # whose loss is that of the whole vocabulary
        expected = -found.sum() / (2 * sum(COUNTS))
        torch.testing.assert_close(prior.loss(codes, known), expected)


@torch.no_grad()
def test_a_portable_prior_takes_padded_codes() -> None:
    torch.manual_seed(0)
    prior = PortablePrior(GRID, hidden=8, layers=1, embedding=4).eval()
    codes = ragged()
    found = prior.log_probs(codes)
    for i, count in enumerate(COUNTS):
        torch.testing.assert_close(found[i, :count], prior.log_probs(codes[i : i + 1, :count])[0])
        assert not found[i, count:].any()


@torch.no_grad()
def test_the_loss_of_a_transformer_counts_what_is_inside() -> None:
    prior, codes = make("transformer", timing=12), ragged()
    alone = [prior.loss(codes[i : i + 1, :n]) * n for i, n in enumerate(COUNTS)]
    torch.testing.assert_close(prior.loss(codes), sum(alone) / sum(COUNTS))


@pytest.mark.parametrize("kind", PRIORS)
@torch.no_grad()
def test_times_make_a_difference_and_default_to_those_of_a_whole_signal(kind: str) -> None:
    prior, codes = make(kind, timing=24), ragged()[1:2]
    plain = prior.log_probs(codes)
    told = prior.log_probs(codes, Condition(timing=torch.tensor([[0, 12]])))
    other = prior.log_probs(codes, Condition(timing=torch.tensor([[6, 24]])))
    torch.testing.assert_close(told, plain)
    assert (other - plain).abs().max() > 1e-5
    drawn = prior.sample((2, 12), seed=0)
    assert torch.equal(drawn, prior.sample((2, 12), seed=0, cache=False))


@pytest.mark.parametrize("kind", ["pixelcnn", "pixelsnail"])
@torch.no_grad()
def test_padded_coarser_codes_are_those_of_each_signal_alone(kind: str) -> None:
    coarse, fine = CodeGrid((4,), (6,)), CodeGrid((7, 5), (24,))
    prior = make(kind, fine, upper=[coarse])
    upper = ragged((3, 6), (4,))[..., 0]
    codes = ragged((12, 24))
    both = prior.log_probs(codes, Condition(upper=(upper,)))
    alone = prior.log_probs(codes[:1, :12], Condition(upper=(upper[:1, :3],)))
    torch.testing.assert_close(both[0, :12], alone[0])


@pytest.mark.parametrize(
    ("row", "place"), [([-1, -1, 0], "a first one"), ([0, -1, 1], "one between")]
)
def test_gaps_in_codes_are_refused(row: list[int], place: str) -> None:
    prior = make("pixelcnn", CodeGrid((7,), (3,)))
    with pytest.raises(CodeError, match="expected -1 only after the codes"):
        prior.log_probs(torch.tensor([row]))


def test_nats_of_padded_codes_are_means_over_codes() -> None:
    prior, codes = make("pixelcnn"), ragged()
    with torch.no_grad():
        found = -prior.log_probs(codes)
    measured = measure_codes(prior, ConditionedCodes(arrays_of(codes)), batch_size=2)
    assert measured.nats_per_token == pytest.approx(float(found.sum()) / 44, rel=1e-5)
    assert measured.bits_per_dim == pytest.approx(float(found.sum()) / math.log(2) / 220, rel=1e-5)
    assert measured.by_position.shape == (12,)
    last = found[1, 11].mean()  # only the longest signal has a last position
    assert float(measured.by_position[11]) == pytest.approx(float(last), rel=1e-5)


def test_counting_models_count_codes_inside() -> None:
    plain = torch.tensor([[0, 1, 1, 2]])
    padded = torch.tensor([[0, 1, -1], [1, 2, -1]])
    assert context_nats(plain, plain, 3, 0) == context_nats(padded, padded, 3, 0)
    longer = torch.tensor([[0, 1], [1, 2]])
    assert context_nats(longer, longer, 3, 1) == context_nats(padded, padded, 3, 1)


def test_a_file_of_different_lengths_is_read_and_served_by_length(tmp_path: Path) -> None:
    counts = list(range(1, 65))
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 8, (n,)) for n in counts]
    from vocabula.data.token_writer import TokenWriter

    specs = [CodeSpec((8,), ())]
    with TokenWriter(
        tmp_path / "t.parquet", fingerprint="f", levels=specs, signal="audio"
    ) as writer:
        for i, row in enumerate(rows):
            writer.extend([row[None]], [f"{i}.wav"], None, (len(row) * 10,), {})
    arrays = read_codes(read_tokens(tmp_path / "t.parquet"))
    assert arrays.grids == ((64,),)
    assert arrays.counts is not None and arrays.counts[0].tolist() == counts
    found = arrays.codes(0, np.array([2, 4]))
    assert found.tolist() == [[*rows[2].tolist(), -1, -1], rows[4].tolist()]
    assert arrays.take(np.array([0])).digest() != arrays.digest()
    served = train_code_batches(arrays, batch_size=4, seed=0)
    batches = [next(served) for _ in range(16)]
    assert sorted(i for b in batches for i in b.indices.tolist()) == list(range(64))  # an epoch
    widest = max(len(b.levels[0][0]) - int((b.levels[0] >= 0).sum(1).min()) for b in batches)
    assert widest <= 3  # lengths of a batch follow one another
    resumed = next(train_code_batches(arrays, batch_size=4, seed=0, start=5))
    assert torch.equal(resumed.indices, batches[5].indices)


def test_parts_of_long_signals_have_their_times() -> None:
    counts, codes = (4, 12), ragged((4, 12))
    data = ConditionedCodes(arrays_of(codes, counts), context=5)
    assert (data.grids, data.timing) == (((5,),), 12)
    served, starts = train_code_batches(data.arrays, batch_size=2, seed=0), set()
    for batch in (next(served) for _ in range(16)):
        part, condition = data.of(batch)
        assert part.shape[1] <= 5 and condition.timing is not None
        times = condition.timing.tolist()
        for row, (start, total), index in zip(part, times, batch.indices.tolist(), strict=True):
            assert total == counts[index]
            inside = row[row[:, 0] >= 0]
            assert torch.equal(inside, codes[index, start : min(start + 5, total)])
            starts |= {start} if index else set()
    assert len(starts) > 3 and max(starts) <= 7


def test_lengths_are_drawn_from_signals_of_the_same_attributes(tmp_path: Path) -> None:
    data = ConditionedCodes(arrays_of(ragged(), digit=[0, 1, 1]), attributes=("digit",))
    found = durations(data)
    assert found == Durations(("digit",), ((0, 3, 1), (1, 7, 1), (1, 12, 1)))
    asked = {"digit": torch.tensor([0, 1] * 200)}
    drawn = found.draw(400, asked, seed=0)
    assert set(drawn[::2].tolist()) == {3} and set(drawn[1::2].tolist()) == {7, 12}
    assert 70 < int((drawn[1::2] == 7).sum()) < 130
    assert set(found.draw(100, {}, seed=0).tolist()) == {3, 7, 12}
    assert set(found.draw(100, {"digit": torch.full((100,), 5)}, seed=0).tolist()) == {3, 7, 12}
    later = found.draw(10, {"digit": asked["digit"][:10]}, seed=0, start=6)
    assert torch.equal(later[:4], found.draw(10, {"digit": asked["digit"][:10]}, seed=0)[6:])
    prior = make("pixelcnn", attributes={"digit": 2}, timing=12)
    prior.origin = Origin("f", durations=found)
    save(prior, tmp_path / "prior")
    again = load(tmp_path / "prior")
    assert (again.origin, again.fingerprint()) == (prior.origin, prior.fingerprint())


def test_windows_overlap_and_cover_everything() -> None:
    for count in range(1, 30):
        for overlap in (1, 3, 4):
            done = 0
            for start, known in windows(count, 5, overlap):
                assert start + known == done and (known >= overlap or not start)
                done = min(start + 5, count)
            assert done == count


@torch.no_grad()
def test_long_signals_are_drawn_in_windows_that_know_the_one_before() -> None:
    prior = make("transformer", CodeGrid((7,), (6,)))
    with pytest.raises(OptionError, match="a transformer knows positions"):
        prior.sample((2, 14), seed=0)
    numbers = torch.rand(2, 14, dtype=torch.float64)
    found = draw(prior, 2, 14, Condition(), numbers=numbers, overlap=2)
    assert torch.equal(found[:, :6], prior.sample((2, 6), numbers=numbers))
    for start, known in windows(14, 6, 2):
        logits = prior.log_probs(found[:, start : start + 6])
        assert logits.shape == (2, min(6, 14 - start))
        mask = torch.arange(6) < known
        again = prior.sample(
            (2, 6), numbers=numbers[:, start:], known=(found[:, start : start + 6], mask)
        )
        assert torch.equal(again, found[:, start : start + 6])
