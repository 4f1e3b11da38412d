"""Saved priors: bit-equal round trips, one clear line for a bad folder, nothing heavy imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from priors.builders import condition, conditioning, every_prior, make, random_codes, two_books
from vocabula import registry
from vocabula.errors import CheckpointError, OutputError
from vocabula.priors import Conditioning, Origin, Prior, TextTokenizer, load, save

FULL = Conditioning(
    classes=3,
    text_tokens=50,
    text_length=4,
    upper=conditioning("upper", (3, 3)).upper,
    dropout=0.2,
)


def described(kind: str) -> Prior:
    prior = make(kind, two_books((3, 3)), FULL)
    prior.text_tokenizer = TextTokenizer.train(["one two", "three"], size=50)
    prior.origin = Origin("f00d", {"class": ("a", "b", "c")})
    return prior


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(described("pixelcnn"), tmp_path / "prior")
    return tmp_path / "prior"


@every_prior
def test_a_round_trip_is_bit_equal(kind: str, tmp_path: Path) -> None:
    prior = described(kind)
    save(prior, tmp_path / "prior", data="digits", metrics={"nats": 1.5}, command="vocabula x")
    loaded = load(tmp_path / "prior")
    before, after = prior.state_dict(), loaded.state_dict()
    assert not loaded.training and before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert loaded.fingerprint() == prior.fingerprint()
    assert loaded.origin == prior.origin
    words: dict[str, Any] = {"attributes": {"class": "b"}, "text": "three"}
    given = prior.condition(2, **words, upper=condition("upper", (3, 3), 2).upper)
    again = loaded.condition(2, **words, upper=given.upper)
    codes = random_codes(prior.codes, 2)
    assert torch.equal(prior.log_prob(codes, given), loaded.log_prob(codes, again))
    drawn = prior.sample((2, 3, 3), given, seed=0, guidance=2.0)
    assert torch.equal(drawn, loaded.sample((2, 3, 3), again, seed=0, guidance=2.0))
    files = {path.name for path in (tmp_path / "prior").iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md", "tokenizer.json"}


@every_prior
def test_the_card_and_the_settings(kind: str, tmp_path: Path) -> None:
    prior = described(kind)
    save(prior, tmp_path, data="digits", metrics={"nats_per_code": 1.25}, command="vocabula x")
    card = (tmp_path / "README.md").read_text()
    for words in ("digits", "nats_per_code: 1.25", "vocabula x", prior.fingerprint(), "f00d"):
        assert words in card
    assert ("AutoModelForCausalLM" in card) == (kind in ("gpt2", "llama"))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["library"] == "vocabula" and config["format"] == 1
    assert config["origin"]["tokenizer"] == "f00d"
    assert config["prior"]["codes"]["codebook_sizes"] == [3, 23]
    assert "vocabula." not in json.dumps(config["prior"])


@every_prior
def test_half_precision_stays_half(kind: str, tmp_path: Path) -> None:
    prior = make(kind, two_books((2, 2))).bfloat16()
    save(prior, tmp_path)
    loaded = load(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert loaded.fingerprint() == prior.fingerprint() and loaded.text_tokenizer is None


def test_the_fingerprint_is_of_settings_and_weights() -> None:
    one, same = make("pixelcnn", two_books((2, 2))), make("pixelcnn", two_books((2, 2)))
    assert one.fingerprint() == same.fingerprint()
    other = make("pixelcnn", two_books((2, 3)))
    assert other.fingerprint() != one.fingerprint()
    with torch.no_grad():
        next(same.parameters()).view(-1)[0] += 1e-3
    assert one.fingerprint() != same.fingerprint()


def test_priors_are_components() -> None:
    assert registry.names("prior") == ["pixelcnn", "pixelsnail", "portable", "transformer"]
    settings = {
        "name": "pixelcnn",
        "codes": {"codebook_sizes": [8], "grid": [4, 4]},
        "conditioning": {"classes": 2, "upper": [{"codebook_sizes": [8], "grid": [2, 2]}]},
        "hidden": 8,
        "layers": 1,
    }
    prior = registry.build("prior", settings)
    assert prior.conditioning.upper[0].grid == (2, 2) and prior.codes.codebook_sizes == (8,)
    assert registry.build("prior", registry.spec(prior)).codes == prior.codes


def test_a_failed_save_keeps_the_old_prior(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load(saved).fingerprint()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vocabula.tokenizers.weights.write_weights", full)
    with pytest.raises(OutputError, match="No space left on device'; free some space"):
        save(make("pixelsnail", two_books((2, 2))), saved)
    assert load(saved).fingerprint() == old
    assert [path.name for path in saved.parent.iterdir()] == ["prior"]


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("head.inner.0.weight")
    save_file(tensors, folder / "model.safetensors")


def misspell(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["prior"]["hiden"] = 8
    (folder / "config.json").write_text(json.dumps(config))


DAMAGES = {
    "no folder": (lambda f: os.rename(f, f.parent / "moved"), "no such folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json in it"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "expected model.safetensors"),
    "no text tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "missing or damaged file"),
    "config cut": (lambda f: (f / "config.json").write_text('{"format'), "damaged"),
    "config list": (lambda f: (f / "config.json").write_text("[1]"), "another library"),
    "foreign": (lambda f: (f / "config.json").write_text('{"model_type": "x"}'), "another library"),
    "newer": (lambda f: edit(f, format=2), "expected format 1, got 2; update"),
    "tokenizer": (lambda f: edit(f, prior=None, tokenizer={}), "expected a prior, got a tokenizer"),
    "no origin": (lambda f: edit(f, origin=None), "expected the settings of a prior"),
    "unknown name": (lambda f: edit(f, prior={"name": "pixelcn"}), "did you mean 'pixelcnn'"),
    "unknown option": (misspell, "did you mean 'hidden'"),
    "weights cut": (truncate, "damaged"),
    "weights flipped": (flip_a_bit, "damaged"),
    "tensor missing": (drop_a_tensor, "got no head.inner.0.weight"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_bad_folder_gets_one_clear_line(saved: Path, damage: Any, message: str) -> None:
    damage(saved)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("statement", ["import vocabula", "import vocabula.priors"])
def test_import_is_light(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"transformers", "tokenizers"}
