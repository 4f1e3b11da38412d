"""How far the codes of a whole tokenizer depend on the batch and on the number of threads.

Libraries choose how to compute a convolution or a product by its size, so that float32 vectors may
differ in their last bits. A code may differ only where another codeword is as near to within that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from vocabula.tokenizers import SignalTokenizer, build_tokenizer

ROUNDING = 1e-5
"""Largest difference of vectors, relative to the largest component; 1e-7 to 2e-6 were measured."""


def _images() -> tuple[SignalTokenizer, Tensor]:
    network = {"name": "vqvae", "hidden": 32, "residual_layers": 1, "residual_hidden": 16}
    network["downsample"] = 4
    quantizer = {"name": "vector", "dim": 16, "codebook_size": 64}
    sections = {"encoder": network, "decoder": dict(network), "quantizer": quantizer}
    return build_tokenizer(sections, channels=3), torch.rand(16, 3, 32, 32)


def _vectors() -> tuple[SignalTokenizer, Tensor]:
    quantizer = {"name": "vector", "dim": 64, "codebook_size": 64}
    sections = {"signal": "vector", "encoder": "mlp", "decoder": "mlp", "quantizer": quantizer}
    return build_tokenizer(sections | {"likelihood": "normal"}, channels=64), torch.randn(256, 64)


CASES = {"vqvae": _images, "mlp": _vectors}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def ready(name: str) -> tuple[SignalTokenizer, Tensor]:
    torch.manual_seed(0)
    tokenizer, x = CASES[name]()
    tokenizer(x)  # the codebook starts at the data
    return tokenizer.eval(), x


def _clear(tokenizer: SignalTokenizer, vectors: Tensor) -> Tensor:
    """Where the nearest codeword is nearer than the next by more than rounding can change."""
    rows = vectors.double()
    distances = torch.cdist(rows, tokenizer.levels[0].quantizer.codebook.double())
    nearest = distances.topk(2, largest=False).values
    # Moving a vector by d changes each of its distances by at most |d|.
    bound = 2 * ROUNDING * rows.abs().max() * rows.shape[-1] ** 0.5
    return nearest[..., 1] - nearest[..., 0] > bound


@pytest.mark.parametrize("size", [1, 3, 16])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_codes_depend_on_rounding_at_most(name: str, size: int, threads: int) -> None:
    tokenizer, x = ready(name)
    with torch.no_grad():
        vectors, codes = (f(x)[: 32 * size] for f in (tokenizer.vectors, tokenizer.encode))
        torch.set_num_threads(threads)
        parts = x[: 32 * size].split(size)
        again = torch.cat([tokenizer.vectors(part) for part in parts])
        codes_again = torch.cat([tokenizer.encode(part) for part in parts])
    assert (again - vectors).abs().max() < ROUNDING * vectors.abs().max()
    clear = _clear(tokenizer, vectors)
    assert clear.double().mean() > 0.99
    assert torch.equal(codes_again[clear], codes[clear])


def test_a_signal_alone_has_the_same_codes_in_any_padded_batch() -> None:
    """Without another signal of its extent, the networks see it alone, bit for bit."""
    tokenizer, x = ready("vqvae")
    mask = torch.ones(4, 32, 32).bool()
    for row, extent in enumerate([(32, 32), (16, 32), (32, 20), (8, 12)]):
        mask[row, extent[0] :] = False
        mask[row, :, extent[1] :] = False
    codes = tokenizer.encode(x[:4], mask)
    for row, extent in enumerate([(32, 32), (16, 32), (32, 20), (8, 12)]):
        alone = tokenizer.encode(x[row : row + 1, :, : extent[0], : extent[1]])
        assert torch.equal(codes[row, : alone.shape[1], : alone.shape[2]], alone[0])
