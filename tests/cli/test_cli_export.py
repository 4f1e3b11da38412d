"""Exported folders: complete, with held-out figures, and nothing else in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from priors.generators import make_generator, save_generator
from vocabula import codec
from vocabula import load as load_tokenizer
from vocabula.data import open_source
from vocabula.priors import load_generator


@pytest.fixture
def run(saved: Path, pictures: Path, tmp_path: Path, vocabula: Callable) -> Path:
    """A run with counts of the codes of its pictures, and things that are not to be shared."""
    folder = tmp_path / "run"
    shutil.copytree(saved / "run", folder)
    (folder / "checkpoints").mkdir()
    assert vocabula("counts", folder, pictures).code == 0
    return folder


def test_the_folder_opens_what_the_run_compressed(
    run: Path, pictures: Path, vocabula: Callable
) -> None:
    picture = pictures / "0.png"
    assert vocabula("compress", run, picture, "-o", "x.vcb").code == 0
    done = vocabula("export", run, "shared", "--data", pictures)
    assert done.code == 0, done.err
    files = {path.name for path in Path("shared").iterdir()}
    assert files == {"config.json", "model.safetensors", "entropy.safetensors", "README.md"}
    assert "vocabula.load('shared')" in done.out
    assert vocabula("decompress", "shared", "x.vcb", "-o", "theirs.png").code == 0
    assert vocabula("decompress", run, "x.vcb", "-o", "ours.png").code == 0
    assert np.array_equal(Image.open("theirs.png"), Image.open("ours.png"))
    card = Path("shared/README.md").read_text()
    assert "Measured on 4 images of" in card and "| psnr |" in card
    assert load_tokenizer("shared").fingerprint() == load_tokenizer(run).fingerprint()


def test_the_test_split_of_the_training_data_is_measured(
    run: Path, tmp_path: Path, pictures: Path, vocabula: Callable
) -> None:
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / "data" / split).mkdir(parents=True)
        for i in range(count):
            shutil.copy(pictures / f"{i}.png", tmp_path / "data" / split)
    manifest = run / "run.json"
    manifest.write_text(manifest.read_text().replace('"pictures"', f'"{tmp_path / "data"}"', 1))
    done = vocabula("export", run, "shared")
    assert done.code == 0 and "measuring on" in done.err
    assert "Measured on 2 images" in Path("shared/README.md").read_text()


def test_without_held_out_data_the_card_says_so(run: Path, vocabula: Callable) -> None:
    done = vocabula("export", run, "shared")
    assert done.code == 0 and "--data" in done.err
    assert "Not measured" in Path("shared/README.md").read_text()


def test_a_tokenizer_takes_its_counts_with_it(run: Path, pictures: Path, tmp_path: Path) -> None:
    loaded = load_tokenizer(run)
    loaded.save_pretrained(tmp_path / "copy")
    name = "entropy.safetensors"
    assert (tmp_path / "copy" / name).read_bytes() == (run / name).read_bytes()
    image = torch.from_numpy(open_source(pictures).read(0).image.transpose(2, 0, 1).copy())
    codec.write(tmp_path / "x.vcb", image[None], loaded)
    again = load_tokenizer(tmp_path / "copy")
    assert len(codec.read(tmp_path / "x.vcb", again)) == 1
    with torch.no_grad():  # weights of their own: the counts are those of others
        next(loaded.parameters()).add_(1)
    loaded.save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other" / name).exists()
    assert codec.known_models.statistics_of(loaded) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("export run run --overwrite", "expected a folder apart from the run"),
        ("export run pictures", "add --overwrite"),
        ("export none shared", "expected a saved tokenizer"),
        ("export run pictures/0.png", "choose another name"),
        ("export run shared --data none", "got nothing at that place"),
    ],
)
def test_what_cannot_be_exported(
    run: Path, pictures: Path, vocabula: Callable, words: str, wanted: str
) -> None:
    before = sorted(Path().rglob("*"))
    done = vocabula(*words.split())
    assert done.code == 2 and wanted in done.err and done.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.slow
def test_a_prior_takes_its_tokenizer_and_nothing_else(
    coded: Callable, tmp_path: Path, vocabula: Callable
) -> None:
    made = coded()
    words = ("prior.hidden=8", "prior.layers=1", "prior.heads=1", "training.steps=2")
    assert vocabula("train-prior", made.run, made.tokens, "--model", "transformer",
                    "--out", "prior", *words).code == 0  # fmt: skip
    done = vocabula("export", "prior", "shared")
    assert done.code == 0, done.err
    names = {p.relative_to("shared").as_posix() for p in Path("shared").rglob("*") if p.is_file()}
    assert {"config.json", "model.safetensors", "tokenizer/config.json"} <= names
    assert not any("checkpoint" in name or name in ("run.json", "log.jsonl") for name in names)
    assert vocabula("sample", "shared", "-n", 2, "-o", "drawn.png").code == 0
    assert vocabula("export", "prior", "other", "--data", "x").code == 2


def test_half_the_size_is_another_tokenizer_of_rounded_weights(
    run: Path, pictures: Path, vocabula: Callable
) -> None:
    done = vocabula("export", run, "half", "--half", "--data", pictures)
    assert done.code == 0 and "no counts of training codes in half" in done.err
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (run, Path("half"))]
    assert sizes[1] < 0.75 * sizes[0]  # names and settings are as long as before
    ours, theirs = load_tokenizer(run), load_tokenizer("half")
    for (name, one), (_, other) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert other.dtype == torch.float32, name
        assert torch.equal(one.to(torch.float16).to(torch.float32), other), name
    said = json.loads(Path("half/config.json").read_text())["summary"]["fingerprint"]
    assert said == theirs.fingerprint() != ours.fingerprint()
    assert f"`{said}`" in Path("half/README.md").read_text()
    assert said in vocabula("info", "half").out

    assert vocabula("export", "half", "again", "--half").code == 0  # nothing is left to round
    written = [Path(folder, "model.safetensors").read_bytes() for folder in ("half", "again")]
    assert written[0] == written[1]
    assert vocabula("export", "half", "wide").code == 0
    assert load_tokenizer("wide").fingerprint() == said


def test_half_of_a_prior_leaves_its_tokenizer_the_same(tmp_path: Path, vocabula: Callable) -> None:
    generator = make_generator("portable", 2, channels=3)
    save_generator(tmp_path / "prior", generator)
    assert vocabula("export", "prior", "half", "--half").code == 0
    again = load_generator("half")
    assert again.tokenizer.fingerprint() == generator.tokenizer.fingerprint()
    for before, after in zip(generator.priors, again.priors, strict=True):
        for one, other in zip(before.parameters(), after.parameters(), strict=True):
            assert torch.equal(one.to(torch.float16).to(torch.float32), other)
    small, large = (Path(f, "level-1/model.safetensors").stat().st_size for f in ("half", "prior"))
    assert small < 0.75 * large
