"""A saved tokenizer says what it is without being built, and only what is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vocabula.tokenizers import SignalTokenizer, build_tokenizer, load
from vocabula.tokenizers.saved_folder import read_tokenizer_config
from vocabula.tokenizers.saved_summary import saved_summary
from vocabula.tokenizers.summary import KEY, Summary, summarize

NET = {"name": "vqvae", "hidden": 4, "residual_layers": 0, "downsample": 2}
BOOK = {"name": "vector", "dim": 4, "codebook_size": 16}
QUANTIZERS = {
    "vector": BOOK,
    "gradient": BOOK | {"learning": "gradient", "revival": None},
    "linear": BOOK | {"learning": {"name": "linear"}},
    "gumbel": {"name": "gumbel", "dim": 4, "codebook_size": 8},
    "finite_scalar": {"name": "finite_scalar", "levels": [5, 3]},
    "lookup_free": {"name": "lookup_free", "dim": 5},
    "residual": {"name": "residual", "stages": [BOOK], "repeat": 3},
    "product": {"name": "product", "parts": [BOOK, {**BOOK, "codebook_size": 7}]},
    "gaussian": {"name": "gaussian", "dim": 4},
}


def _parts(quantizer: Any) -> dict[str, Any]:
    return {"encoder": NET, "quantizer": quantizer, "decoder": NET}


def _saved(folder: Path, tokenizer: SignalTokenizer) -> SignalTokenizer:
    with torch.no_grad():
        tokenizer.train()(torch.rand(4, tokenizer.channels, 8, 8))
    tokenizer.eval().save_pretrained(folder)
    return tokenizer


def _read(folder: Path) -> Summary | None:
    return saved_summary(folder, read_tokenizer_config(folder))


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_saved_summary_is_that_of_the_tokenizer(tmp_path: Path, quantizer: str) -> None:
    tokenizer = _saved(tmp_path, build_tokenizer(_parts(QUANTIZERS[quantizer]), 1))
    found = _read(tmp_path)
    assert found == summarize(tokenizer) == summarize(load(tmp_path))
    assert found is not None
    assert found.fingerprint == tokenizer.fingerprint()
    assert found.levels[0].bits == tokenizer.levels[0].bits


def test_summary_of_several_levels(tmp_path: Path) -> None:
    level = _parts(BOOK)
    tokenizer = _saved(tmp_path, build_tokenizer({"level1": level, "level2": level}, 3))
    found = _read(tmp_path)
    assert found == summarize(tokenizer)
    assert found is not None
    assert [(each.title, each.stride) for each in found.levels] == [("level 1", 4), ("level 2", 2)]
    assert sum(found.rate(each) for each in found.levels) == tokenizer.bits_per_unit
    assert (found.encoders, found.decoders) == (("VQVAEEncoder",), ("VQVAEDecoder",))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_fingerprint_of_other_types(tmp_path: Path, dtype: torch.dtype) -> None:
    tokenizer = build_tokenizer(_parts(BOOK), 1).to(dtype).eval()
    tokenizer.save_pretrained(tmp_path)
    found = _read(tmp_path)
    assert found is not None
    assert found.fingerprint == tokenizer.fingerprint()


def _edit(folder: Path, change: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_no_summary_is_taken_that_does_not_fit_the_files(tmp_path: Path) -> None:
    _saved(tmp_path, build_tokenizer(_parts(BOOK), 1))
    kept = (tmp_path / "config.json").read_text()
    changes = [
        lambda config: config.pop(KEY),
        lambda config: config.update({KEY: 3}),
        lambda config: config[KEY].pop("channels"),
        lambda config: config[KEY].update(other=1),
        lambda config: config[KEY].update(fingerprint="0" * 64),
        lambda config: config["tokenizer"]["quantizer"].update(commitment_weight=0.75),
        lambda config: config["tokenizer"]["quantizer"].update(name="vectr"),
    ]
    for change in changes:
        (tmp_path / "config.json").write_text(kept)
        _edit(tmp_path, change)
        assert _read(tmp_path) is None
    (tmp_path / "config.json").write_text(kept)
    assert _read(tmp_path) is not None


def test_no_summary_is_taken_beside_other_or_damaged_weights(tmp_path: Path) -> None:
    _saved(tmp_path, build_tokenizer(_parts(BOOK), 1))
    weights = tmp_path / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert _read(tmp_path) is None
    weights.write_bytes(kept[:100])
    assert _read(tmp_path) is None
    weights.write_bytes(kept)
    tensors = load_file(weights)
    name = next(name for name in tensors if name.startswith("encoder"))
    tensors[name] = tensors[name] + 1
    save_file(tensors, weights)
    assert _read(tmp_path) is None
