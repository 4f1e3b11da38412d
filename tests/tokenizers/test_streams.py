"""Streams of sound: any chunking has the codes and the wave of the whole recording."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sounds import CAUSAL, noise, tokenizer_of
from vocabula.errors import DataError, OptionError
from vocabula.signals import Condition
from vocabula.tokenizers import Tokenizer

TOKENIZERS = {kind: tokenizer_of(kind, conditional=True) for kind in CAUSAL}
KNOWN = Condition({"speaker": torch.tensor([1, 2])})


@pytest.mark.parametrize("kind", CAUSAL)
@given(cuts=st.lists(st.integers(0, 157), max_size=6), samples=st.integers(1, 157))
@settings(max_examples=25)
def test_any_chunking_is_the_whole(kind: str, cuts: list[int], samples: int) -> None:
    tokenizer, x = TOKENIZERS[kind], noise(2, samples)
    whole = tokenizer.encode(x)
    wave = tokenizer.decode(whole, KNOWN, size=(samples,))
    stream = tokenizer.stream(KNOWN)
    borders = sorted({0, samples, *(cut for cut in cuts if cut < samples)})
    codes, shown = [], []
    for start, end in pairwise(borders):
        codes.append(stream.encoder.push(x[..., start:end]))
        shown.append(stream.decoder.push(codes[-1]))
    codes.append(stream.encoder.flush())
    shown.append(stream.decoder.push(codes[-1], total=stream.encoder.received))
    shown.append(stream.decoder.flush(total=stream.encoder.received))
    assert torch.equal(torch.cat(codes, 1), whole)
    assert stream.encoder.received == stream.decoder.given == samples
    torch.testing.assert_close(torch.cat(shown, -1), wave, atol=1e-5, rtol=0)


def test_a_hop_that_is_complete_is_coded_at_once() -> None:
    tokenizer = TOKENIZERS["seanet-odd"]  # a hop of 15 samples at 1 kHz
    stream = tokenizer.stream(KNOWN)
    x = noise(2, 40)
    assert stream.latency == 0.015
    counts = [stream.encoder.push(x[..., a:b]).shape[1] for a, b in pairwise((0, 14, 15, 40))]
    assert counts == [0, 1, 1]
    assert stream.encoder.push(x[..., :0]).shape == (2, 0, 2)
    assert stream.encoder.flush().shape == (2, 1, 2)
    assert stream.decoder.push(torch.zeros(2, 0, 2, dtype=torch.long)).shape == (2, 1, 0)


def test_overlapping_windows_wait_for_the_next_code() -> None:
    stream = TOKENIZERS["frames-causal"].stream(KNOWN)  # a hop of 7 in a window of 20 at 1 kHz
    assert stream.latency == 0.014
    codes = stream.encoder.push(noise(2, 21))
    assert codes.shape == (2, 3, 2)
    assert stream.decoder.push(codes[:, :1]).shape == (2, 1, 0)
    assert stream.decoder.push(codes[:, 1:]).shape == (2, 1, 14)
    assert stream.decoder.flush().shape == (2, 1, 7)
    with pytest.raises(DataError, match="push: expected an open stream"):
        stream.decoder.push(codes)


def test_streams_refuse_what_does_not_follow() -> None:
    tokenizer = TOKENIZERS["seanet-even"]
    stream = tokenizer.stream(KNOWN)
    with pytest.raises(DataError, match="flush: expected an open stream with samples"):
        stream.encoder.flush()
    stream.encoder.push(noise(2, 5))
    with pytest.raises(DataError, match="push: expected the next samples of 2 signals, got 1"):
        stream.encoder.push(noise(1, 5))
    with pytest.raises(DataError, match="expected finite values"):
        stream.encoder.push(torch.full((2, 1, 3), torch.nan))
    assert stream.encoder.received == 5
    stream.encoder.flush()
    with pytest.raises(DataError, match="push: expected an open stream"):
        stream.encoder.push(noise(2, 5))
    with pytest.raises(DataError, match="speaker: expected 1, one per signal, got 2"):
        stream.decoder.push(torch.zeros(1, 1, 2, dtype=torch.long))


def test_networks_that_look_ahead_have_no_stream() -> None:
    tokenizer: Tokenizer = tokenizer_of("frames-even")
    with pytest.raises(OptionError, match="stream: expected a causal encoder, got one"):
        tokenizer.stream()
