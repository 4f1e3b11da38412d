"""Scales that do not divide one another: which coarser position belongs to a finer one."""

from __future__ import annotations

import math

import pytest
import torch

from priors.builders import MAKERS
from vocabula import codec
from vocabula.priors import CodeGrid, Conditioning, Generator, Origin
from vocabula.priors.coarser import coarser, phase, phases_of, step_between, wanted
from vocabula.signals import Condition
from vocabula.tokenizers import build_tokenizer

NET = {"name": "vqvae", "hidden": 8, "residual_layers": 0, "downsample": 2}
VAR = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)


@pytest.mark.parametrize(
    ("fine", "coarse", "places", "phases"),
    [
        (8, 4, [0, 0, 1, 1, 2, 2, 3, 3], [0, 1] * 4),
        (7, 4, [0, 0, 1, 1, 2, 2, 3], [0, 1, 0, 1, 0, 1, 0]),  # a hierarchy, padded
        (4, 3, [0, 0, 1, 2], [0, 1, 0, 0]),
        (8, 5, [0, 0, 1, 1, 2, 3, 3, 4], [0, 1, 0, 1, 0, 0, 1, 0]),
    ],
)
def test_by_hand(fine: int, coarse: int, places: list[int], phases: list[int]) -> None:
    step, every = step_between(fine, coarse), torch.arange(fine)
    assert coarser(every, step).tolist() == places
    assert phase(every, step).tolist() == phases
    assert [coarser(i, step) for i in range(fine)] == places


@pytest.mark.parametrize("fine", VAR)
@pytest.mark.parametrize("coarse", VAR)
def test_a_position_lies_in_its_coarser_one(fine: int, coarse: int) -> None:
    if coarse >= fine:
        return
    step = step_between(fine, coarse)
    for blocks in (1, 3):
        pairs = [(coarser(i, step), phase(i, step)) for i in range(fine * blocks)]
        assert len(set(pairs)) == fine * blocks
        assert max(second for _, second in pairs) < phases_of(step) == math.ceil(fine / coarse)
        assert wanted(fine * blocks, step) == 1 + pairs[-1][0] <= coarse * blocks


@pytest.mark.parametrize("kind", ["portable", "pixelcnn", "gpt2"])
def test_a_position_sees_the_coarser_one_that_it_lies_in(kind: str) -> None:
    """At 8 to 7 positions the last ones are further apart than any network here looks."""
    torch.manual_seed(0)
    upper, codes = CodeGrid((5,), (7, 7)), CodeGrid((5,), (8, 8))
    prior = MAKERS[kind](codes, Conditioning(upper=(upper,))).eval()
    own, above = torch.randint(5, (1, 8, 8)), torch.randint(5, (1, 7, 7))
    other = above.clone()
    other[:, -1, -1] = (other[:, -1, -1] + 1) % 5
    with torch.no_grad():
        found, changed = (
            prior.symbol_logits(codes.split(own), Condition(upper=(c,)))[0] for c in (above, other)
        )
    assert not torch.allclose(found[0, -1, -1], changed[0, -1, -1], atol=1e-7)
    if kind == "portable":
        assert torch.equal(found[0, :5, :5], changed[0, :5, :5])


@pytest.mark.parametrize("kind", ["portable", "gpt2"])
def test_a_multi_scale_generator_draws_completes_and_compresses(kind: str) -> None:
    torch.manual_seed(0)
    book = {"name": "vector", "dim": 4, "codebook_size": 16}
    scales = {"name": "multi_scale", "scales": [1, 2, 3, 4], "stages": [book]}
    tokenizer = build_tokenizer({"encoder": NET, "decoder": NET, "quantizer": scales}, 1)
    images = torch.rand(6, 1, 8, 8)
    with torch.no_grad():
        tokenizer.train()(images)
    tokenizer.eval()
    grids, priors = [], []
    for level, grid in zip(tokenizer.levels, tokenizer.grids(8, 8), strict=True):
        codes = CodeGrid(level.codebook_sizes, grid, level.code_shape)
        priors.append(MAKERS[kind](codes, Conditioning(upper=tuple(grids))).eval())
        priors[-1].origin = Origin(tokenizer.fingerprint(), {}, (8, 8))
        grids.append(codes)
    generator = Generator(tokenizer, priors)
    drawn = generator.sample(2, seed=0)
    assert [tuple(codes.shape[1:]) for codes in drawn.levels] == [(n, n) for n in (1, 2, 3, 4)]

    keep = torch.zeros(8, 8, dtype=torch.bool)
    keep[:4] = True
    (whole,) = generator.complete(images[:2], keep, seed=0)
    kept = [codes[:, : n // 2] for codes, n in zip(whole.levels, (1, 2, 3, 4), strict=True)]
    again = generator.complete(images[:2], keep, seed=1)
    for ours, other, n in zip(kept, next(iter(again)).levels, (1, 2, 3, 4), strict=True):
        assert torch.equal(ours, other[:, : n // 2])

    make = codec.PortableModel if kind == "portable" else codec.PriorModel
    model, pictures = make(generator.priors), list(images)
    content = codec.to_bytes(pictures, tokenizer, entropy=model)
    plain = codec.to_bytes(pictures, tokenizer)
    ours = codec.read(content, tokenizer, models=[model])
    theirs = codec.read(plain, tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
