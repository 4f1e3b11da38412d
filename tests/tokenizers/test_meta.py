"""Tokenizers that were built on the meta device, and under other default dtypes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vocabula.tokenizers import build_tokenizer

NET = {"name": "vqvae", "hidden": 8, "residual_hidden": 4}
BOTTLENECKS: dict[str, dict[str, Any]] = {
    "vector": {"name": "vector", "dim": 4, "codebook_size": 16},
    "finite scalar": {"name": "finite_scalar", "levels": [5, 5], "dim": 4},
    "gaussian": {"name": "gaussian", "dim": 4},
}


def build(quantizer: str) -> Any:
    return build_tokenizer({"encoder": NET, "decoder": NET, "quantizer": BOTTLENECKS[quantizer]}, 3)


def step(tokenizer: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    images = torch.rand(4, 3, 16, 16, dtype=torch.float32, device="cpu")
    result = tokenizer.train()(images)
    result.loss.backward()
    return [result.output, result.loss, *tokenizer.state_dict().values()]


@pytest.mark.parametrize("quantizer", BOTTLENECKS)
@pytest.mark.parametrize("how", ["to_empty", "assign"])
def test_a_tokenizer_from_the_meta_device_trains_on(quantizer: str, how: str) -> None:
    source = build(quantizer)
    step(source)
    with torch.device("meta"):
        tokenizer = build(quantizer)
    state = {name: t.clone() for name, t in source.state_dict().items()}
    if how == "to_empty":
        tokenizer.to_empty(device="cpu")
        for buffer in tokenizer.buffers():  # memory that was used before
            buffer.fill_(77)
    tokenizer.load_state_dict(state, assign=how == "assign")
    assert not any(t.is_meta for t in [*tokenizer.parameters(), *tokenizer.buffers()])
    assert all(torch.equal(a, b) for a, b in zip(step(tokenizer), step(source), strict=True))
    assert tokenizer.fingerprint() == source.fingerprint()


@pytest.mark.parametrize("quantizer", BOTTLENECKS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_another_default_dtype_changes_nothing(quantizer: str, dtype: torch.dtype) -> None:
    expected = build(quantizer)
    tokenizer = build(quantizer)
    tokenizer.load_state_dict(expected.state_dict())
    torch.set_default_dtype(dtype)
    try:
        found = step(tokenizer)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(found, step(expected), strict=True))
