"""Codes go to and fro between tensors, arrays and lists, or one line says what to convert."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vocabula import codec
from vocabula.data.token_records import TokenRecord
from vocabula.errors import CodeError, DataError, OptionError, ShapeError, VocabulaError
from vocabula.functional import nearest_codeword
from vocabula.palette import decode as palette_decode
from vocabula.quantizers import ResidualQuantizer, VectorQuantizer
from vocabula.tokenizers import build_tokenizer

NETWORK = {"name": "vqvae", "hidden": 4, "residual_hidden": 2}
VECTOR = {"name": "vector", "dim": 6, "codebook_size": 16}


def file_of(codes: Any, sizes: list[int]) -> bytes:
    target = io.BytesIO()
    codec.write_codes(target, codes, sizes)
    return target.getvalue()


def test_tensors_lists_and_arrays_make_the_same_file() -> None:
    quantizer = VectorQuantizer(8, 512).eval()
    codes = quantizer.encode(torch.randn(2, 4, 6, 8))
    expected = file_of([c.numpy() for c in codes], [512])
    assert file_of(codes, [512]) == expected
    assert file_of(list(codes.int()), [512]) == expected
    assert file_of(codes.tolist(), [512]) == expected
    read = torch.as_tensor(np.stack(codec.read_codes(expected).codes))
    assert torch.equal(quantizer.decode(read), quantizer.decode(codes))


def test_several_books() -> None:
    quantizer = ResidualQuantizer.repeat(2, dim=8, codebook_size=16).eval()
    codes = quantizer.encode(torch.randn(1, 4, 6, 8))
    read = codec.read_codes(file_of(codes, [16, 16])).codes[0]
    assert np.array_equal(read, codes[0].numpy())


@pytest.mark.parametrize(
    "codes", [torch.zeros(1, 4, 4), [[[0.5, 1.0]]], [[[1], [1, 2]]], torch.ones(1, 4, 4).bool()]
)
def test_what_are_no_codes_is_refused_in_one_line(codes: Any) -> None:
    with pytest.raises((OptionError, ShapeError)) as caught:
        file_of(codes, [16])
    assert "\n" not in str(caught.value)


def test_records_take_tensors() -> None:
    record = TokenRecord(torch.zeros(2, 2, dtype=torch.int64), "a.png", None, 8, 8)
    assert all(isinstance(level, np.ndarray) for level in record.levels)


def test_palette_codes_may_be_tensors() -> None:
    codebook = np.zeros((4, 3), np.uint8)
    pixels = palette_decode(torch.zeros(2, 2, dtype=torch.int64), codebook)
    assert pixels.shape == (2, 2, 3)


def tokenizer() -> Any:
    parts = {"encoder": NETWORK, "decoder": NETWORK, "quantizer": VECTOR}
    return build_tokenizer(parts, 3).eval()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: VectorQuantizer(8, 16).decode(np.zeros(4, np.int64)), CodeError),
        (lambda: VectorQuantizer(8, 16).decode([1, 2]), CodeError),
        (lambda: VectorQuantizer(8, 16)(np.zeros((4, 8), np.float32)), ShapeError),
        (lambda: VectorQuantizer(8, 16).encode(np.zeros((4, 8), np.float32)), ShapeError),
        (lambda: tokenizer().decode(np.zeros((1, 2, 2), np.int64)), CodeError),
        (lambda: tokenizer().encode(np.zeros((1, 3, 8, 8), np.uint8)), DataError),
        (lambda: tokenizer()(np.zeros((1, 3, 8, 8), np.uint8)), DataError),
        (lambda: nearest_codeword(np.zeros((4, 8)), torch.zeros(2, 8)), ShapeError),
    ],
)
def test_arrays_where_tensors_belong_get_one_line(
    call: Callable[[], Any], error: type[VocabulaError]
) -> None:
    with pytest.raises(error, match=r"expected a tensor, got \w+; convert it with torch.as_tensor"):
        call()
