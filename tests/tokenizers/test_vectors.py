"""Tokenizers of vectors: no axis is no special case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vocabula import load
from vocabula.errors import CodeError, DataError, OptionError
from vocabula.nn import IdentityDecoder, IdentityEncoder, MLPDecoder, MLPEncoder, VQVAEEncoder
from vocabula.quantizers import ResidualQuantizer, VectorQuantizer
from vocabula.signals import Vector
from vocabula.tokenizers import Tokenizer, build_tokenizer
from vocabula.tokenizers.extent import cropped, padded

BOOK = {"name": "vector", "dim": 6, "codebook_size": 8}
SPECS: dict[str, dict[str, Any]] = {
    "bare": {"encoder": "identity", "decoder": "identity", "quantizer": BOOK},
    "residual": {
        "encoder": "identity",
        "decoder": "identity",
        "quantizer": {"name": "residual", "stages": [BOOK] * 3},
    },
    "mlp": {
        "encoder": {"name": "mlp", "hidden": 16},
        "decoder": {"name": "mlp", "hidden": 16},
        "quantizer": {"name": "finite_scalar", "levels": [5, 5, 3]},
    },
}


def _tokenizer(name: str) -> Tokenizer:
    torch.manual_seed(0)
    specs = {**SPECS[name], "likelihood": "normal", "signal": "vector"}
    tokenizer = build_tokenizer(specs, 6)
    assert isinstance(tokenizer, Tokenizer)
    with torch.no_grad():
        tokenizer.train()(torch.randn(64, 6))
    return tokenizer.eval()


@pytest.mark.parametrize("name", SPECS)
def test_codes_and_back(name: str, tmp_path: Path) -> None:
    tokenizer, x = _tokenizer(name), torch.randn(20, 6)
    codes = tokenizer.encode(x)
    assert codes.shape == (20, *tokenizer.levels[0].code_shape)
    assert (tokenizer.strides, tokenizer.grid(), tokenizer.grids()) == ((), (), ((),))
    back = tokenizer.decode(codes)
    assert back.shape == (20, 6)
    assert torch.equal(tokenizer.reconstruct(x), back)
    assert torch.equal(tokenizer.decode(codes, size=()), back)
    found = tokenizer.analyse(x)
    assert torch.equal(found.output, back)
    assert found.codes is not None and torch.equal(found.codes, codes)
    assert tokenizer.bits_per_unit == pytest.approx(tokenizer.bits_per_code)  # of a vector
    tokenizer.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert isinstance(again.signal, Vector) and again.fingerprint() == tokenizer.fingerprint()
    assert torch.equal(again.decode(again.encode(x)), back)


def test_a_bare_quantizer_is_a_tokenizer() -> None:
    quantizer = VectorQuantizer(4, 8)
    tokenizer = Tokenizer(
        IdentityEncoder(4, 4), quantizer, IdentityDecoder(4, 4), signal=Vector(4)
    ).eval()
    x = torch.randn(10, 4)
    assert torch.equal(tokenizer.encode(x), quantizer.encode(x))


def test_bits_of_the_density_are_those_of_the_formula() -> None:
    tokenizer, x = _tokenizer("bare"), torch.randn(5, 6)
    bits = tokenizer.bits_per_dim(x)
    error = (x - tokenizer.reconstruct(x)).double().square()
    nats = 0.5 * (error + torch.log(torch.tensor(2 * torch.pi).double())).sum(1)
    torch.testing.assert_close(bits.likelihood.double(), nats / 6 / torch.log(torch.tensor(2.0)))
    assert bits.codes.tolist() == pytest.approx([3 / 6] * 5)  # log2 8 bits over 6 dimensions


def test_training_lowers_the_error() -> None:
    tokenizer = _tokenizer("mlp").train()
    x = torch.randn(256, 6)
    optimizer = torch.optim.Adam(tokenizer.parameters(), 1e-2)
    errors = []
    for _ in range(60):
        result = tokenizer(x)
        errors.append(float(result.losses["reconstruction"].detach()))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    assert errors[-1] < errors[0] / 2


def test_an_empty_batch() -> None:
    tokenizer = _tokenizer("mlp")
    codes = tokenizer.encode(torch.zeros(0, 6))
    assert tokenizer.decode(codes).shape == (0, 6)
    assert float(tokenizer(torch.zeros(0, 6)).loss.detach()) == 0


def test_wrong_inputs_are_told() -> None:
    tokenizer = _tokenizer("residual")
    with pytest.raises(DataError, match=r"vectors: expected \(B, 6\), got shape \(2, 3, 8, 8\)"):
        tokenizer.encode(torch.rand(2, 3, 8, 8))
    with pytest.raises(CodeError, match=r"expected codes \(B, 3\), got \(2, 4, 3\)"):
        tokenizer.decode(torch.zeros(2, 4, 3, dtype=torch.long))
    with pytest.raises(OptionError, match="size"):
        tokenizer.decode(torch.zeros(2, 3, dtype=torch.long), size=(4,))


def test_parts_of_different_kinds_are_told() -> None:
    book = ResidualQuantizer([VectorQuantizer(6, 8)])
    with pytest.raises(OptionError, match=r"encoder\.axes: expected the signal's 2, got 0"):
        Tokenizer(MLPEncoder(6, 6), book, MLPDecoder(6, 6))
    with pytest.raises(OptionError, match=r"encoder\.axes: expected the signal's 0, got 2"):
        Tokenizer(VQVAEEncoder(6, 6), book, MLPDecoder(6, 6), signal=Vector(6))
    with pytest.raises(OptionError, match=r"signal\.channels: expected the encoder's 6, got 5"):
        Tokenizer(MLPEncoder(6, 6), book, MLPDecoder(6, 6), signal=Vector(5))
    with pytest.raises(OptionError, match="expected in_channels equal to dim=4, got 6"):
        IdentityEncoder(6, 4)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=0, max_size=3),
)
def test_signals_of_any_number_of_axes_are_continued_and_cut_back(
    axes: list[tuple[int, int]],
) -> None:
    extent, strides = [size for size, _ in axes], [stride for _, stride in axes]
    x = torch.arange(float(2 * torch.Size(extent).numel())).reshape(1, 2, *extent)
    whole = padded(x, strides)
    assert list(whole.shape[2:]) == [-(-n // s) * s for n, s in axes]
    assert torch.equal(cropped(whole, extent), x)
    for axis, size in enumerate(extent, start=2):  # what was added repeats the last element
        last = whole.select(axis, size - 1)
        for more in range(size, whole.shape[axis]):
            assert torch.equal(whole.select(axis, more), last)
