"""Several levels of codes: exact round trips, conditioning, gradients everywhere, clear errors."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from vocabula import load
from vocabula.errors import CheckpointError, CodeError, OptionError, ShapeError
from vocabula.quantizers import Quantizer
from vocabula.tokenizers import HierarchicalTokenizer, Tokenizer, build_tokenizer

QUANTIZERS: dict[str, dict[str, Any]] = {
    "vector": {"name": "vector", "dim": 6, "codebook_size": 16},
    "gumbel": {"name": "gumbel", "dim": 6, "codebook_size": 16},
    "fsq": {"name": "finite_scalar", "levels": [5, 4, 3]},
    "lfq": {"name": "lookup_free", "dim": 6},
    "residual": {
        "name": "residual",
        "stages": [{"name": "vector", "dim": 6, "codebook_size": k} for k in (8, 4)],
    },
    "product": {
        "name": "product",
        "parts": [{"name": "vector", "dim": 3, "codebook_size": 4} for _ in range(2)],
    },
}


def net(downsample: int) -> dict[str, Any]:
    return {"name": "vqvae", "hidden": 8, "residual_hidden": 4, "downsample": downsample}


def level(downsample: int, quantizer: Any = "vector", **parts: Any) -> dict[str, Any]:
    name = QUANTIZERS[quantizer] if isinstance(quantizer, str) else quantizer
    return {"encoder": net(downsample), "decoder": net(downsample), "quantizer": name, **parts}


def hierarchy(*levels: dict[str, Any], channels: int = 3, **specs: Any) -> HierarchicalTokenizer:
    torch.manual_seed(0)
    levels = levels or (level(2), level(4))
    named = {f"level{i}": table for i, table in enumerate(levels, start=1)}
    tokenizer = build_tokenizer({**named, **specs}, channels)
    assert isinstance(tokenizer, HierarchicalTokenizer)
    return tokenizer


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def settled(tokenizer: HierarchicalTokenizer) -> HierarchicalTokenizer:
    """After one training pass, which k-means initialization wants."""
    with torch.no_grad():
        for level in tokenizer.hierarchy:  # untrained features hardly differ by position
            level.join.weight.mul_(30)
        tokenizer.train()(images(8, tokenizer.channels, 16, 16))
    return tokenizer.eval()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (13, 6), (17, 30)])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_of_any_size_equals_the_forward_pass(
    channels: int, size: tuple[int, int]
) -> None:
    tokenizer = settled(hierarchy(channels=channels))
    x = images(2, channels, *size)
    result = tokenizer(x)
    codes = tokenizer.encode(x)
    # the image is padded to multiples of 8: the fine grid is always twice the coarse one
    coarse = (math.ceil(size[0] / 8), math.ceil(size[1] / 8))
    grids = (coarse, (2 * coarse[0], 2 * coarse[1]))
    assert tokenizer.grids(*size) == grids
    assert [tuple(c.shape) for c in codes] == [(2, *grid) for grid in grids]
    for code, quantized in zip(codes, result.levels, strict=True):
        assert torch.equal(code, quantized.codes)
    assert torch.equal(tokenizer.decode(codes, size=size), result.output)
    assert torch.equal(tokenizer.reconstruct(x), result.output)
    whole = (8 * coarse[0], 8 * coarse[1])
    assert tokenizer.decode(codes).shape == (2, channels, *whole)


@pytest.mark.parametrize("coarse", QUANTIZERS)
@pytest.mark.parametrize("fine", ["vector", "residual", "fsq"])
def test_any_quantizer_at_each_level(coarse: str, fine: str) -> None:
    tokenizer = settled(hierarchy(level(2, coarse), level(2, fine)))
    x = images(2, 3, 8, 8)
    codes = tokenizer.encode(x)
    for code, side, one in zip(codes, (2, 4), tokenizer.levels, strict=True):
        assert code.shape == (2, side, side, *one.code_shape) and code.dtype == torch.int64
    assert torch.equal(tokenizer.decode(codes, size=(8, 8)), tokenizer.reconstruct(x))


def test_three_levels_with_other_strides_and_a_likelihood() -> None:
    tokenizer = settled(
        hierarchy(level(4, "lfq"), level(1), level(2, "residual"), likelihood="logistic_mixture")
    )
    assert [one.stride for one in tokenizer.levels] == [8, 2, 2]
    assert tokenizer.stride == 8
    codes = tokenizer.encode(images(1, 3, 16, 9))
    assert [tuple(c.shape) for c in codes] == [(1, 2, 2), (1, 8, 8), (1, 8, 8, 2)]
    assert tokenizer.decode(codes, size=(16, 9)).shape == (1, 3, 16, 9)


@pytest.mark.parametrize("coarse", ["vector", "residual", "gumbel", "fsq"])
def test_gradients_reach_every_parameter_of_every_level(coarse: str) -> None:
    tokenizer = hierarchy(level(2, coarse), level(2, coarse), level(2, coarse)).train()
    tokenizer(images(4, 3, 16, 16)).loss.backward()
    learning = [name for name, p in tokenizer.named_parameters() if p.requires_grad]
    grads = {n: p.grad for n, p in tokenizer.named_parameters() if p.grad is not None}
    assert set(learning) == set(grads)
    for position in range(3):
        for part in ("encoder", "join", "decoder"):
            of_part = [g for n, g in grads.items() if n.startswith(f"hierarchy.{position}.{part}")]
            assert of_part and any(bool(g.abs().sum() > 0) for g in of_part)


def test_the_loss_is_the_sum_of_its_named_parts() -> None:
    tokenizer = hierarchy(level(2, "lfq"), level(2)).train()
    result = tokenizer(images(4, 3, 8, 8))
    weights = {
        "level1.commitment": 0.25,
        "level1.entropy_sample": 0.1,  # H_sample - gamma H_batch, gamma = 1
        "level1.entropy_batch": -0.1,
        "level2.commitment": 0.25,
    }
    assert set(result.losses) == {"reconstruction", *weights}
    summed = result.losses["reconstruction"] + sum(
        weight * result.losses[name].mean() for name, weight in weights.items()
    )
    torch.testing.assert_close(result.loss, summed)


def test_fine_codes_depend_on_what_the_coarse_codes_decode_to() -> None:
    """The same image and fine networks, other coarse codes: other fine vectors."""
    tokenizer = settled(hierarchy())
    x = images(2, 3, 16, 16)
    before = tokenizer.analyse(x)
    other = copy.deepcopy(tokenizer)
    with torch.no_grad():  # all coarse vectors go to codeword 0
        other.hierarchy[0].join.weight.zero_()
        other.hierarchy[0].join.bias.copy_(other.hierarchy[0].quantizer.decode(torch.tensor(0)))
    after = other.analyse(x)
    assert after.levels[0].codes.unique().tolist() == [0]
    assert not torch.allclose(before.vectors[1], after.vectors[1])
    same = torch.zeros_like(before.levels[0].codes)
    torch.testing.assert_close(other.decode((same, after.levels[1].codes)), other(x).output)


def test_bits_are_the_sum_over_levels() -> None:
    tokenizer = settled(hierarchy(level(2, "residual"), level(4)))
    # by hand: (3 + 2) bits for 8 x 8 pixels, 4 bits for 4 x 4; 16 x 16 pixels of 3 channels
    assert tokenizer.bits_per_unit == pytest.approx(5 / 64 + 4 / 16)
    bits = tokenizer.bits_per_dim(images(2, 3, 16, 16))
    assert bits.codes.tolist() == pytest.approx([(4 * 5 + 16 * 4) / 768] * 2)


def test_analysis_of_each_level() -> None:
    tokenizer = settled(hierarchy(level(2, "residual"), level(4)))
    x = images(2, 3, 9, 16)
    found = tokenizer.analyse(x)
    levels = zip(tokenizer.levels, tokenizer.encode(x), found.levels, found.vectors, strict=True)
    for one, code, part, vectors in levels:
        assert torch.equal(part.codes, code)
        assert isinstance(one.quantizer, Quantizer)
        assert torch.equal(part.values, one.quantizer.decode(code))
        assert vectors.shape == part.values.shape
    torch.testing.assert_close(found.output, tokenizer.reconstruct(x))
    values = [part.values for part in found.levels]
    assert torch.equal(tokenizer.decode_values(values, size=(9, 16)), found.output)
    with pytest.raises(ShapeError, match="got 2 levels"):
        _ = found.codes


@pytest.mark.parametrize("position", [0, 1])
def test_replacing_the_values_of_a_level_changes_the_picture(position: int) -> None:
    tokenizer = settled(hierarchy())
    found = tokenizer.analyse(images(2, 3, 16, 16))
    values = [part.values for part in found.levels]
    values[position] = values[position].mean((0, 1, 2)).expand_as(values[position])
    changed = (tokenizer.decode_values(values) - found.output).abs().max()
    assert float(changed.detach()) > 1e-5


def test_codes_of_the_wrong_number_or_shape_are_refused() -> None:
    tokenizer = settled(hierarchy(level(2, "residual"), level(4)))
    coarse, fine = tokenizer.encode(images(2, 3, 16, 16))
    for codes, message in (
        (fine, "expected codes of 2 levels, the coarsest first, got 1"),
        ((coarse, fine, fine), "expected codes of 2 levels, the coarsest first, got 3"),
        ((fine, coarse), r"level 1: expected codes \(B, h, w, 2\), got \(2, 4, 4\)"),
        ((coarse, fine[0]), r"level 2: expected codes \(B, h, w\), got \(4, 4\)"),
        ((coarse, fine[:, :2]), r"expected levels of \[\(2, 2, 2\), \(2, 4, 4\)\].*\(2, 2, 4\)"),
        ((coarse, fine[:1]), r"expected levels of \[\(2, 2, 2\), \(2, 4, 4\)\].*\(1, 4, 4\)"),
        ((coarse, fine + 16), r"expected codes in \[0, 15\]"),
    ):
        with pytest.raises(CodeError, match=message):
            tokenizer.decode(codes)
    with pytest.raises(OptionError, match="2 x 2 codes of 8 pixels"):
        tokenizer.decode((coarse, fine), size=(8, 16))
    with pytest.raises(OptionError, match="condition=None"):
        tokenizer.decode((coarse, fine), condition=3)  # type: ignore[arg-type]
    values = [part.values for part in tokenizer.analyse(images(2, 3, 16, 16)).levels]
    for wrong in (values[:1], values[::-1], [values[0], values[1][..., :3]]):
        with pytest.raises(ShapeError, match="for each of 2 levels"):
            tokenizer.decode_values(wrong)


def test_a_flat_tokenizer_takes_its_only_level_in_a_list_too() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(level(4), 3).eval()
    codes = tokenizer.encode(images(1, 3, 8, 8))
    assert isinstance(codes, torch.Tensor)
    assert torch.equal(tokenizer.decode([codes]), tokenizer.decode(codes))
    with pytest.raises(CodeError, match=r"expected codes of 1 level, .* got 2"):
        tokenizer.decode((codes, codes))


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((level(2),), r"levels: expected at least 2|at least 2|MinLen|levels"),
        ((level(2, {"name": "gaussian", "dim": 4}), level(2)), "discrete quantizer, got Gauss"),
        ((level(2), level(2, decoder=net(4))), r"level2\.decoder\.stride: expected the encoder's"),
        ((level(2, encoder=net(2) | {"in_channels": 5}), level(2)), r"level1\.encoder\.in_chan"),
        ((level(2, decoder=net(2) | {"dim": 9}), level(2)), r"level1|wider|decoder\.dim"),
        ((level(2), level(2, decoder=net(2) | {"dim": 9})), r"level2\.decoder\.dim: expected"),
        ((level(2), level(2, decoder=net(2) | {"dim": 3})), r"decoder\.dim: expected.*got 3"),
        ((level(2), {"encoder": "vqvae", "decoder": "vqvae"}), "level2: .* got no quantizer"),
        ((level(2), "vqvae"), "level2: .* got no encoder"),
        ((level(2), level(2, quantizer={"name": "vectr"})), r"level2\.quantizer.*did you mean"),
    ],
)
def test_parts_that_do_not_fit_are_named(levels: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        hierarchy(*levels)


def test_levels_are_numbered_without_gaps() -> None:
    with pytest.raises(OptionError, match="got level1, level3"):
        build_tokenizer({"level1": level(2), "level3": level(2)}, 3)


@pytest.mark.slow
def test_saving_and_loading(tmp_path: Path) -> None:
    tokenizer = settled(hierarchy(level(2, "residual"), level(2, "fsq")))
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = load(tmp_path / "saved")
    again = HierarchicalTokenizer.from_pretrained(tmp_path / "saved")
    x = images(2, 3, 12, 9)
    for other in (loaded, again):
        assert other.fingerprint() == tokenizer.fingerprint()
        assert all(map(torch.equal, other.encode(x), tokenizer.encode(x)))
        assert torch.equal(other.reconstruct(x), tokenizer.reconstruct(x))
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "4 x 4 pixels, with codebooks of 8, 4 and one position per 2 x 2 pixels" in card
    with pytest.raises(CheckpointError, match="expected a Tokenizer, got a HierarchicalTokenizer"):
        Tokenizer.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    tokenizer = settled(hierarchy()).to(dtype)
    x = images(2, 3, 8, 8)
    codes = tokenizer.encode(x)
    assert torch.equal(tokenizer.decode(codes, size=(8, 8)), tokenizer.reconstruct(x))


def test_autocast_in_training() -> None:
    tokenizer = hierarchy().train()
    with torch.autocast("cpu", torch.bfloat16):
        result = tokenizer(images(4, 3, 16, 16))
    result.loss.backward()
    assert math.isfinite(result.loss.item())


def test_empty_batch() -> None:
    tokenizer = settled(hierarchy())
    codes = tokenizer.encode(images(0, 3, 8, 8))
    assert [tuple(c.shape) for c in codes] == [(0, 1, 1), (0, 2, 2)]
    assert tokenizer.decode(codes).shape == (0, 3, 8, 8)
