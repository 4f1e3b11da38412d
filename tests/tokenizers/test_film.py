"""A decoder that attributes modulate: by hand, at every number of axes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import silu

from vocabula.errors import DataError, OptionError
from vocabula.nn import FiLMBlock, FiLMDecoder
from vocabula.signals import Condition
from vocabula.tokenizers import Tokenizer, build_tokenizer, load, tiles

KNOWN = {"attributes": {"speaker": 2, "class": 3}, "names": {"speaker": ["anna", "ben"]}}


def moved(decoder: FiLMDecoder) -> FiLMDecoder:
    """The decoder with random modulations in place of the zeros that it begins with."""
    for name, parameter in decoder.named_parameters():
        if "film" in name:
            torch.nn.init.normal_(parameter)
    return decoder.eval()


def test_a_block_by_hand() -> None:
    torch.manual_seed(0)
    block = FiLMBlock(4, 2, 0).double()
    torch.nn.init.normal_(block.film.weight)
    x, e = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    normal = (x - x.mean(1, True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    scale, shift = (e @ block.film.weight.T + block.film.bias).split(4, 1)
    inner = block.first.weight @ silu((1 + scale) * normal + shift).T + block.first.bias[:, None]
    wanted = x + (block.second.weight @ silu(inner)).T + block.second.bias
    torch.testing.assert_close(block(x, e), wanted)


@pytest.mark.parametrize("axes", [0, 1, 2, 3])
def test_every_attribute_matters_at_any_number_of_axes(axes: int) -> None:
    torch.manual_seed(0)
    down = 2 if axes else 1
    decoder = moved(FiLMDecoder(4, 2, **KNOWN, axes=axes, hidden=8, downsample=down))
    assert list(decoder.attributes) == ["class", "speaker"]
    z = torch.randn(2, 4, *[3] * axes)
    base = {"class": torch.tensor([0, 2]), "speaker": torch.tensor([1, 0])}
    output = decoder(z, Condition(base))
    assert output.shape == (2, 2, *[3 * down] * axes)
    for name in base:
        changed = {**base, name: (base[name] + 1) % 2}
        assert not torch.allclose(decoder(z, Condition(changed)), output)
    alone = decoder(z[1:], Condition(base).rows(slice(1, 2)))
    torch.testing.assert_close(alone, output[1:])
    nothing = {name: torch.full((2,), -1) for name in base}
    torch.testing.assert_close(decoder(z), decoder(z, Condition(nothing)))


def test_all_attributes_are_withheld_at_the_probability_that_was_set() -> None:
    torch.manual_seed(0)
    decoder = FiLMDecoder(4, 2, **KNOWN, axes=0, hidden=8, dropout=0.25).train()
    given = Condition({name: torch.ones(4000).long() for name in decoder.attributes})
    found = decoder.embedding(given, 4000, torch.device("cpu"))
    none = decoder.embedding(None, 1, torch.device("cpu"))
    assert (found == none).all(1).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert len(found.unique(dim=0)) == 2


def tokenizer_of(**options: Any) -> Tokenizer:
    specs = {
        "encoder": {"name": "vqvae", "hidden": 8, "residual_layers": 0, "downsample": 4},
        "quantizer": {"name": "finite_scalar", "levels": [4, 4]},
        "decoder": {"name": "film", "hidden": 8, "downsample": 4, **options},
    }
    torch.manual_seed(0)
    tokenizer = build_tokenizer(specs, 1, **KNOWN)
    assert isinstance(tokenizer, Tokenizer) and isinstance(tokenizer.decoder, FiLMDecoder)
    moved(tokenizer.decoder)
    return tokenizer.eval()


def test_it_is_saved_with_its_words(tmp_path: Any) -> None:
    tokenizer = tokenizer_of()
    tokenizer.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.fingerprint() == tokenizer.fingerprint()
    assert again.decoder_attributes == {"class": 3, "speaker": 2}
    assert again.attribute_index("speaker", "ben") == 1
    assert tokenizer_of(given=["speaker"]).decoder_attributes == {"speaker": 2}


def test_the_condition_reaches_every_verb_and_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, x = tokenizer_of(), torch.rand(2, 1, 32, 24)
    given = Condition({"class": torch.tensor([0, 2]), "speaker": torch.tensor([1, 0])})
    output = tokenizer(x, condition=given).output
    codes = tokenizer.encode(x)
    with torch.no_grad():
        whole = tokenizer.decode(codes, given, size=(32, 24))
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(tiles, "TILE_PIXELS", 64)
    with torch.no_grad():
        tiled = tokenizer.decode(codes, given, size=(32, 24))
    found = tokenizer.analyse(x, condition=given)
    for other in (whole, tiled, found.output, tokenizer.reconstruct(x, condition=given)):
        torch.testing.assert_close(other, output)
    mask = torch.ones(2, 32, 24, dtype=torch.bool)
    mask[1, 20:] = False
    alone = tokenizer.reconstruct(x[1:, :, :20], condition=given.rows(slice(1, 2)))
    for padded in (
        tokenizer(x, mask, given).output,
        tokenizer.reconstruct(x, mask, given),
        tokenizer.analyse(x, mask, given).output,
    ):
        torch.testing.assert_close(padded[0], output[0])
        torch.testing.assert_close(padded[1:, :, :20], alone)


def test_values_are_translated_by_their_names() -> None:
    tokenizer = tokenizer_of()
    values = {"speaker": torch.tensor([0, 1, -1]), "room": torch.zeros(3)}
    known = tokenizer.known(values, {"speaker": ("ben", "anna", "cleo")})
    assert known is not None and known.attributes["speaker"].tolist() == [1, 0, -1]
    assert list(known.attributes) == ["speaker"]
    with pytest.raises(DataError, match=r"speaker: expected an index in \[0, 2\) or one of anna, "):
        tokenizer.known({"speaker": torch.tensor([2])}, {"speaker": ("ben", "anna", "cleo")})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class": 0}, r"speaker: expected a value for every signal, an index in \[0, 2\) or one"),
        ({"class": -1, "speaker": 0}, r"class: expected a value for every signal, an index in \[0"),
        ({"class": 3, "speaker": 0}, r"condition\.class: expected values in \[-1, 3\), got 3"),
        ({"room": 0}, r"room: expected one of the attributes class, speaker, got room; this tok"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(given: dict[str, int], message: str) -> None:
    tokenizer, codes = tokenizer_of(), torch.zeros(1, 2, 2, dtype=torch.long)
    condition = Condition({name: torch.tensor([value]) for name, value in given.items()})
    with pytest.raises(DataError, match=message) as caught:
        tokenizer.decode(codes, condition)
    assert "\n" not in str(caught.value)
    if -1 in given.values() or (len(given) == 1 and "class" in given):
        tokenizer_of(dropout=0.1).decode(codes, condition)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": {}}, "expected data with labels or other attributes, got none; give data"),
        ({"attributes": {"class": 2}, "given": ["room"]}, "expected some of class, got 'room'"),
        ({"attributes": {"class": 2}, "names": {"class": ["a"]}}, "expected 2 names of class, one"),
        ({"attributes": {"class": 2}, "axes": 0, "downsample": 2}, "expected 1 for signals withou"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FiLMDecoder(4, 2, **options)
