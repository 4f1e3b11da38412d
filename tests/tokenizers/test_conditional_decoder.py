"""A decoder that declares that it takes a condition gets it, whole or tile by tile."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from builders import tiny_tokenizer
from vocabula.errors import DataError, OptionError
from vocabula.nn import Decoder, VQVAEEncoder
from vocabula.quantizers import VectorQuantizer
from vocabula.registry import component
from vocabula.signals import Condition
from vocabula.tokenizers import Tokenizer, load, tiles


@component("decoder", "tinted")
class Tinted(Decoder):
    """Pixels of a single grey, around 0: the tint of the signal's class; 0 where none is known."""

    conditional: ClassVar[bool] = True

    def __init__(self, dim: int, out_channels: int = 1, classes: int = 4) -> None:
        super().__init__()
        self.dim, self.out_channels, self.stride = dim, out_channels, 4
        self.tints = nn.Parameter(torch.linspace(-0.3, 0.3, classes))

    @property
    def context(self) -> int:
        """A code is all that its pixels need."""
        return 0

    def forward(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """A grey picture."""
        grey = torch.zeros(len(z))
        if condition is not None:
            labels = condition.attributes["class"]
            grey = torch.where(labels < 0, grey, self.tints[labels])
        zero = interpolate(0 * z[:, :1], scale_factor=4.0)
        return zero.expand(-1, self.out_channels, -1, -1) + grey.reshape(-1, 1, 1, 1)


@pytest.fixture
def tokenizer() -> Tokenizer:
    torch.manual_seed(0)
    encoder = VQVAEEncoder(1, 4, hidden=8, residual_layers=0, downsample=4)
    return Tokenizer(encoder, VectorQuantizer(4, 8), Tinted(4)).eval()


CODES = torch.zeros(3, 2, 2, dtype=torch.long)
KNOWN = Condition.of_class(torch.tensor([3, -1, 0]))


def greys(images: Tensor) -> list[float]:
    assert torch.equal(images.amin((1, 2, 3)), images.amax((1, 2, 3)))
    return images[:, 0, 0, 0].tolist()


def test_it_gets_the_condition(tokenizer: Tokenizer) -> None:
    assert greys(tokenizer.decode(CODES, KNOWN)) == pytest.approx([0.8, 0.5, 0.2])
    assert greys(tokenizer.decode(CODES)) == pytest.approx([0.5] * 3)
    assert greys(tokenizer.decode_stored(CODES, KNOWN)) == [204, 128, 51]
    x = torch.rand(2, 1, 8, 8)
    assert greys(tokenizer(x).output) == greys(tokenizer.reconstruct(x)) == [0.5, 0.5]


def test_each_tile_gets_the_condition_of_its_image(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 64)
    seen: list[int] = []
    tokenizer.decoder.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.no_grad():
        images = tokenizer.decode(CODES.repeat(1, 4, 4), KNOWN)
    assert len(seen) > 3 and set(seen) == {1}
    assert greys(images) == pytest.approx([0.8, 0.5, 0.2])


def test_it_is_saved_and_loaded(tokenizer: Tokenizer, tmp_path: object) -> None:
    tokenizer.save_pretrained(str(tmp_path))
    again = load(str(tmp_path))
    assert torch.equal(again.decode(CODES, KNOWN), tokenizer.decode(CODES, KNOWN))


def test_conditions_that_do_not_fit_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"condition\.class: expected 3, one per signal, got 2"):
        tokenizer.decode(CODES, KNOWN.rows(slice(2)))
    with pytest.raises(OptionError, match="decode: expected a Condition, got int; make one with"):
        tokenizer.decode(CODES, 3)  # type: ignore[arg-type]
    plain = tiny_tokenizer(channels=1)
    with pytest.raises(OptionError, match="expected condition=None, got Condition; this token"):
        plain.decode(CODES, KNOWN)
