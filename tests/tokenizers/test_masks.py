"""Padded batches: every signal gives what it gives alone, and the padding counts for nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from builders import HALF, QUANTIZERS, SMALL
from vocabula.errors import CodeError, DataError
from vocabula.levels import levels_of
from vocabula.nn import Decoder, Encoder
from vocabula.quantizers import EMA, ResidualQuantizer, VectorQuantizer
from vocabula.signals import Condition, Signal, Vector
from vocabula.tokenizers import (
    Categorical,
    Gaussian,
    GaussianBottleneck,
    HierarchicalTokenizer,
    LogisticMixture,
    Normal,
    SignalTokenizer,
    Tokenizer,
    build_tokenizer,
)
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.training.measures import step_figures

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class AnySignal(Signal):
    """Real values on one to three axes."""

    unit: ClassVar[str] = "element"
    plural: ClassVar[str] = "signals"

    def __init__(self, axes: int, channels: int) -> None:
        self.axes = ("t", "h", "w")[:axes]  # type: ignore[misc]
        self.channels = channels

    def units(self, extent: Sequence[int]) -> float:
        return math.prod(extent)


def encoder(axes: int, channels: int, dim: int, stride: int) -> Encoder:
    """A strided convolution, and a normalization and convolution that see beyond its cells."""

    class Small(Encoder):
        def __init__(self) -> None:
            super().__init__()
            self.in_channels, self.dim, self.stride = channels, dim, stride
            self.network = nn.Sequential(
                CONVOLUTIONS[axes](channels, 6, 2 * (stride // 2) + 1, stride, stride // 2),
                nn.GroupNorm(2, 6),
                CONVOLUTIONS[axes](6, dim, 3, 1, 1),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

    Small.axes = axes
    return Small()


def decoder(axes: int, channels: int, dim: int, stride: int) -> Decoder:
    class Small(Decoder):
        def __init__(self) -> None:
            super().__init__()
            self.dim, self.out_channels, self.stride = dim, channels, stride
            self.network = nn.Sequential(
                CONVOLUTIONS[axes](dim, 6, 3, 1, 1),
                nn.GroupNorm(2, 6),
                TRANSPOSED[axes](6, channels, stride, stride),
            )

        def forward(self, z: Tensor) -> Tensor:
            return self.network(z)

    Small.axes = axes
    return Small()


def settled(tokenizer: SignalTokenizer, x: Tensor) -> SignalTokenizer:
    with torch.no_grad():  # k-means initialization wants one training batch
        tokenizer.train()(x)
    return tokenizer.eval()


def tokenizer_of(
    axes: int, stride: int, quantizer: str = "vector", likelihood: Likelihood | None = None
) -> SignalTokenizer:
    torch.manual_seed(0)
    likelihood = Normal() if likelihood is None else likelihood
    books = {
        "vector": lambda: VectorQuantizer(4, 8, learning=EMA(decay=0.9), revival=None),
        "residual": lambda: ResidualQuantizer([VectorQuantizer(4, 8), VectorQuantizer(4, 4)]),
        "gaussian": lambda: GaussianBottleneck(4),
    }
    tokenizer = Tokenizer(
        encoder(axes, 2, 4, stride),
        books[quantizer](),
        decoder(axes, likelihood.parameter_channels(2), 4, stride),
        likelihood=likelihood,
        signal=AnySignal(axes, 2),
    )
    return settled(tokenizer, torch.rand(4, 2, *[2 * stride + 3] * axes))


def masked(extents: Sequence[Sequence[int]], fill: float = 9.0) -> tuple[list[Tensor], Any, Any]:
    """Signals of two channels, their padded batch, and its mask."""
    whole = [max(2, *sizes) for sizes in zip(*extents, strict=True)]
    x = torch.full((len(extents), 2, *whole), fill)
    mask = torch.zeros(len(extents), *whole, dtype=torch.bool)
    signals = [torch.rand(1, 2, *extent) for extent in extents]
    for row, (extent, signal) in enumerate(zip(extents, signals, strict=True)):
        here = tuple(slice(size) for size in extent)
        x[row, :, *here], mask[row, *here] = signal[0], True
    return signals, x, mask


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, ...]]]:
    """Axes, stride and extents of a batch; an extent of 0 is a signal that is not there."""
    axes, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = st.tuples(*[st.integers(1, 7)] * axes)
    return axes, stride, draw(st.lists(size | st.just((0,) * axes), min_size=1, max_size=4))


@given(batches(), st.sampled_from(["vector", "residual", "gaussian"]))
def test_a_padded_signal_gives_what_it_gives_alone(
    batch: tuple[int, int, list[tuple[int, ...]]], quantizer: str
) -> None:
    axes, stride, extents = batch
    tokenizer = tokenizer_of(axes, stride, quantizer)
    signals, x, mask = masked(extents)
    found = tokenizer.analyse(x, mask)
    forward = tokenizer(x, mask)
    output = tokenizer.reconstruct(x, mask)
    torch.testing.assert_close(output, found.output)
    torch.testing.assert_close(output, forward.output)
    assert output.shape == x.shape and not output[~mask[:, None].expand_as(x)].any()
    if quantizer != "gaussian":
        codes = tokenizer.encode(x, mask)
        assert torch.equal(codes, found.codes) and torch.equal(codes, forward.quantized.codes)
        torch.testing.assert_close(tokenizer.decode(codes, mask=mask), output)
    for row, (extent, signal) in enumerate(zip(extents, signals, strict=True)):
        if 0 in extent:
            assert not found.bits.total[row] and not output[row].any()
            continue
        alone = tokenizer.analyse(signal)
        here = tuple(slice(size) for size in extent)
        torch.testing.assert_close(output[row, :, *here], alone.output[0])
        if quantizer == "gaussian":  # another draw of the posterior
            assert torch.isclose(found.bits.codes[row], alone.bits.codes[0])
            continue
        torch.testing.assert_close(found.bits.total[row], alone.bits.total[0])
        grid = tuple(slice(size) for size in tokenizer.grids(*extent)[0])
        outside = torch.ones_like(codes[row], dtype=torch.bool)
        outside[grid] = False
        assert torch.equal(codes[row][grid], tokenizer.encode(signal)[0])
        assert (codes[row][outside] == -1).all()


LIKELIHOODS = {
    "normal": Normal(0.5),
    "gaussian": Gaussian(0.5),
    "mixture": LogisticMixture(2),
    "categorical": Categorical(),
}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_loss_is_the_mean_over_what_is_inside(axes: int, likelihood: str) -> None:
    tokenizer = tokenizer_of(axes, 2, "vector", LIKELIHOODS[likelihood])
    signals, x, mask = masked([(5,) * axes, (2,) * axes, (3,) + (1,) * (axes - 1)], fill=1.0)
    result = tokenizer(x, mask)
    singles = [tokenizer(signal) for signal in signals]
    sizes = [signal.numel() for signal in signals]
    parts = [
        one.losses["reconstruction"].double() * n for one, n in zip(singles, sizes, strict=True)
    ]
    torch.testing.assert_close(
        result.losses["reconstruction"].double(), sum(parts) / sum(sizes), rtol=1e-5, atol=0
    )
    errors = [(one.output - one.target).double().square().sum() for one in singles]
    figures = step_figures(result, mask)
    torch.testing.assert_close(figures["mse"].double(), sum(errors) / sum(sizes), rtol=1e-5, atol=0)
    if likelihood == "normal":  # by hand
        expected = 2 * sum(errors) / sum(sizes)
        torch.testing.assert_close(result.losses["reconstruction"].double(), expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gradients_are_those_of_the_signals_and_none_of_the_padding(axes: int) -> None:
    tokenizer = tokenizer_of(axes, 2).train()
    extents = [(5,) * axes, (3,) * axes, (0,) * axes]
    gradients = []
    for fill in (0.0, 1e3):
        torch.manual_seed(0)
        tokenizer.quantizer.freeze()
        _, x, mask = masked(extents, fill)
        x.requires_grad_()
        tokenizer.zero_grad()
        tokenizer(x, mask).loss.backward()
        assert not x.grad[~mask[:, None].expand_as(x)].any()
        assert x.grad[mask[:, None].expand_as(x)].all()
        gradients.append([p.grad.clone() for p in tokenizer.encoder.parameters()])
    assert all(torch.equal(p, q) for p, q in zip(*gradients, strict=True))


def test_statistics_count_every_vector_once() -> None:
    ours, theirs = tokenizer_of(2, 2).train(), tokenizer_of(2, 2).train()
    signals, x, mask = masked([(5, 4), (2, 7), (1, 1), (5, 4)])
    with torch.no_grad():
        vectors = [theirs.vectors(signal).reshape(-1, 4) for signal in signals]
        result = ours(x, mask)
        expected = theirs.quantizer(torch.cat(vectors))
    torch.testing.assert_close(result.quantized.loss, expected.loss)
    state, other = ours.quantizer.state_dict(), theirs.quantizer.state_dict()
    assert state.keys() == other.keys() and "mass" in " ".join(state)
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, other[name])
    used = ours.quantizer.usage_report()
    assert int(used.vectors) == int(theirs.quantizer.usage_report().vectors)


VQGAN = {"name": "vqgan", "hidden": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4}


@pytest.mark.parametrize(
    "specs",
    [
        {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS["vector"]},
        {"encoder": VQGAN, "decoder": VQGAN, "quantizer": QUANTIZERS["residual"]},
        {
            "level1": {"encoder": HALF, "decoder": HALF, "quantizer": QUANTIZERS["residual"]},
            "level2": {"encoder": SMALL, "decoder": SMALL, "quantizer": QUANTIZERS["vector"]},
        },
    ],
    ids=["vqvae", "vqgan with attention", "hierarchy"],
)
def test_networks_of_images(specs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    tokenizer = settled(build_tokenizer(specs, 2), torch.rand(8, 2, 16, 16))
    extents = [(9, 16), (16, 5), (8, 8), (0, 0), (9, 16)]
    signals, x, mask = masked(extents, 1.0)
    x, signals = (x * 255).byte(), [(signal * 255).byte() for signal in signals]
    codes, forward = tokenizer.encode(x, mask), tokenizer(x, mask)
    assert type(codes) is (tuple if isinstance(tokenizer, HierarchicalTokenizer) else Tensor)
    shown = tokenizer.decode_stored(codes, mask=mask)
    for level, result in zip(levels_of(codes), forward.levels, strict=True):
        assert torch.equal(level, result.codes)
    losses = []
    for row, (extent, signal) in enumerate(zip(extents, signals, strict=True)):
        if 0 in extent:
            assert not shown[row].any()
            continue
        alone = levels_of(tokenizer.encode(signal))
        for level, own, grid in zip(levels_of(codes), alone, tokenizer.grids(*extent), strict=True):
            assert torch.equal(level[row, : grid[0], : grid[1]], own[0])
            assert (level[row, grid[0] :] == -1).all() and (level[row, :, grid[1] :] == -1).all()
        picture = tokenizer.decode_stored(tokenizer.encode(signal), size=extent)
        assert (shown[row, :, : extent[0], : extent[1]].int() - picture[0].int()).abs().max() <= 1
        losses.append((tokenizer(signal).losses["reconstruction"] * signal.numel(), signal.numel()))
    total, count = map(sum, zip(*losses, strict=True))
    torch.testing.assert_close(forward.losses["reconstruction"], total / count)


def test_an_absent_vector_is_left_out() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(
        {
            "encoder": {"name": "mlp", "hidden": 16},
            "decoder": {"name": "mlp", "hidden": 16},
            "quantizer": {"name": "vector", "dim": 6, "codebook_size": 8},
            "likelihood": "normal",
            "signal": "vector",
        },
        6,
    )
    assert isinstance(tokenizer.signal, Vector)
    settled(tokenizer, torch.randn(64, 6))
    x, mask = torch.randn(5, 6), torch.tensor([True, False, True, True, False])
    codes, result = tokenizer.encode(x, mask), tokenizer(x, mask)
    assert torch.equal(codes[mask], tokenizer.encode(x[mask])) and (codes[~mask] == -1).all()
    torch.testing.assert_close(result.loss, tokenizer(x[mask]).loss)


@pytest.mark.parametrize("quantizer", ["vector", "residual", "gaussian"])
def test_a_full_mask_changes_nothing(quantizer: str) -> None:
    results = []
    for given_mask in (False, True):
        tokenizer = tokenizer_of(2, 2, quantizer).train()
        x = torch.rand(3, 2, 7, 5, generator=torch.Generator().manual_seed(1))
        mask = torch.ones(3, 7, 5, dtype=torch.bool) if given_mask else None
        torch.manual_seed(1)
        result = tokenizer(x, mask)
        result.loss.backward()
        found = tokenizer.eval().analyse(x, mask)
        state = [*tokenizer.state_dict().values(), *(p.grad for p in tokenizer.parameters())]
        terms = [result.output, result.loss, result.target, found.output, found.bits.total]
        results.append([t for t in (*terms, *state) if t is not None])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("quantizer", ["vector", "residual", "gaussian"])
@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_inside_gives_zeros(quantizer: str, batch: int, training: bool) -> None:
    tokenizer = tokenizer_of(2, 2, quantizer).train(training)
    state = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    x, mask = torch.rand(batch, 2, 5, 5), torch.zeros(batch, 5, 5, dtype=torch.bool)
    result = tokenizer(x, mask)
    result.loss.backward()
    assert not result.loss and not any(term.any() for term in result.losses.values())
    assert result.output.shape == x.shape and not result.output.any()
    assert all(not p.grad.any() for p in tokenizer.parameters() if p.grad is not None)
    assert (result.quantized.codes == -1).all() and not result.quantized.values.any()
    for name in ("codebook", "noise_variance"):
        for key, tensor in tokenizer.state_dict().items():
            assert not key.endswith(name) or torch.equal(tensor, state[key])
    found = tokenizer.analyse(x, mask)
    assert found.bits.total.shape == (batch,) and not found.bits.total.any()
    assert not step_figures(result, mask)["mse"].any()


def test_a_conditional_decoder_gets_the_condition_of_its_signals() -> None:
    tokenizer = tokenizer_of(1, 2)

    class Shifted(type(tokenizer.decoder)):  # type: ignore[misc]
        conditional = True

        def forward(self, z: Tensor, condition: Condition | None = None) -> Tensor:
            shift = 0 if condition is None else condition.attributes["class"].view(-1, 1, 1)
            return super().forward(z) + shift

    tokenizer.decoder.__class__ = Shifted
    _, x, mask = masked([(5,), (3,), (5,)])
    codes = tokenizer.encode(x, mask)
    plain = tokenizer.decode(codes, mask=mask)
    shifted = tokenizer.decode(codes, Condition.of_class(torch.tensor([1, 2, 3])), mask=mask)
    expected = torch.tensor([1.0, 2.0, 3.0]).view(-1, 1, 1) * mask[:, None]
    torch.testing.assert_close(shifted - plain, expected.expand_as(plain))


@pytest.mark.parametrize("quantizer", ["vector", "residual"])
def test_codes_outside_need_the_mask(quantizer: str) -> None:
    tokenizer = tokenizer_of(2, 2, quantizer)
    _, x, mask = masked([(5, 4), (2, 7)])
    with pytest.raises(CodeError, match=r"decode: expected codes of signals, got -1.*mask"):
        tokenizer.decode(tokenizer.encode(x, mask), size=(5, 7))


@pytest.mark.parametrize("name", ["encode", "forward", "reconstruct", "analyse"])
def test_other_masks_are_refused(name: str) -> None:
    tokenizer = tokenizer_of(2, 2)
    x, mask = torch.rand(2, 2, 5, 5), torch.ones(2, 5, 5, dtype=torch.bool)
    holes, late, stairs = mask.clone(), mask.clone(), mask.clone()
    holes[1, 2, 2], late[1, 0], stairs[1, 3:, 3:] = False, False, False
    for wrong in (holes, late, stairs):
        with pytest.raises(DataError, match=r"mask: expected a leading block.*signal 1"):
            getattr(tokenizer, name)(x, wrong)
    for wrong in (mask[:1], mask[:, :4], mask.long(), mask.tolist()):
        with pytest.raises(DataError, match="mask: expected"):
            getattr(tokenizer, name)(x, wrong)
