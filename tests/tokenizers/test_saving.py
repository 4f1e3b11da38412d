"""Saved folders: bit-equal round trips, no half-written state, one clear line for a bad folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vocabula.errors import CheckpointError, OutputError
from vocabula.quantizers import EMA, ResidualQuantizer, VectorQuantizer
from vocabula.quantizers.local_state import local_tensors
from vocabula.tokenizers import Tokenizer, build_tokenizer, load

SMALL = {"name": "vqvae", "hidden": 8, "residual_hidden": 4}
QUANTIZERS: dict[str, Any] = {
    "vector": {"name": "vector", "dim": 4, "codebook_size": 16},
    "finite scalar": {"name": "finite_scalar", "levels": [4, 4, 4]},
    "gaussian": {"name": "gaussian", "dim": 4},
}


def trained(quantizer: Any, **specs: Any) -> Tokenizer:
    """A tokenizer after two steps, so that buffers have moved."""
    torch.manual_seed(0)
    parts = {"encoder": SMALL, "decoder": SMALL, "quantizer": quantizer, **specs}
    tokenizer = build_tokenizer(parts, 3)
    optimizer = torch.optim.Adam(tokenizer.parameters(), 1e-2)
    for _ in range(2):
        tokenizer(torch.rand(2, 3, 8, 8)).loss.backward()
        optimizer.step()
    return tokenizer.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trained(QUANTIZERS["vector"]).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=list(QUANTIZERS))
@pytest.mark.parametrize("likelihood", ["gaussian", "logistic_mixture"])
def test_a_round_trip_is_bit_equal(tmp_path: Path, quantizer: Any, likelihood: str) -> None:
    tokenizer = trained(quantizer, likelihood=likelihood)
    tokenizer.save_pretrained(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert not loaded.training
    before, after = tokenizer.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    x = torch.rand(1, 3, 9, 7)
    assert torch.equal(tokenizer.reconstruct(x), loaded.reconstruct(x))
    assert loaded.fingerprint() == tokenizer.fingerprint()


def test_a_shared_codebook_stays_shared(tmp_path: Path) -> None:
    shared = VectorQuantizer(4, 16)
    tokenizer = trained(ResidualQuantizer([shared, shared]))
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(tokenizer.encode(x), loaded.encode(x))


def test_half_precision_stays_half(tmp_path: Path) -> None:
    tokenizer = trained(QUANTIZERS["vector"]).bfloat16()
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert loaded.fingerprint() == tokenizer.fingerprint()


def test_component_options_survive(tmp_path: Path) -> None:
    quantizer = VectorQuantizer(4, 16, learning=EMA(decay=0.9), commitment_weight=0.5)
    trained(quantizer).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format"] == 1 and config["library"] == "vocabula" and config["version"]
    assert config["tokenizer"]["quantizer"]["learning"]["decay"] == 0.9
    assert "vocabula." not in json.dumps(config["tokenizer"])


def test_the_card_has_data_metrics_and_command(tmp_path: Path) -> None:
    trained(QUANTIZERS["vector"]).save_pretrained(
        tmp_path, data="ten photographs", metrics={"psnr_db": 29.5}, command="vocabula train x"
    )
    card = (tmp_path / "README.md").read_text()
    assert "library_name: vocabula" in card
    assert "ten photographs" in card and "| psnr_db | 29.5 |" in card
    assert "vocabula train x" in card


def test_saving_again_replaces_and_leaves_other_files(saved: Path) -> None:
    (saved / "log.jsonl").write_text("{}")
    other = trained(QUANTIZERS["gaussian"])
    other.save_pretrained(saved)
    assert load(saved).fingerprint() == other.fingerprint()
    assert sorted(p.name for p in saved.iterdir()) == [
        "README.md",
        "config.json",
        "log.jsonl",
        "model.safetensors",
    ]
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_rights_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    tokenizer = trained(QUANTIZERS["vector"])
    before = os.umask(mask)
    try:
        tokenizer.save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == {0o666 & ~mask}


def test_a_failed_save_keeps_the_old_model(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load(saved).fingerprint()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vocabula.tokenizers.weights.write_weights", full)
    with pytest.raises(OutputError, match="No space left on device'; free some space"):
        trained(QUANTIZERS["gaussian"]).save_pretrained(saved)
    assert load(saved).fingerprint() == old
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(OutputError):
        trained(QUANTIZERS["vector"]).save_pretrained(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def flip_a_bit(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("encoder.conv.weight")
    save_file(tensors, folder / "model.safetensors")


def reshape_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.conv.weight"] = torch.zeros(2, 2)
    save_file(tensors, folder / "model.safetensors")


def pickle_the_weights(folder: Path) -> None:
    torch.save({"a": torch.zeros(3)}, folder / "model.safetensors")


def misspell(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["tokenizer"]["encoder"]["hiden"] = 8
    (folder / "config.json").write_text(json.dumps(config))


DAMAGES = {
    "no folder": (lambda f: os.rename(f, f.parent / "moved"), "no such folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json in it"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "expected model.safetensors"),
    "config cut": (lambda f: (f / "config.json").write_text('{"format'), "damaged"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "damaged"),
    "config list": (lambda f: (f / "config.json").write_text("[1]"), "another library"),
    "foreign": (lambda f: (f / "config.json").write_text('{"model_type": "x"}'), "another library"),
    "newer": (lambda f: edit(f, format=2), "expected format 1, got 2; update"),
    "no settings": (lambda f: edit(f, tokenizer=None), "expected a table 'tokenizer'"),
    "unknown name": (lambda f: edit(f, tokenizer={"name": "tokeniser"}), "did you mean"),
    "unknown option": (misspell, "did you mean 'hidden'"),
    "weights cut": (truncate, "damaged"),
    "weights flipped": (flip_a_bit, "damaged"),
    "weights empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
    "weights pickled": (pickle_the_weights, "damaged"),
    "tensor missing": (drop_a_tensor, "got no encoder.conv.weight"),
    "tensor of another shape": (reshape_a_tensor, r"expected encoder.conv.weight of shape"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_bad_folder_gets_one_clear_line(saved: Path, damage: Any, message: str) -> None:
    damage(saved)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(saved)
    assert "\n" not in str(caught.value)


def test_the_fingerprint_is_of_what_encode_and_decode_compute() -> None:
    tokenizer = trained(QUANTIZERS["vector"])
    before = tokenizer.fingerprint()
    assert len(before) == 64 and int(before, 16) >= 0
    tokenizer(torch.rand(2, 3, 8, 8))
    assert tokenizer.fingerprint() == before
    for name, buffer in tokenizer.named_buffers():
        if name.endswith(("mass", "noise_updates")):
            buffer += 1
    for counted in local_tensors(tokenizer).values():
        counted.fill_(1)
    assert tokenizer.fingerprint() == before
    with torch.no_grad():
        next(tokenizer.decoder.parameters()).view(-1)[0] += 1e-3
    assert tokenizer.fingerprint() != before


def test_the_fingerprint_tells_settings_without_tensors_apart() -> None:
    prints = {
        trained({"name": "finite_scalar", "levels": levels}).fingerprint()
        for levels in ([4, 4, 4], [4, 4, 5])
    }
    assert len(prints) == 2


def test_hub_round_trip_from_a_folder(saved: Path) -> None:
    loaded = Tokenizer.from_pretrained(saved)
    assert loaded.fingerprint() == load(saved).fingerprint()
    assert Tokenizer.from_pretrained(str(saved)).fingerprint() == loaded.fingerprint()


def test_hub_names_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise OSError("no route\nto host")

    with pytest.raises(CheckpointError, match="check the spelling"):
        Tokenizer.from_pretrained("not/a/name")
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"user/model.*check the spelling, the network"):
        Tokenizer.from_pretrained("user/model")


def test_push_to_hub_uploads_the_saved_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: dict[str, list[str]] = {}

    class Url:
        repo_id = "user/model"

    class Api:
        def __init__(self, token: str | None = None) -> None:
            assert token is None

        def create_repo(self, repo_id: str, **_: Any) -> Url:
            assert repo_id == "user/model"
            return Url()

        def upload_folder(self, *, folder_path: Path, **_: Any) -> str:
            uploaded["files"] = sorted(p.name for p in Path(folder_path).iterdir())
            uploaded["print"] = [load(folder_path).fingerprint()]
            return "address"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    tokenizer = trained(QUANTIZERS["vector"])
    assert tokenizer.push_to_hub("user/model") == "address"
    assert uploaded["files"] == ["README.md", "config.json", "model.safetensors"]
    assert uploaded["print"] == [tokenizer.fingerprint()]
