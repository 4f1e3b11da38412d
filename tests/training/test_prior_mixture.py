"""Training priors on pictures of any mixture of sizes, of one level and of two."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from vocabula.data import DataWarning
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import DataError, OptionError
from vocabula.evaluation.code_nats import measure_codes
from vocabula.levels import levels_of
from vocabula.priors import CodeGrid, Condition, Conditioning, PortablePrior, load_generator
from vocabula.priors.crops import Crops
from vocabula.priors.data import read_prior_data
from vocabula.priors.sources import Sources
from vocabula.tokenizers import SignalTokenizer, build_tokenizer
from vocabula.training.config import config_from_sections
from vocabula.training.prior_run import train_prior

SIZES = ((24, 40), (40, 24), (33, 25), (24, 40))
CELLS = {"name": "vqvae", "hidden": 4, "residual_layers": 1, "residual_hidden": 4, "dim": 4}
TINY = {
    "portable": {"name": "portable", "hidden": 8, "layers": 1, "embedding": 4, "reach": 2}
    | {"order": "interleaved", "dropout": 0.1},
    "pixelcnn": {"name": "pixelcnn", "hidden": 4, "layers": 2},
    "transformer": {"name": "transformer", "hidden": 8, "layers": 1, "heads": 2},
}


def tokenizer_of(levels: int) -> SignalTokenizer:
    """Of strides 8 and 4, or of 4, with two books each."""
    torch.manual_seed(0)
    stage = {"name": "vector", "dim": 4, "codebook_size": 8}
    parts = {
        f"level{i + 1}": {
            "encoder": {**CELLS, "downsample": down},
            "quantizer": {"name": "residual", "stages": [stage, stage]},
            "decoder": {
                **{k: v for k, v in CELLS.items() if k != "dim"},
                "downsample": down,
                **({"out_channels": 4} if i == 0 else {}),
            },
        }
        for i, down in enumerate((2, 4))
    }
    return build_tokenizer(parts if levels == 2 else parts["level2"], channels=3).eval()


def write(tokenizer: SignalTokenizer, path: Path, sizes: tuple[tuple[int, int], ...]) -> Path:
    rng = torch.Generator().manual_seed(0)
    with TokenWriter(
        path,
        fingerprint=tokenizer.fingerprint(),
        levels=[level.spec for level in tokenizer.levels],
    ) as writer:
        for i, size in enumerate(sizes):
            codes = levels_of(tokenizer.encode(torch.rand(1, 3, *size, generator=rng)))
            writer.extend([c.numpy() for c in codes], [f"{i}.png"], None, size)
    return path


def config(kind: str, **sections: dict[str, object]):
    training = {"name": "training", "steps": 2, "batch_size": 4, "log_every": 1}
    held_out = {"name": "held_out", "share": 0.25, "every": 2}
    made = {"prior": TINY[kind], "training": training, "held_out": held_out, **sections}
    return config_from_sections(made)


@pytest.mark.parametrize("kind", TINY)
def test_pictures_of_several_sizes_train_every_kind(tmp_path: Path, kind: str) -> None:
    """Of two levels, and draw other sizes where the model computes them."""
    tokenizer = tokenizer_of(2)
    tokens = write(tokenizer, tmp_path / "t.parquet", SIZES)
    crops = {"context": {"name": "context", "positions": 2}}
    figures = train_prior(config(kind, **crops), tokenizer, tokens, tmp_path / "p", progress=False)
    assert [0 < level["nats_per_token"] < 10 for level in figures["levels"]] == [True, True]
    generator = load_generator(tmp_path / "p")
    assert [prior.codes.grid for prior in generator.priors] == [(2, 2), (4, 4)]
    assert generator.extent == (16, 16)
    if kind == "transformer":
        with pytest.raises(OptionError, match="expected 16 x 16 pixels, got 24 x 40, whose"):
            generator.sample(1, size=(40, 24))
        return
    drawn = generator.sample(1, size=(33, 25), seed=0)
    assert drawn.signals.shape[2:] == (33, 25)


def test_whole_pictures_are_measured_by_their_own_likelihood(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(1)
    tokens = write(tokenizer, tmp_path / "t.parquet", SIZES)
    train_prior(config("pixelcnn"), tokenizer, tokens, tmp_path / "p", progress=False)
    generator = load_generator(tmp_path / "p")
    data = read_prior_data(tokenizer, Sources(tokens, classes=False), share=0.5)
    found = measure_codes(generator.priors[0], data.held_out)
    arrays = data.held_out.arrays
    assert len({codes.shape for codes in arrays.levels[0]}) == 2
    each = [torch.from_numpy(codes.astype("int64"))[None] for codes in arrays.levels[0]]
    nats = sum(-float(generator.priors[0].log_prob(codes).detach()) for codes in each)
    assert math.isclose(found.nats_per_token, nats / sum(c.numel() for c in each), rel_tol=1e-5)
    dims = 3 * int(arrays.extents.prod(1).sum())
    assert math.isclose(found.bits_per_dim, nats / math.log(2) / dims, rel_tol=1e-5)


def test_windows_cover_each_position_once(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(2)
    tokens = write(tokenizer, tmp_path / "t.parquet", SIZES)
    sources = Sources(tokens, classes=False)
    data = read_prior_data(tokenizer, sources, share=0.25, whole=False, context=2).of_level(1)
    for part in (data.fitted, data.held_out):
        found = list(part.batches(3))
        assert {codes.shape[1:] for codes, _, _ in found} == {(4, 4, 2)}
        assert all(condition.upper[0].shape[1:] == (2, 2, 2) for _, condition, _ in found)
        counted = sum(int(counts.sum()) for _, _, counts in found)
        whole = [(h // 2 * 2) * (w // 2 * 2) for h, w in part.arrays.sizes[1].tolist()]
        assert counted == sum(whole)


def test_crops_with_surroundings_lie_in_the_picture(tmp_path: Path) -> None:
    """What lies around a crop is known where the picture has it, and -1 beyond."""
    tokenizer = tokenizer_of(1)
    tokens = write(tokenizer, tmp_path / "t.parquet", ((24, 40), (8, 12)))
    data = read_prior_data(tokenizer, Sources(tokens, classes=False), share=0.5, reach=3, context=4)
    arrays = data.fitted.arrays
    assert data.fitted.crops == Crops((4, 4), ((1, 1),), 3)
    (whole,), _, _ = next(iter(data.fitted.batches(1)))
    window = arrays.window(0, 0, (-3, -3), (10, 10))
    height, width = whole.shape[:2]
    h, w = min(height, 7), min(width, 7)
    assert torch.equal(window[3 : 3 + h, 3 : 3 + w], whole[:h, :w])
    assert bool((window[:3] == -1).all()) and bool((window[:, :3] == -1).all())
    assert bool((window[3 + h :] == -1).all())


def test_a_crop_with_surroundings_costs_what_it_does_in_the_picture() -> None:
    torch.manual_seed(0)
    upper = CodeGrid((5, 4), (2, 2))
    prior = PortablePrior(
        CodeGrid((6, 3), (4, 4)), Conditioning(upper=(upper,)), hidden=8, layers=1, reach=3
    ).double()
    whole = torch.stack([torch.randint(k, (1, 20, 20)) for k in (6, 3)], -1)
    coarse = torch.stack([torch.randint(k, (1, 10, 10)) for k in (5, 4)], -1)
    expected = -prior.log_probs(whole, Condition(upper=(coarse,)))[:, 8:12, 6:10].mean()
    cut = Condition(upper=(coarse[:, 2:8, 1:7],), margin=(4, 4))
    assert torch.allclose(prior.loss(whole[:, 4:16, 2:14], cut), expected)
    outside = whole[:, 4:16, 2:14].clone()
    outside[:, 7:] = -1  # the picture ends within the crop
    short = -prior.log_probs(whole[:, :11], Condition(upper=(coarse[:, :6],)))[:, 8:11, 6:10]
    ended = coarse[:, 2:8, 1:7].clone()
    ended[:, 4:] = -1
    assert torch.allclose(
        prior.loss(outside, Condition(upper=(ended,), margin=(4, 4))), short.mean()
    )


def test_too_small_pictures_are_told(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(2)
    tokens = write(tokenizer, tmp_path / "t.parquet", (*SIZES, (1, 1), (4, 4), *SIZES))
    sources = Sources(tokens, classes=False)
    with pytest.warns(DataWarning, match=r"\d of \d+ signals have grids below 2 x 2 codes.*left"):
        read_prior_data(tokenizer, sources, share=0.2, context=2)
    with pytest.raises(DataError, match=r"at least 9 x 9 codes, the crops.*context\.positions"):
        read_prior_data(tokenizer, sources, share=0.2, context=9)
    data = read_prior_data(tokenizer, sources, share=0.2, reach=2, context=9)
    assert len(data.fitted) + len(data.held_out) == 10  # a prior with a reach takes any


def test_scales_that_do_not_divide_one_another_need_signals_of_one_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vector = {"name": "vector", "dim": 4, "codebook_size": 8}
    parts = {
        "encoder": {**CELLS, "downsample": 4},
        "quantizer": {"name": "multi_scale", "stages": [vector], "scales": [2, 3]},
        "decoder": {**{k: v for k, v in CELLS.items() if k != "dim"}, "downsample": 4},
    }
    tokenizer = build_tokenizer(parts, channels=3).eval()
    tokens = write(tokenizer, tmp_path / "t.parquet", ((12, 12), (24, 12)))
    with pytest.raises(DataError, match="one size, as the scales of this tokenizer do not divide"):
        read_prior_data(tokenizer, Sources(tokens, classes=False), share=0.5)
