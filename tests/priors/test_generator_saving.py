"""A generator is one folder; what is missing in it is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from priors.generators import make_generator, make_priors, make_tokenizer, save_generator
from vocabula.errors import CheckpointError
from vocabula.priors import level_folder, load_generator, save, save_tokenizer_beside
from vocabula.tokenizers import load


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("kind", ["pixelcnn", "pixelsnail", "gpt2"])
def test_a_round_trip_draws_the_same(kind: str, levels: int, tmp_path: Path) -> None:
    generator = make_generator(kind, levels, classes=3, text=True)
    loaded = load_generator(save_generator(tmp_path / "prior", generator))
    wanted: dict[str, Any] = {
        "attributes": {"class": "two"},
        "text": "a handwritten two",
        "seed": 1,
    }
    one, other = generator.sample(2, **wanted), loaded.sample(2, **wanted)
    assert torch.equal(one.images, other.images)
    assert loaded.image_size == (12, 16) and loaded.class_names == ("zero", "one", "two")
    assert not loaded.tokenizer.training and not loaded.priors[0].training


def test_a_tokenizer_that_is_loaded_already_is_taken(tmp_path: Path) -> None:
    save_generator(tmp_path, make_generator("pixelcnn", 1))
    same, other = load(tmp_path / "tokenizer"), load(tmp_path / "tokenizer")
    with torch.no_grad():
        next(other.parameters()).add_(1)  # trained further
    assert load_generator(tmp_path, same).tokenizer is same
    taken = load_generator(tmp_path, other).tokenizer
    assert taken is not other and taken.fingerprint() == same.fingerprint()
    weights = tmp_path / "tokenizer" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        load_generator(tmp_path, same)


def test_where_the_parts_are(tmp_path: Path) -> None:
    assert level_folder(tmp_path, 0, 1) == tmp_path
    assert level_folder(tmp_path, 1, 2) == tmp_path / "level-2"
    save_generator(tmp_path, make_generator("gpt2", 2))
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/config.json")}
    assert found == {f"{name}/config.json" for name in ("tokenizer", "level-1", "level-2")}


def test_a_transformers_folder_still_opens_in_transformers(tmp_path: Path) -> None:
    generator = make_generator("gpt2")
    save_generator(tmp_path, generator)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens = torch.tensor([[generator.priors[0].vocabulary.start, 3]])
    with torch.no_grad():
        expected = generator.priors[0].model(tokens).logits
        assert torch.equal(model(tokens).logits, expected)


def foreign_prior(folder: Path) -> None:
    save(make_priors(make_tokenizer(codebook_size=8), "pixelcnn")[0], folder)


def unfinished(folder: Path) -> None:
    for path in (*folder.glob("level-*"), folder / "tokenizer"):
        shutil.rmtree(path, ignore_errors=True)
    (folder / "config.json").unlink()
    (folder / "run.json").write_text(json.dumps({"command": "vocabula train-prior a b"}))


FLAT = {
    "no folder": (lambda f: shutil.rmtree(f), "expected a trained prior, got no such folder"),
    "no tokenizer": (
        lambda f: shutil.rmtree(f / "tokenizer"),
        "expected the priors' tokenizer in .*tokenizer, got none; put a copy",
    ),
    "other tokenizer": (
        lambda f: save_tokenizer_beside(f, make_tokenizer(channels=3)),
        "expected one of tokenizer .{12}, got one of tokenizer .{12}; use the tokenizer whose",
    ),
    "other prior": (foreign_prior, "got one of tokenizer"),
    "no prior": (
        lambda f: (f / "config.json").unlink(),
        "expected a prior, got none; train it with: vocabula train-prior RUN TOKENS",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "expected model.safetensors"),
    "tokenizer damaged": (
        lambda f: (f / "tokenizer/model.safetensors").write_bytes(b"x"),
        "expected a safetensors file, got a damaged one",
    ),
    "a tokenizer": (
        lambda f: (shutil.rmtree(f), make_tokenizer().save_pretrained(f)),
        "expected a prior, got a tokenizer",
    ),
    "unfinished": (
        unfinished,
        "expected a trained prior, got none in it yet; let it go on with: vocabula train-prior a b",
    ),
    "empty": (lambda f: (shutil.rmtree(f), f.mkdir()), "got none in it yet; give the folder that"),
}


@pytest.mark.parametrize(("damage", "message"), FLAT.values(), ids=list(FLAT))
def test_what_is_wrong_gets_one_clear_line(damage: Any, message: str, tmp_path: Path) -> None:
    folder = save_generator(tmp_path / "prior", make_generator("pixelcnn"))
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_generator(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_level_is_named_with_the_command_that_trains_it(tmp_path: Path) -> None:
    folder = save_generator(tmp_path / "prior", make_generator("pixelsnail", 2))
    shutil.rmtree(folder / "level-2")
    message = "level-2: expected the prior of level 2 of 2, got none; train it with: vocabula"
    with pytest.raises(CheckpointError, match=f"{message} .*--model pixelsnail .* --resume"):
        load_generator(folder)
    (folder / "run.json").write_text('{"command": "vocabula train-prior RUN t.parquet"}')
    with pytest.raises(
        CheckpointError, match=r"with: vocabula train-prior RUN t\.parquet --resume"
    ):
        load_generator(folder)
