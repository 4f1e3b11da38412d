"""Files of earlier releases open for ever, and mean what they meant.

tests/frozen/make.py wrote them; whatever differs here is a change for everybody who has such files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from frozen.cases import (
    FILES,
    HALF,
    channels_of,
    environment,
    log_of,
    options_of,
    outcome,
    pixels,
    printed,
    read_arrays,
    read_json,
    shapes,
    steps,
)
from vocabula import codec, load, load_generator, pipelines, registry
from vocabula.data import read_tokens
from vocabula.priors import Condition, Prior, save
from vocabula.priors import load as load_prior
from vocabula.training import RunConfig, config_from_sections, train, train_prior

ENVIRONMENT = environment()
CLOCKED = ("seconds", "version", "command", "vocabula", "pillow", "verdict")
"""Figures of commands that hang on the clock, the release or other programs."""
OTHERS = ("comparisons", "one_file_comparisons", "curves")
"""Figures of other programs' codecs: their names stay."""


def inside(folder: str) -> list[str]:
    return sorted(path.name for path in (FILES / folder).iterdir() if path.is_dir())


TOKENIZERS, PRIORS = inside("tokenizers"), inside("priors")
TOKENS = sorted(path.stem for path in (FILES / "tokens").glob("*.json"))
STEPS = sorted(path.stem for path in (FILES / "steps").glob("*.json"))
COMMANDS = sorted(path.stem for path in (FILES / "commands").glob("*.json"))


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the frozen files, which is the current folder."""
    shutil.copytree(FILES, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")
    monkeypatch.delenv("RANK", raising=False)
    return tmp_path / "files"


def near(found: Any, expected: Any, where: str = "", tolerance: float = 1e-4) -> None:
    """Check for the same names in the same order, and the same values nearly."""
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name in expected:
            if name not in CLOCKED:
                near(found[name], expected[name], f"{where}.{name}", tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            near(one, other, f"{where}[{number}]", tolerance)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance / 100), where
    else:
        assert found == expected, where


def without_new(found: Any, frozen: Any) -> Any:
    """Settings without the options that a frozen file does not know yet."""
    if isinstance(frozen, dict):
        return {k: without_new(found[k], frozen[k]) for k in found if k in frozen}
    if isinstance(frozen, list) and len(found) == len(frozen):
        return [without_new(one, other) for one, other in zip(found, frozen, strict=True)]
    return found


def check_saved_alike(saved: Path, frozen: Path, kind: str) -> None:
    """The same bytes of config.json but for the release and new options, and the same tensors."""
    before, text = read_json(frozen / "config.json"), (saved / "config.json").read_text()
    now = json.loads(text)
    assert text == json.dumps(now, indent=2, sort_keys=True) + "\n"
    now |= {"version": before["version"], kind: without_new(now[kind], before[kind])}
    again = json.dumps(now, indent=2, sort_keys=True) + "\n"
    assert again.encode() == (frozen / "config.json").read_bytes()
    names, metadata = [], []
    for folder in (saved, frozen):
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            names.append(list(file.keys()))
            metadata.append(file.metadata())
    assert names[0] == names[1] and metadata[0] == metadata[1]


def check_tensors(module: torch.nn.Module, folder: Path) -> None:
    """Every tensor that was there has its name and shape still."""
    frozen = read_json(folder / "expected.json")["tensors"]
    assert frozen.items() <= shapes(module.state_dict()).items()


# ----------------------------------------------------------------------- models


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_computes_what_it_did(name: str) -> None:
    folder = FILES / "tokenizers" / name
    tokenizer = load(folder)
    assert tokenizer.fingerprint() == read_json(folder / "expected.json")["fingerprint"]
    check_tensors(tokenizer, folder)
    images = read_arrays(FILES / "images.npz")[str(channels_of(name))]
    found = outcome(tokenizer, torch.from_numpy(images))
    expected = read_arrays(folder / "expected.npz")
    assert found.keys() == expected.keys()
    if name in HALF:  # 8 bits of mantissa, of which the last may differ
        assert {p.dtype for p in tokenizer.parameters()} == {torch.bfloat16}
        assert np.abs(found["reconstruction"] - expected["reconstruction"]).max() < 0.1
        return
    for key, values in expected.items():
        if key.startswith("codes"):
            assert np.array_equal(found[key], values)
    np.testing.assert_allclose(found["reconstruction"], expected["reconstruction"], atol=1e-5)
    np.testing.assert_allclose(found["bits"], expected["bits"], rtol=1e-4, atol=1e-6)
    codes = [torch.from_numpy(expected[k]) for k in sorted(expected) if k.startswith("codes")]
    if codes:
        with torch.no_grad():
            shown = tokenizer.decode(codes if codes[1:] else codes[0], size=images.shape[2:])
        np.testing.assert_allclose(shown.numpy(), expected["reconstruction"], atol=1e-5)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_is_saved_as_it_was(name: str, tmp_path: Path) -> None:
    folder = FILES / "tokenizers" / name
    load(folder).save_pretrained(tmp_path)
    check_saved_alike(tmp_path, folder, "tokenizer")
    counts = [place / "entropy.safetensors" for place in (tmp_path, folder)]
    assert counts[0].exists() == counts[1].exists()
    if counts[1].exists():
        assert counts[0].read_bytes() == counts[1].read_bytes()


def given(arrays: dict[str, Any]) -> Condition:
    """The condition of frozen codes."""
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    attributes = {"class": tensors["labels"]} if "labels" in tensors else {}
    return Condition(attributes, tensors.get("text"), upper=(tensors["upper"],))


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_computes_what_it_did(name: str) -> None:
    folder = FILES / "priors" / name
    prior, arrays = load_prior(folder), read_arrays(folder / "expected.npz")
    assert prior.fingerprint() == read_json(folder / "expected.json")["fingerprint"]
    check_tensors(prior, folder)
    with torch.no_grad():
        nats = prior.log_prob(torch.from_numpy(arrays["codes"]), given(arrays)).numpy()
    np.testing.assert_allclose(nats, arrays["nats"], atol=1e-4)
    drawn = prior.sample((4, 3, 3), given(arrays), seed=0).numpy()
    check_codes(prior, drawn)
    if read_json(folder / "expected.json")["environment"] == ENVIRONMENT:
        assert np.array_equal(drawn, arrays["drawn"])
    if "text" in arrays:
        text = prior.condition(4, text="three one").text
        assert text is not None and np.array_equal(text.numpy(), arrays["text"])


def check_codes(prior: Prior, drawn: np.ndarray) -> None:
    assert drawn.shape == (4, 3, 3, 2) and drawn.min() >= 0
    assert all(drawn[..., i].max() < size for i, size in enumerate(prior.codes.codebook_sizes))


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_saved_as_it_was(name: str, tmp_path: Path) -> None:
    folder = FILES / "priors" / name
    save(load_prior(folder), tmp_path)
    check_saved_alike(tmp_path, folder, "prior")
    files = [{path.name for path in place.iterdir()} for place in (tmp_path, folder)]
    assert files[0] - {"README.md"} == {x for x in files[1] if not x.startswith("expected")}


def test_a_generator_computes_what_it_did() -> None:
    generator = load_generator(FILES / "generator")
    arrays = read_arrays(FILES / "generator" / "expected.npz")
    codes = [torch.from_numpy(arrays[f"codes{i}"]) for i in (1, 2)]
    with torch.no_grad():
        np.testing.assert_allclose(generator.log_prob(codes), arrays["nats"], atol=1e-4)
    assert generator.image_size == (12, 10)
    assert generator.sample(2, seed=0).images.shape == (2, 3, 12, 10)


# ----------------------------------------------------------------------- tokens


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_are_read_as_they_were(name: str) -> None:
    path = FILES / "tokens" / f"{name}.parquet"
    expected, found = read_json(path.with_suffix(".json")), read_tokens(path)
    header = json.loads(pq.read_schema(path).metadata[b"vocabula"])
    assert header["version"] == expected["version"]
    for field in ("fingerprint", "source", "label_names", "crops"):
        assert getattr(found, field) == expected[field]
    layouts = [[list(x.codebook_sizes), list(x.code_shape)] for x in found.levels]
    assert layouts == expected["levels"]
    records = [
        [[codes.tolist() for codes in x.levels], x.path, x.label, x.height, x.width] for x in found
    ]
    assert records == expected["records"] and len(found) == len(records)


def test_tokens_of_pictures_are_those_of_their_tokenizer(copied: Path) -> None:
    tokenizer = load("tokenizers/vector-ema")
    found = read_tokens("tokens/encoded.parquet", fingerprint=tokenizer.fingerprint())
    codes = torch.from_numpy(np.stack([record.codes for record in found]))
    assert [record.path for record in found] == [f"{i}.png" for i in range(6)]
    assert torch.equal(codes.long()[:3], tokenizer.encode(pixels(6, 12, 10))[:3])


# ------------------------------------------------------------------------- runs


def resume_tokenizer(config: RunConfig, about: dict[str, Any]) -> None:
    train(config, about["data"], "run", resume=True, progress=False)


def resume_prior(config: RunConfig, about: dict[str, Any]) -> None:
    train_prior(config, about["run"], about["data"], "prior-run", resume=True, progress=False)


@pytest.mark.parametrize(
    ("name", "resume"),
    [("run", resume_tokenizer), ("prior-run", resume_prior)],
    ids=["tokenizer", "prior"],
)
def test_a_run_goes_on_to_the_same_end(
    copied: Path, name: str, resume: Callable[[RunConfig, dict[str, Any]], None]
) -> None:
    run, ended = copied / name, read_json(FILES / f"{name}.json")
    before = read_json(run / "run.json")
    resume(config_from_sections(before["config"], before["preset"], before["overrides"]), before)
    assert read_json(run / "run.json").keys() >= before.keys()
    found, expected = (load_file(x) for x in (run / "model.safetensors", f"{name}.safetensors"))
    assert found.keys() == expected.keys()
    exact = ended["environment"] == ENVIRONMENT
    for key, value in expected.items():
        rounding = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-6}
        torch.testing.assert_close(found[key], value, **rounding)
    near(log_of(run), ended["log"])
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == [
        "step-00000008",
        "step-00000012",
    ]
    if "metrics" in ended:
        near(read_json(run / "metrics.json"), ended["metrics"])


@pytest.mark.parametrize("name", STEPS)
def test_three_steps_lose_what_they_did(name: str) -> None:
    frozen = read_json(FILES / "steps" / f"{name}.json")
    expected = [float.fromhex(text) for text in frozen["losses"]]
    found = [loss.item() for _, loss in steps(frozen["model"], 0, channels_of(name))]
    exact = frozen["environment"] == ENVIRONMENT
    assert found == (expected if exact else pytest.approx(expected, rel=1e-5))


# --------------------------------------------------- compressed files, commands


def test_a_compressed_file_of_pictures_opens(tmp_path: Path) -> None:
    path, tokenizer = FILES / "vcb" / "static.vcb", load(FILES / "tokenizers" / "vector-ema")
    images = pixels(3, 12, 10)
    codes = codec.read_codes(path, statistics=tokenizer.code_statistics).codes
    assert np.array_equal(np.stack(codes), tokenizer.encode(images).numpy())
    files = pipelines.decompress_files(tokenizer, [path], tmp_path)
    assert [file.name for file in files] == ["plain.png", "coloured.png", "same.png"]
    with torch.no_grad():
        expected = (tokenizer.reconstruct(images) * 255).permute(0, 2, 3, 1).numpy()
    profile = (FILES / "vcb" / "static.icc").read_bytes()
    for number, file in enumerate(files):
        with Image.open(file) as opened:
            assert opened.info.get("icc_profile") == (profile if number else None)
            assert np.abs(np.asarray(opened) - expected[number]).max() < 1


def test_a_file_coded_by_a_prior_opens_on_its_build() -> None:
    path, generator = FILES / "vcb" / "prior.vcb", load_generator(FILES / "generator")
    model, made = codec.PriorModel(generator.priors), read_json(FILES / "vcb" / "prior.json")
    header = codec.inspect(path).header
    assert header.build == f"{made['torch']} {made['capability']}"
    assert [each.hash for each in header.models] == [model.hash]
    assert header.fingerprint == generator.tokenizer.fingerprint()
    if made == ENVIRONMENT:
        found = codec.read_codes(path, models=[model]).codes
        expected = generator.tokenizer.encode(pixels(2, 12, 10))
        for level, codes in enumerate(expected):
            assert np.array_equal(np.stack([each[level] for each in found]), codes.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_what_it_did(copied: Path, name: str) -> None:
    frozen = read_json(FILES / "commands" / f"{name}.json")
    found, expected = printed(frozen["words"]), frozen["output"]
    found = {key: value for key, value in found.items() if key in expected}  # new ones may come
    assert list(found) == list(expected)
    for part in filter(expected.__contains__, OTHERS):
        now, before = found.pop(part), expected.pop(part)
        names = before if isinstance(before, dict) else [None]  # other codecs may come
        for name in names:
            one, other = (x if name is None else x[name] for x in (now, before))
            assert list(one[0]) == list(other[0])
    near(found, expected)


def test_names_and_defaults_of_components_stay() -> None:
    for kind, components in read_json(FILES / "components.json").items():
        assert components.keys() <= set(registry.names(kind)), kind
        for name, options in components.items():
            now = options_of(kind, name)
            assert options.items() <= now.items(), f"{kind} {name}"
            new = now.keys() - options.keys()
            assert not [x for x in new if "required" in now[x]], f"{kind} {name}"
