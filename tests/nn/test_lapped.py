"""The lapped transform: orthonormal, exact to the edges, with its published coding gain."""

from __future__ import annotations

import pytest
import torch

from vocabula.errors import OptionError
from vocabula.nn import LappedDecoder, LappedEncoder
from vocabula.nn.lapped import brightness_and_colour, frequency_order, lapped_cosine


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_blocks_are_orthonormal_with_their_neighbours(size: int) -> None:
    basis = lapped_cosine(size)
    own, next_ = basis @ basis.T, basis[:, :size] @ basis[:, size:].T
    assert torch.allclose(own, torch.eye(size).double(), atol=1e-12)
    assert next_.abs().max() < 1e-12
    assert torch.allclose(basis[0::2], basis[0::2].flip(1))
    assert torch.allclose(basis[1::2], -basis[1::2].flip(1))


def test_the_coding_gain_is_the_published_one() -> None:
    # Malvar 1992, table 4.1: 8 bands, rho 0.95: 8.83 dB for the cosine transform, 9.22 for the LOT.
    basis = lapped_cosine(8)
    lag = torch.arange(16).double()
    variances = (basis @ (0.95 ** (lag[:, None] - lag).abs()) @ basis.T).diagonal()
    gain = 10 * (variances.mean() / variances.log().mean().exp()).log10()
    assert 9.2 < gain < 9.3


def test_all_coefficients_give_the_image_back_up_to_its_edges() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 24, 40) - 0.5
    z = LappedEncoder(3, 192)(x)
    assert torch.allclose(LappedDecoder(192, 3)(z), x, atol=1e-5)
    x = torch.rand(1, 6, 8, 4)
    z = LappedEncoder(6, 24, downsample=2)(x)
    assert torch.allclose(LappedDecoder(24, 6, downsample=2)(z), x, atol=1e-5)


def test_errors_of_coefficients_are_errors_of_pixels() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 64) - 0.5
    z, decoder = LappedEncoder(3, 192)(x), LappedDecoder(192, 3)
    inner = torch.zeros_like(z)
    inner[:, :, 2:6, 2:6] = torch.randn(1, 192, 4, 4)
    error = decoder(z + inner) - decoder(z)
    assert torch.allclose(error.square().sum(), inner.square().sum(), rtol=1e-4)


def test_few_coefficients_hold_most_of_a_smooth_picture() -> None:
    down, right = torch.meshgrid(torch.linspace(0, 3, 64), torch.linspace(0, 2, 64), indexing="ij")
    x = torch.stack([down.sin(), right.cos(), (down + right).sin()])[None] / 2
    error = LappedDecoder(24, 3)(LappedEncoder(3, 24)(x)) - x
    assert error.square().mean() < 1e-3 * x.var()


def test_grey_has_no_colour_and_brightness_comes_first() -> None:
    mixed = brightness_and_colour()
    assert torch.allclose(mixed @ mixed.T, torch.eye(3).double(), atol=1e-12)
    assert torch.allclose(mixed @ torch.ones(3).double(), torch.tensor([3**0.5, 0, 0]).double())
    assert frequency_order(3, 8)[:6] == (
        (0, 0, 0),
        (0, 0, 1),
        (0, 1, 0),
        (0, 1, 1),
        (1, 0, 0),
        (2, 0, 0),
    )


def test_corrections_start_without_effect_and_learn() -> None:
    torch.manual_seed(0)
    decoder = LappedDecoder(30, 3, added=6, layers=1, hidden=8)
    z = torch.randn(1, 30, 4, 4)
    plain = LappedDecoder(24, 3)(torch.cat([z[:, :6] + z[:, 24:], z[:, 6:24]], 1))
    assert torch.allclose(decoder(z), plain, atol=1e-6)
    decoder(z).square().sum().backward()
    assert decoder.correction.blocks[0][2].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LappedEncoder(3, 193), "at most the 192 coefficients"),
        (lambda: LappedEncoder(3, 8, downsample=6), "a power of two"),
        (lambda: LappedDecoder(8, 3, added=5), "at most half of the 8"),
    ],
)
def test_wrong_sizes_are_refused(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OptionError, match=message):
        make()
