"""The VQ-GAN network: sizes by hand, shapes, group counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vocabula.errors import OptionError
from vocabula.nn import SpatialAttention, VQGANDecoder, VQGANEncoder


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv(before: int, after: int, kernel: int = 3) -> int:
    return (before * kernel * kernel + 1) * after


def block(before: int, after: int) -> int:
    skip = conv(before, after, 1) if before != after else 0
    return 2 * before + conv(before, after) + 2 * after + conv(after, after) + skip


def attention(width: int) -> int:
    return 2 * width + conv(width, 3 * width, 1) + conv(width, width, 1)


def test_encoder_has_the_parameters_counted_by_hand() -> None:
    levels = block(8, 8) + conv(8, 8) + block(8, 16) + attention(16)
    middle = 2 * block(16, 16) + attention(16)
    expected = conv(3, 8) + levels + middle + 2 * 16 + conv(16, 5)
    encoder = VQGANEncoder(3, 5, hidden=8, multipliers=(1, 2), blocks=1, groups=4)
    assert parameters(encoder) == expected


def test_decoder_has_the_parameters_counted_by_hand() -> None:
    middle = 2 * block(16, 16) + attention(16)
    coarse = 2 * (block(16, 16) + attention(16)) + conv(16, 16)
    fine = block(16, 8) + block(8, 8)
    expected = conv(5, 16) + middle + coarse + fine + 2 * 8 + conv(8, 3)
    decoder = VQGANDecoder(5, 3, hidden=8, multipliers=(1, 2), blocks=1, groups=4)
    assert parameters(decoder) == expected


@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 1, 2, 2)])
@pytest.mark.parametrize("attention_levels", [0, 2])
def test_shapes(multipliers: tuple[int, ...], attention_levels: int) -> None:
    stride = 2 ** (len(multipliers) - 1)
    options: dict[str, Any] = {
        "hidden": 8,
        "multipliers": multipliers,
        "blocks": 1,
        "groups": 4,
        "attention_levels": attention_levels,
    }
    encoder, decoder = VQGANEncoder(4, 6, **options), VQGANDecoder(6, 9, **options)
    assert encoder.stride == decoder.stride == stride
    z = encoder(torch.randn(2, 4, 8, 16))
    assert z.shape == (2, 6, 8 // stride, 16 // stride)
    assert decoder(z).shape == (2, 9, 8, 16)


def test_one_pixel_with_one_channel_per_group_passes_in_training() -> None:
    encoder = VQGANEncoder(1, 2, hidden=8, multipliers=(1,), blocks=1, groups=8)
    assert encoder(torch.ones(1, 1, 1, 1)).isfinite().all()


def test_groups_must_divide_every_width() -> None:
    with pytest.raises(OptionError, match=r"encoder vqgan.groups: expected a divisor of its 48"):
        VQGANEncoder(3, 8, hidden=48, groups=32)


def test_attention_of_equal_positions_adds_the_projected_value() -> None:
    """With equal keys every weight is 1 / positions: the output is that of a 1 x 1 convolution."""
    torch.manual_seed(0)
    layer = SpatialAttention(4, groups=2)
    with torch.no_grad():
        layer.query_key_value.weight[:8] = 0
    x = torch.randn(1, 4, 3, 3)
    value = layer.query_key_value(layer.norm(x))[:, 8:]
    expected = x + layer.project(value.mean((2, 3), keepdim=True))
    torch.testing.assert_close(layer(x), expected)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = VQGANEncoder(1, 2, hidden=8, multipliers=(1,), blocks=1, groups=4, dropout=0.5)
    x = torch.randn(1, 1, 4, 4)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
