"""The VQ-VAE network: published sizes, every downsampling, clear errors."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from vocabula.errors import OptionError
from vocabula.nn import VQVAEDecoder, VQVAEEncoder
from vocabula.nn.resampling import ResizeConvolution
from vocabula.registry import spec


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_cifar_encoder_has_the_parameters_counted_by_hand() -> None:
    strided = (3 * 4 * 4 + 1) * 64 + (64 * 4 * 4 + 1) * 128
    last = (128 * 3 * 3 + 1) * 128
    residual = 2 * (128 * 3 * 3 * 32 + 32 * 128)
    project = (128 + 1) * 64
    assert strided + last + residual + project == 372_096
    assert parameters(VQVAEEncoder(3, 64)) == 372_096


def test_published_cifar_decoder_has_the_parameters_counted_by_hand() -> None:
    first = (64 * 3 * 3 + 1) * 128
    residual = 2 * (128 * 3 * 3 * 32 + 32 * 128)
    transposed = (128 * 4 * 4 * 64 + 64) + (64 * 4 * 4 * 3 + 3)
    assert first + residual + transposed == 289_987
    assert parameters(VQVAEDecoder(64, 3)) == 289_987


@pytest.mark.parametrize("downsample", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("attention", [False, True])
def test_every_downsampling_there_and_back(downsample: int, attention: bool) -> None:
    encoder = VQVAEEncoder(5, 7, hidden=8, downsample=downsample, attention=attention)
    decoder = VQVAEDecoder(7, 2, hidden=8, downsample=downsample, attention=attention)
    assert encoder.stride == decoder.stride == downsample
    z = encoder(torch.randn(2, 5, 16, 48))
    assert z.shape == (2, 7, 16 // downsample, 48 // downsample)
    assert decoder(z).shape == (2, 2, 16, 48)


def test_without_residual_layers_the_stack_is_a_relu() -> None:
    encoder = VQVAEEncoder(1, 2, hidden=4, residual_layers=0)
    assert parameters(encoder.residual) == 0
    assert (encoder.residual(torch.randn(1, 4, 2, 2)) >= 0).all()


def test_a_codes_field_of_view_is_local() -> None:
    """A pixel moves only the codes nearby: 4 x 4 /2, 4 x 4 /2, three 3 x 3 reach 5 positions."""
    torch.manual_seed(0)
    encoder = VQVAEEncoder(1, 4, hidden=8)
    x = torch.randn(1, 1, 64, 64)
    changed = x.clone()
    changed[..., 0, 0] += 10
    moved = (encoder(changed) - encoder(x)).abs().amax((0, 1)) > 0
    assert moved[0, 0]
    assert not moved[6:].any() and not moved[:, 6:].any()


def test_downsampling_must_be_a_power_of_two() -> None:
    with pytest.raises(OptionError, match=r"downsample: expected a power of two, got 6; use 4 or"):
        VQVAEEncoder(3, 64, downsample=6)


def test_hidden_must_be_even() -> None:
    with pytest.raises(OptionError, match=r"decoder vqvae.hidden: expected an even.*use 8"):
        VQVAEDecoder(64, 3, hidden=7)


def test_options_are_checked_against_their_ranges() -> None:
    with pytest.raises(OptionError, match="residual_hidden"):
        VQVAEEncoder(3, 64, residual_hidden=0)


def test_a_resize_convolution_smooths_pixels_repeated_twice() -> None:
    torch.manual_seed(0)
    layer, x = ResizeConvolution(3, 5), torch.randn(2, 3, 6, 7)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = conv2d(repeated, layer.conv.weight, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("resize", [False, True])
def test_even_codes_make_an_even_picture_only_where_pixels_are_repeated(resize: bool) -> None:
    torch.manual_seed(0)
    decoder = VQVAEDecoder(4, 2, hidden=32, downsample=8, resize=resize)
    with torch.no_grad():
        picture = decoder(torch.ones(1, 4, 16, 16))[..., 48:80, 48:80]  # far from the border
    assert (float(picture.std(dim=(2, 3)).max()) < 1e-6) == resize


def test_resize_is_written_down_only_where_it_is_wanted() -> None:
    assert spec(VQVAEDecoder(4, 2, resize=True))["resize"] is True
    assert "resize" not in spec(VQVAEDecoder(4, 2))
