"""Sound of any length has the same codes alone, padded in a batch, and in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sounds import CAUSAL, NETWORKS, noise, tokenizer_of
from vocabula.errors import DataError, OptionError
from vocabula.signals import Condition
from vocabula.tokenizers import build_tokenizer, load, pieces, save, tiles
from vocabula.tokenizers.inference import inference


@pytest.mark.parametrize("kind", NETWORKS)
def test_output_is_as_long_as_input(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for samples in range(1, 3 * tokenizer.stride + 2):
        x = noise(1, samples)
        codes = tokenizer.encode(x)
        assert codes.shape == (1, -(-samples // tokenizer.stride), 2)
        assert tokenizer.decode(codes, size=(samples,)).shape == x.shape
        assert tokenizer.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("kind", NETWORKS)
def test_codes_are_the_same_alone_and_in_a_batch(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    hop = tokenizer.stride
    lengths = torch.tensor([1, hop - 1, hop, hop + 1, 3 * hop, 7 * hop + 3])
    x = noise(len(lengths), 7 * hop + 3)  # the padding holds noise too
    mask = torch.arange(x.shape[-1]) < lengths[:, None]
    codes = tokenizer.encode(x, mask)
    wave = tokenizer.decode(codes, mask=mask)
    assert len(codes.unique()) > 8
    for row, length in enumerate(lengths.tolist()):
        alone = x[row : row + 1, :, :length]
        own = tokenizer.encode(alone)
        assert torch.equal(codes[row, : own.shape[1]], own[0])
        assert (codes[row, own.shape[1] :] == -1).all()
        shown = tokenizer.decode(own, size=(length,))
        torch.testing.assert_close(wave[row, :, :length], shown[0], atol=1e-5, rtol=0)
        assert not wave[row, :, length:].any()


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_sees_each_recording_of_a_batch_as_if_alone(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    lengths = torch.tensor([1, 11, 40])
    x = noise(3, 40)
    mask = torch.arange(40) < lengths[:, None]
    together = tokenizer(x, mask)
    for row, length in enumerate(lengths.tolist()):
        alone = tokenizer(x[row : row + 1, :, :length])
        grid = alone.codes.shape[1]
        assert torch.equal(together.codes[row, :grid], alone.codes[0])
        torch.testing.assert_close(
            together.output[row, :, :length], alone.output[0], atol=1e-5, rtol=0
        )


def test_the_loss_of_a_padded_batch_weighs_recordings_by_their_length() -> None:
    tokenizer = tokenizer_of("frames-even")
    wave = tokenizer.likelihood
    wave.mel_weight = 0.0  # type: ignore[assignment]
    x, lengths = noise(2, 40), (10, 40)
    mask = torch.arange(40) < torch.tensor(lengths)[:, None]
    together = tokenizer(x, mask).losses["reconstruction"]
    alone = [tokenizer(x[i : i + 1, :, :n]).losses["reconstruction"] for i, n in enumerate(lengths)]
    torch.testing.assert_close(together, (10 * alone[0] + 40 * alone[1]) / 50)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_long_recording_in_blocks_has_the_codes_of_the_whole(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, x = tokenizer_of(kind), noise(2, 1999)
    with inference(tokenizer):
        codes = tokenizer.encode(x)
        whole = [codes, tokenizer.decode(codes, size=(1999,)), tokenizer.reconstruct(x)]
        bits = tokenizer.analyse(x).levels[0].codes
        seen: list[int] = []
        tokenizer.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
        monkeypatch.setattr(tiles, "WHOLE_PIXELS", 400)
        monkeypatch.setattr(tiles, "TILE_PIXELS", 300)
        codes = tokenizer.encode(x)
        cut = [codes, tokenizer.decode(codes, size=(1999,)), tokenizer.reconstruct(x)]
        assert torch.equal(tokenizer.analyse(x).levels[0].codes, bits)
    assert len(seen) > 4
    assert max(seen) < 1999
    assert torch.equal(cut[0], whole[0])
    for one, other in zip(cut[1:], whole[1:], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def _in_parts(x: Tensor, sizes: list[int], axis: int) -> list[Tensor]:
    parts, at = [], 0
    while at < x.shape[axis]:
        size = min(sizes[len(parts) % len(sizes)], x.shape[axis] - at)
        parts.append(x.narrow(axis, at, size))
        at += size
    return parts


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("sizes", [[1999], [1, 350, 7], [64]])
def test_pieces_of_any_length_give_the_whole(
    kind: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, x = tokenizer_of(kind), noise(1, 1999)
    codes = tokenizer.encode(x)
    wave = tokenizer.decode(codes, size=(1999,))
    monkeypatch.setattr(pieces, "TILE_PIXELS", 200)
    monkeypatch.setattr(pieces, "_LEAST_CONTEXTS", 1)
    found = list(pieces.encode_pieces(tokenizer, _in_parts(x, sizes, 2)))
    assert len(found) > 3
    assert torch.equal(torch.cat(found, 1), codes)
    shown = pieces.decode_pieces(tokenizer, _in_parts(codes, sizes, 1), size=1999)
    torch.testing.assert_close(torch.cat(list(shown), -1), wave, atol=1e-5, rtol=0)


def test_pieces_need_a_sample_and_a_known_context(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizer_of("seanet-even")
    with pytest.raises(DataError, match="at least one sample, got none"):
        list(pieces.encode_pieces(tokenizer, []))
    monkeypatch.setattr(type(tokenizer.encoder), "context", None)
    with pytest.raises(OptionError, match="states its context"):
        list(pieces.encode_pieces(tokenizer, [noise(1, 10)]))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("likelihood", ["spectral", "mulaw"])
@pytest.mark.parametrize("samples", [1, 30])
def test_silence_and_constants_have_finite_gradients(
    kind: str, likelihood: str, samples: int
) -> None:
    tokenizer = tokenizer_of(kind, likelihood=likelihood).train()
    for x in (torch.zeros(2, 1, samples), torch.full((2, 1, samples), 0.5)):
        tokenizer.zero_grad()
        tokenizer(x).loss.backward()
        gradients = [p.grad for p in tokenizer.parameters() if p.grad is not None]
        assert gradients
        assert all(bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize("kind", CAUSAL)
def test_later_samples_change_no_earlier_code_or_sample(kind: str) -> None:
    tokenizer, x = tokenizer_of(kind), noise(1, 240)
    hop = tokenizer.stride
    with torch.no_grad():
        z = tokenizer.vectors(x)
        for at in (hop, 5 * hop):
            changed = torch.cat([x[..., :at], noise(1, 240 - at, seed=9)], -1)
            after = tokenizer.vectors(changed)
            torch.testing.assert_close(after[:, : at // hop], z[:, : at // hop])
            assert not torch.allclose(after[:, at // hop], z[:, at // hop])


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_see_no_further_than_they_say(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    hop, middle, around = tokenizer.stride, 40, tokenizer.encoder.context
    assert around is not None
    x = noise(1, 80 * hop).requires_grad_()
    tokenizer.vectors(x)[0, middle].sum().backward()
    assert x.grad is not None
    touched = x.grad[0, 0].nonzero().flatten() // hop
    assert middle - around <= int(touched.min()) < int(touched.max()) + 1 <= middle + around + 1
    z = torch.randn(1, 4, 80, requires_grad=True)
    tokenizer.decoder(z)[0, 0, middle * hop : (middle + 1) * hop].sum().backward()
    assert z.grad is not None
    touched, around = z.grad[0].abs().sum(0).nonzero().flatten(), tokenizer.decoder.context
    assert around is not None
    assert middle - around <= int(touched.min()) <= int(touched.max()) <= middle + around


@pytest.mark.parametrize("kind", NETWORKS)
def test_attributes_modulate_a_conditional_decoder(kind: str) -> None:
    tokenizer = tokenizer_of(kind, conditional=True)
    for name, parameter in tokenizer.decoder.named_parameters():
        if "film" in name:  # they begin at 0, where nothing is modulated
            torch.nn.init.normal_(parameter, std=0.5)
    x = noise(2, 50)
    codes = tokenizer.encode(x)
    one, two = (Condition({"speaker": torch.tensor([0, n])}) for n in (0, 2))
    first, second = (tokenizer.decode(codes, known) for known in (one, two))
    torch.testing.assert_close(first[0], second[0], atol=1e-6, rtol=0)
    assert not torch.allclose(first[1], second[1], atol=1e-3)
    mask = torch.arange(50) < torch.tensor([20, 50])[:, None]
    tokenizer.train()
    assert tokenizer(x, mask, two).loss.isfinite()
    tokenizer.eval()
    with pytest.raises(DataError, match=r"condition.speaker: expected values in \[-1, 3\), got 3"):
        tokenizer.decode(codes, Condition({"speaker": torch.tensor([0, 3])}))
    with pytest.raises(DataError, match="speaker: expected a value for every signal"):
        tokenizer.decode(codes)


def test_several_channels_pass() -> None:
    for kind in NETWORKS:
        tokenizer, x = tokenizer_of(kind, channels=2), noise(2, 33, channels=2)
        assert tokenizer.reconstruct(x).shape == x.shape
        assert tokenizer.train()(x).loss.isfinite()


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_saved_tokenizer_of_sound_opens_with_the_same_codes(kind: str, tmp_path: Path) -> None:
    tokenizer, x = tokenizer_of(kind, conditional=True), noise(2, 100)
    save(tokenizer, tmp_path / "saved")
    loaded = load(tmp_path / "saved").eval()
    codes = tokenizer.encode(x)
    assert torch.equal(loaded.encode(x), codes)
    known = Condition({"speaker": torch.tensor([0, 2])})
    assert torch.equal(loaded.decode(codes, known), tokenizer.decode(codes, known))
    assert loaded.signal.sample_rate == 1000
    assert loaded.likelihood.sample_rate == 1000


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"encoder": {"name": "mel", "hop": 9, "window": 8}}, "encoder mel.window: expected at "),
        ({"decoder": {"name": "vocos", "hop": 9, "window": 8}}, "decoder vocos.window: expected "),
        ({"encoder": {"name": "seanet", "ratios": []}}, "encoder.ratios"),
        ({"decoder": {"name": "seanet", "ratios": [2, 3]}}, "decoder.stride: expected the"),
        ({"likelihood": {"name": "spectral", "windows": [8, 8]}}, "expected different windows"),
        ({"likelihood": {"name": "spectral", "bands": [8]}}, "a number of bands for each"),
        ({"decoder": {"name": "vocos_film", "hop": 4, "window": 8}}, "attributes"),
    ],
)
def test_networks_that_do_not_fit_are_refused(part: dict[str, Any], message: str) -> None:
    specs = {
        "signal": {"name": "audio", "sample_rate": 1000},
        "encoder": {"name": "seanet", "ratios": [2, 2], "hidden": 2},
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 8},
        "decoder": {"name": "seanet", "ratios": [2, 2], "hidden": 2},
        "likelihood": "spectral",
    }
    with pytest.raises(OptionError, match=message):
        build_tokenizer({**specs, **part}, 1)
