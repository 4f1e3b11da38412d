"""The tokenizer whose quantizer has several grids: levels, prefixes, padded batches, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vocabula import codec, load
from vocabula.codec.stages import least_stages, tokenizer_stages
from vocabula.errors import CodeError, OptionError
from vocabula.nn import VQVAEDecoder, VQVAEEncoder
from vocabula.quantizers import MultiScaleQuantizer, VectorQuantizer
from vocabula.tokenizers import MultiScaleTokenizer, Tokenizer, build_tokenizer, save
from vocabula.tokenizers.saved_folder import read_tokenizer_config
from vocabula.tokenizers.saved_summary import saved_summary
from vocabula.tokenizers.summary import summarize

SCALES = (1, 2, 3, 4)


def networks() -> tuple[VQVAEEncoder, VQVAEDecoder]:
    sizes = {"hidden": 8, "residual_layers": 1, "residual_hidden": 4}
    return VQVAEEncoder(3, 8, **sizes), VQVAEDecoder(8, 3, **sizes)


def small(**options: object) -> MultiScaleTokenizer:
    """A tokenizer of images with 4 x 4 codes in 16 pixels, past the fits of its book."""
    torch.manual_seed(0)
    encoder, decoder = networks()
    quantizer = MultiScaleQuantizer([VectorQuantizer(8, 16)], SCALES, **options)
    tokenizer = MultiScaleTokenizer(encoder, quantizer, decoder)
    for _ in range(3):
        tokenizer(torch.rand(8, 3, 16, 16))
    return tokenizer


def test_scales_are_levels() -> None:
    tokenizer = small().eval()
    x = torch.rand(2, 3, 15, 16)
    codes = tokenizer.encode(x)
    assert [tuple(level.shape) for level in codes] == [(2, n, n) for n in SCALES]
    assert tokenizer.grids(15, 16) == tuple((n, n) for n in SCALES)
    assert [str(level.stride) for level in tokenizer.levels] == ["16", "8", "16/3", "4"]
    assert tokenizer.bits_per_unit == pytest.approx((1 + 4 + 9 + 16) * 4 / 256)
    decoded = tokenizer.decode(codes, size=(15, 16))
    torch.testing.assert_close(decoded, tokenizer.reconstruct(x), rtol=0, atol=1e-6)
    found = tokenizer.analyse(x)
    bits = found.bits.codes * x[0].numel()
    assert bits.tolist() == pytest.approx([30 * 4] * 2)
    values = [level.values for level in found.levels]
    shown = tokenizer.decode_values(values, size=(15, 16))
    torch.testing.assert_close(shown, found.output)
    assert torch.equal(
        tokenizer.quantizer.join(codes), tokenizer.quantizer.encode(tokenizer.vectors(x))
    )


def test_larger_signals_have_the_scales_of_every_block() -> None:
    tokenizer = small().eval()
    codes = tokenizer.encode(torch.rand(1, 3, 16, 30))
    assert [tuple(level.shape[1:]) for level in codes] == [(n, 2 * n) for n in SCALES]
    assert tokenizer.decode(codes, size=(16, 30)).shape == (1, 3, 16, 30)
    with pytest.raises(CodeError, match="expected levels of"):
        tokenizer.decode((*codes[:2], codes[2][:, :, :5], codes[3]))


def test_the_first_scales_decode_alone() -> None:
    tokenizer = small().eval()
    x = torch.rand(2, 3, 16, 16)
    codes = tokenizer.encode(x)
    z = tokenizer.vectors(x)
    for count in range(1, 5):
        flat = tokenizer.quantizer.encode(z)[:, : sum(n * n for n in SCALES[:count])]
        values = tokenizer.quantizer.decode(flat)
        expected = tokenizer._output(tokenizer._describe(values, (16, 16)))
        assert torch.equal(tokenizer.decode(codes[:count]), expected)
    with pytest.raises(CodeError, match="for whole scales"):
        tokenizer.decode((torch.full_like(codes[0], -1), *codes[1:]))


def test_training_counts_every_scale() -> None:
    tokenizer = small().train()
    result = tokenizer(torch.rand(4, 3, 16, 16))
    assert [tuple(level.codes.shape[1:]) for level in result.levels] == [(n, n) for n in SCALES]
    expected = result.losses["reconstruction"] + sum(level.loss for level in result.levels)
    torch.testing.assert_close(result.loss, expected)
    assert {"level1.commitment", "level4.refinement"} <= set(result.losses)
    result.loss.backward()
    assert all(p.grad is not None for p in tokenizer.parameters())


def test_a_step_is_that_of_the_quantizer_alone() -> None:
    tokenizer = small(dropout=0.5).train()
    tokenizer.quantizer.auto_update = False
    x = torch.rand(6, 3, 16, 16)
    torch.manual_seed(1)
    result = tokenizer(x)
    torch.manual_seed(1)
    alone = tokenizer.quantizer(tokenizer.vectors(x))
    joined = tokenizer.quantizer.join([level.codes for level in result.levels])
    assert torch.equal(joined, alone.codes)
    assert (joined == -1).any()
    for name, term in alone.losses.items():
        torch.testing.assert_close(result.losses[name], term)


def test_padded_signals_are_as_good_as_alone() -> None:
    tokenizer = small().eval()
    x = torch.rand(3, 3, 16, 32)
    mask = torch.zeros(3, 16, 32, dtype=torch.bool)
    mask[0] = True
    mask[1, :10, :9] = True
    codes = tokenizer.encode(x, mask)
    own = tokenizer.encode(x[1:2, :, :10, :9])
    for level, (one, alone) in zip(SCALES, zip(codes, own, strict=True), strict=True):
        assert torch.equal(one[1:2, :, :level], alone)
        assert (one[1, :, level:] == -1).all() and (one[2] == -1).all()
    shown = tokenizer.decode(codes, mask=mask)
    torch.testing.assert_close(shown[1:2, :, :10, :9], tokenizer.reconstruct(x[1:2, :, :10, :9]))
    trained = tokenizer.train()(x, mask)
    one = tokenizer.eval()(x[:1])
    assert torch.equal(trained.levels[3].codes[:1], one.levels[3].codes)


def test_saved_and_built_alike(tmp_path: Path) -> None:
    tokenizer = small().eval()
    save(tokenizer, tmp_path / "run")
    again = load(tmp_path / "run")
    assert type(again) is MultiScaleTokenizer
    x = torch.rand(2, 3, 16, 16)
    for one, other in zip(tokenizer.encode(x), again.encode(x), strict=True):
        assert torch.equal(one, other)
    folder = tmp_path / "run"
    assert saved_summary(folder, read_tokenizer_config(folder)) == summarize(tokenizer)
    names = {"name": "vqvae", "hidden": 8, "residual_hidden": 4}
    book = {"name": "vector", "dim": 8, "codebook_size": 16}
    quantizer = {"name": "multi_scale", "scales": [1, 2, 4], "stages": [book]}
    built = build_tokenizer({"encoder": names, "decoder": names, "quantizer": quantizer}, 3)
    assert isinstance(built, MultiScaleTokenizer)


def test_parts_that_do_not_fit() -> None:
    encoder, decoder = networks()
    quantizer = MultiScaleQuantizer([VectorQuantizer(8, 16)], (1, 2))
    with pytest.raises(OptionError, match="use MultiScaleTokenizer"):
        Tokenizer(encoder, quantizer, decoder)
    with pytest.raises(OptionError, match="expected a MultiScaleQuantizer, got VectorQuantizer"):
        MultiScaleTokenizer(encoder, VectorQuantizer(8, 16), decoder)
    line = MultiScaleQuantizer([VectorQuantizer(8, 16)], (1, 2), axes=1)
    with pytest.raises(OptionError, match=r"expected the signal's 2, got 1; set quantizer\.axes=2"):
        MultiScaleTokenizer(encoder, line, decoder)


@pytest.mark.parametrize("model", ["static", "adaptive"])
def test_files_have_a_stage_for_each_scale(tmp_path: Path, model: str) -> None:
    tokenizer = small().eval()
    assert [stage.grid((16, 16)) for stage in tokenizer_stages(tokenizer)] == [
        (n, n) for n in SCALES
    ]
    assert least_stages(tokenizer) == 1
    images = (torch.rand(3, 3, 16, 16) * 255).byte()
    counts, order = np.arange(1, 17), np.arange(16, dtype=np.uint32)
    known = codec.CodeStatistics(tokenizer.fingerprint(), (counts,) * 4, (order,) * 4)
    whole = tokenizer.encode(images)
    for stages in (4, 2, 1):
        path = tmp_path / f"{stages}.vcb"
        codec.write(path, images, tokenizer, stages=stages, entropy=model, statistics=known)
        expected = tokenizer.decode_stored(whole[:stages], size=(16, 16))
        assert torch.equal(
            torch.stack(list(codec.read(path, tokenizer, statistics=known))), expected
        )
    assert (tmp_path / "1.vcb").stat().st_size < (tmp_path / "4.vcb").stat().st_size
