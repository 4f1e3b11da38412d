"""The tokenizer: any size and number of channels, exact round trips, real bits, clear errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from vocabula.errors import CodeError, DataError, OptionError
from vocabula.quantizers import FiniteScalarQuantizer, ResidualQuantizer, VectorQuantizer
from vocabula.tokenizers import Gaussian, LogisticMixture, Tokenizer, build_tokenizer

SMALL = {"name": "vqvae", "hidden": 8, "residual_hidden": 4}
VECTOR = {"name": "vector", "dim": 6, "codebook_size": 16}
VAE = {"name": "gaussian", "dim": 6}


def small(channels: int = 3, quantizer: Any = VECTOR, **specs: Any) -> Tokenizer:
    torch.manual_seed(0)
    parts = {"encoder": SMALL, "decoder": SMALL, "quantizer": quantizer, **specs}
    return build_tokenizer(parts, channels)


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 8), (13, 6), (17, 30)])
@pytest.mark.parametrize("likelihood", ["gaussian", "logistic_mixture"])
def test_any_size_and_number_of_channels(
    channels: int, size: tuple[int, int], likelihood: str
) -> None:
    tokenizer = small(channels, likelihood=likelihood).eval()
    x = images(2, channels, *size)
    result = tokenizer(x)
    grid = (math.ceil(size[0] / 4), math.ceil(size[1] / 4))
    assert tokenizer.grid(*size) == grid
    assert result.output.shape == x.shape
    assert result.quantized.codes.shape == (2, *grid)
    assert result.output.min() >= 0 and result.output.max() <= 1
    codes = tokenizer.encode(x)
    assert torch.equal(codes, result.quantized.codes)
    torch.testing.assert_close(tokenizer.decode(codes, size=size), result.output)
    torch.testing.assert_close(tokenizer.reconstruct(x), result.output)
    assert tokenizer.decode(codes).shape == (2, channels, 4 * grid[0], 4 * grid[1])


def test_floats_and_bytes_are_the_same_image() -> None:
    tokenizer = small().eval()
    x = images(1, 3, 8, 8)
    torch.testing.assert_close(tokenizer(x).output, tokenizer(x.float() / 255).output)


def test_the_encoder_sees_centred_images() -> None:
    """A grey image of 0.5 reaches the encoder as zeros."""
    tokenizer = small()
    seen = []
    tokenizer.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tokenizer(torch.full((1, 3, 8, 8), 0.5))
    assert (seen[0] == 0).all()


def test_padding_repeats_the_border() -> None:
    tokenizer = small(1)
    seen = []
    tokenizer.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] + 0.5))
    x = torch.rand(1, 1, 2, 3)
    tokenizer(x)
    assert seen[0].shape == (1, 1, 4, 4)
    torch.testing.assert_close(seen[0][..., :2, 3], x[..., :, 2])
    torch.testing.assert_close(seen[0][..., 3, :3], x[..., 1, :])


def test_the_loss_is_reconstruction_plus_bottleneck() -> None:
    tokenizer = small()
    x = torch.rand(2, 3, 8, 8)
    result = tokenizer(x)
    assert "reconstruction" in result.losses
    expected = result.losses["reconstruction"] + result.quantized.loss
    torch.testing.assert_close(result.loss, expected)
    mse = (result.output - x).square().mean()
    torch.testing.assert_close(result.losses["reconstruction"], mse, rtol=1e-4, atol=1e-6)


def test_gradients_reach_encoder_and_decoder() -> None:
    tokenizer = small()
    tokenizer(torch.rand(2, 3, 8, 8)).loss.backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name


def test_several_books_come_last() -> None:
    stages = [VectorQuantizer(6, 16), VectorQuantizer(6, 8)]
    tokenizer = small(quantizer=ResidualQuantizer(stages)).eval()
    codes = tokenizer.encode(images(2, 3, 8, 12))
    assert codes.shape == (2, 2, 3, 2)
    assert tokenizer.bits_per_code == pytest.approx(4 + 3)
    assert tokenizer.decode(codes).shape == (2, 3, 8, 12)


def test_the_quantizer_decides_the_width() -> None:
    tokenizer = small(quantizer=FiniteScalarQuantizer([8, 5, 5]))
    assert tokenizer.encoder.dim == tokenizer.decoder.dim == 3
    assert tokenizer.bits_per_code == pytest.approx(math.log2(200))


def test_empty_batches() -> None:
    tokenizer = small().eval()
    result = tokenizer(images(0, 3, 7, 8))
    assert result.output.shape == (0, 3, 7, 8)
    assert tokenizer.encode(images(0, 3, 7, 8)).shape == (0, 2, 2)
    assert result.loss.isfinite()


def test_bits_of_codes_are_log2_k_per_position() -> None:
    """16 codewords are 4 bits; 2 x 3 positions over 3 x 8 x 12 values: 24 / 288."""
    tokenizer = small().eval()
    x = images(2, 3, 8, 12)
    bits = tokenizer.bits_per_dim(x)
    assert bits.codes.tolist() == pytest.approx([24 / 288] * 2)
    parameters = tokenizer.decoder(tokenizer.quantizer.decode(tokenizer.encode(x)).movedim(-1, 1))
    expected = tokenizer.likelihood.bits_per_dim(parameters, x / 255)
    torch.testing.assert_close(bits.likelihood, expected)
    torch.testing.assert_close(bits.total, bits.codes + bits.likelihood)


def test_an_untrained_gaussian_of_variance_one_twelfth_costs_about_eight_bits() -> None:
    """Decoder output 0: E[(x - 1/2)^2] = 1/12 gives log2(255 sqrt(2 pi e / 12)) = 8.25 bits."""
    tokenizer = small(1).eval()
    for parameter in tokenizer.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    bits = tokenizer.bits_per_dim(x).likelihood.item()
    assert bits == pytest.approx(math.log2(255 * math.sqrt(2 * math.pi * math.e / 12)), abs=0.1)


def test_vae_bits_are_kl_plus_likelihood() -> None:
    tokenizer = small(quantizer=VAE).eval()
    with torch.no_grad():
        tokenizer.quantizer.project.weight.zero_()
        tokenizer.quantizer.project.bias.zero_()
        tokenizer.quantizer.project.bias[:6] = 1
    x = images(2, 3, 8, 12)
    bits = tokenizer.bits_per_dim(x)
    # N(1, 1): 1/2 nat in each of 6 dimensions at 2 x 3 positions, over 288 values
    assert bits.codes.tolist() == pytest.approx([6 * 6 * 0.5 / math.log(2) / 288] * 2)
    assert torch.equal(bits.likelihood, tokenizer.bits_per_dim(x).likelihood)


def test_vae_reconstructs_but_has_no_codes() -> None:
    tokenizer = small(quantizer=VAE)
    x = images(1, 3, 9, 9)
    assert torch.equal(tokenizer.reconstruct(x), tokenizer.reconstruct(x))
    assert tokenizer(x).losses.keys() == {"reconstruction", "kl"}
    assert tokenizer.bits_per_code == 0
    for call in (
        lambda: tokenizer.encode(x),
        lambda: tokenizer.decode(torch.zeros(1, 3, 3).long()),
    ):
        with pytest.raises(OptionError, match=r"continuous GaussianBottleneck.*reconstruct"):
            call()


def test_reconstruct_changes_no_state_in_training_mode() -> None:
    tokenizer = small()
    tokenizer(images(2, 3, 8, 8))
    before = {k: v.clone() for k, v in tokenizer.state_dict().items()}
    tokenizer.reconstruct(images(2, 3, 8, 8))
    tokenizer.encode(images(2, 3, 8, 8))
    assert all(torch.equal(before[k], v) for k, v in tokenizer.state_dict().items())


# torch.compile itself instantiates the autograd functions that it traces
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize(("training", "quantizer"), [(True, VECTOR), (True, VAE), (False, VAE)])
def test_compiles_without_a_graph_break(training: bool, quantizer: Any) -> None:
    """Backward passes are in the conformance tests: what is around a quantizer mutates nothing."""
    tokenizer = small(quantizer=quantizer).train(training)
    x = torch.rand(2, 3, 7, 8)
    compiled = torch.compile(tokenizer, fullgraph=True, backend="eager")
    assert compiled(x).loss.isfinite()


def test_half_precision() -> None:
    tokenizer = small().bfloat16().eval()
    result = tokenizer(images(1, 3, 8, 8))
    assert result.loss.dtype == torch.float32
    assert result.output.isfinite().all()


BAD = [
    (torch.zeros(3, 8, 8), r"expected \(B, 3, H, W\), got shape \(3, 8, 8\)"),
    (torch.zeros(1, 1, 8, 8), r"expected 3 channels, got 1"),
    (torch.zeros(1, 8, 8, 3), r"channels forward with x\.permute\(0, 3, 1, 2\)"),
    (torch.zeros(8, 8, 3), r"x\.permute\(2, 0, 1\)\[None\]"),
    (torch.zeros(3, 8, 8), r"add the batch dimension: x\[None\]"),
    (torch.zeros(1, 3, 0, 8), r"at least 1 x 1"),
    (torch.zeros(1, 3, 8, 8, dtype=torch.int64), r"uint8 or floating point, got torch.int64"),
    (torch.full((1, 3, 8, 8), 255.0), r"in \[0, 1\], got 255 to 255; divide by 255"),
    (torch.full((1, 3, 8, 8), -1.0), r"in \[0, 1\], got -1 to -1; rescale"),
    (torch.full((1, 3, 8, 8), torch.nan), r"finite values"),
    (torch.full((1, 3, 8, 8), torch.inf), r"finite values"),
]


@pytest.mark.parametrize(("x", "message"), BAD)
@pytest.mark.parametrize(
    "verb", ["forward", "encode", "vectors", "reconstruct", "analyse", "bits_per_dim"]
)
def test_bad_images_are_refused(x: torch.Tensor, message: str, verb: str) -> None:
    with pytest.raises(DataError, match=message):
        getattr(small(), verb)(x)


def test_bad_codes_are_refused() -> None:
    tokenizer = small()
    with pytest.raises(CodeError, match=r"expected codes \(B, h, w\), got \(2, 2\)"):
        tokenizer.decode(torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(CodeError):
        tokenizer.decode(torch.full((1, 2, 2), 16))
    with pytest.raises(OptionError, match="takes no condition"):
        tokenizer.decode(torch.zeros(1, 2, 2, dtype=torch.int64), condition=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(9, 8), (4, 8), (0, 8), (8, 8, 8)])
def test_sizes_that_do_not_fit_the_codes_are_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="expected a size of 2 x 2 codes"):
        small().decode(torch.zeros(1, 2, 2, dtype=torch.int64), size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({"encoder": {**SMALL, "downsample": 8}}, r"decoder.stride.*the encoder's 8, got 4"),
        ({"encoder": {**SMALL, "dim": 5}}, r"encoder.dim: expected the quantizer's 6, got 5"),
        ({"decoder": {**SMALL, "out_channels": 2}}, r"out_channels=3"),
        ({"quantizer": {**VECTOR, "channel_dim": 1}}, r"channel_dim"),
        ({"encoder": "vqvea"}, r"did you mean 'vqvae'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(specs: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        small(**specs)


def test_a_missing_part_is_named() -> None:
    with pytest.raises(OptionError, match="got no quantizer"):
        build_tokenizer({"encoder": SMALL, "decoder": SMALL}, 3)


def test_ready_made_parts_are_taken_as_they_are() -> None:
    likelihood = LogisticMixture(2)
    tokenizer = small(quantizer=VectorQuantizer(6, 16), likelihood=likelihood)
    assert tokenizer.likelihood is likelihood
    assert tokenizer.decoder.out_channels == 20


def test_every_tokenizer_gets_its_own_default_likelihood() -> None:
    a, b = small(), small()
    again = Tokenizer(a.encoder, a.quantizer, a.decoder)
    assert isinstance(again.likelihood, Gaussian)
    assert a.likelihood is not b.likelihood


@pytest.mark.parametrize("quantizer", [VECTOR, VAE])
@pytest.mark.parametrize("likelihood", ["gaussian", "logistic_mixture"])
def test_an_analysis_is_what_the_single_verbs_give(quantizer: Any, likelihood: str) -> None:
    tokenizer = small(quantizer=quantizer, likelihood=likelihood).eval()
    x = images(2, 3, 9, 14)
    found = tokenizer.analyse(x, seed=3)
    (vectors,) = found.vectors
    assert vectors.shape == (2, 3, 4, 6) and torch.equal(vectors, tokenizer.vectors(x))
    assert (
        torch.equal(found.target, tokenizer.signal.check(x))
        and not found.losses
        and found.loss == 0
    )
    assert torch.equal(found.output, tokenizer.reconstruct(x))
    assert torch.equal(found.bits.total, tokenizer.bits_per_dim(x, seed=3).total)
    if quantizer is VAE:
        assert found.codes.shape == (2, 3, 4, 0)
        mean = tokenizer.quantizer.posterior(vectors)[0]
        assert torch.equal(tokenizer.quantizer(vectors).values, mean)
    else:
        assert torch.equal(found.codes, tokenizer.encode(x))


def test_an_analysis_runs_each_network_once() -> None:
    tokenizer, calls = small().eval(), []
    for part in ("encoder", "decoder"):
        getattr(tokenizer, part).register_forward_hook(lambda *_, part=part: calls.append(part))
    tokenizer.analyse(images(2, 3, 8, 8))
    assert calls == ["encoder", "decoder"]
