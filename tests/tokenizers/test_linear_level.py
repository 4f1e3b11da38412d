"""Levels that start as transforms: nothing is lost before quantization."""

from __future__ import annotations

import torch

from vocabula.tokenizers import HierarchicalTokenizer, build_tokenizer, tiles
from vocabula.tokenizers.inference import inference


def made(layers: int = 0) -> HierarchicalTokenizer:
    """Strides 16 and 8, all coefficients, a codebook of some values in each part."""

    def level(stride: int, width: int, dim: int, **options: object) -> dict[str, object]:
        quantizer = {"name": "vector", "dim": dim, "codebook_size": 32}
        return {
            "name": "linear",
            "encoder": {"name": "lapped", "downsample": stride, "dim": width, "layers": layers},
            "quantizer": quantizer,
            "decoder": {"name": "lapped", "downsample": stride, "layers": layers} | options,
        }

    torch.manual_seed(0)
    tokenizer = build_tokenizer(
        {"level1": level(2, 24, 24, out_channels=6), "level2": level(8, 192, 192, added=6)}, 3
    )
    assert isinstance(tokenizer, HierarchicalTokenizer)
    return tokenizer


def test_the_error_of_the_codes_is_the_error_of_the_image() -> None:
    tokenizer = made()
    x = torch.rand(2, 3, 64, 64)
    tokenizer(x)  # sets the codebooks
    tokenizer.eval()
    with torch.no_grad():
        (coarse, fine), last = tokenizer._descend(
            x, lambda quantizer, z: ((z, quantizer.evaluate(z)[1]), quantizer.evaluate(z)[1])
        )
        output = tokenizer.decode(tokenizer.encode(x), size=(64, 64))
    z, values = fine
    assert last.shape[-1] == 192 + 6
    # What level 2 could not code is all that is missing: coarse errors are in its z.
    missing = (z - values).square().sum()
    inner = (output - x)[..., 8:-8, 8:-8].square().sum()
    assert inner <= missing
    assert (output - x).square().sum() < 1.5 * missing
    first, coded = coarse
    error = (first - coded).square().sum()
    assert torch.allclose(z[..., :6].square().sum(), error, rtol=1e-4)


def test_large_images_in_tiles_give_the_same_codes(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    tokenizer = made(layers=1)
    tokenizer(torch.rand(2, 3, 64, 64))
    x = torch.rand(1, 3, 160, 224)
    with inference(tokenizer), torch.no_grad():
        whole = tokenizer.encode(x)
        monkeypatch.setattr(tiles, "TILE_PIXELS", 64**2)
        monkeypatch.setattr(tiles, "WHOLE_PIXELS", 64**2)
        tiled = tokenizer.encode(x)
    assert all(torch.equal(a, b) for a, b in zip(whole, tiled, strict=True))
