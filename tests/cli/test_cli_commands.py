"""Every command does its work and says where the result is."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.cli.toml import to_toml
from vocabula.data.token_file import read_tokens

TINY = (
    "encoder.hidden=8",
    "decoder.hidden=8",
    "quantizer.dim=4",
    "quantizer.codebook_size=8",
    "training.batch_size=8",
    "training.steps=4",
    "training.log_every=2",
    "training.checkpoint_every=2",
)


def test_evaluate(vocabula: Callable, saved: Path, pictures: Path, tmp_path: Path) -> None:
    done = vocabula("evaluate", saved / "run", pictures, "--json", "figures.json")
    assert (done.code, done.err) == (0, "")
    for name in ("PSNR", "SSIM", "bits/dim", "usage", "perplexity", "figures.json"):
        assert name in done.out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["images"] == 4
    # 4 x 3 codes of 4 bits over 16 x 12 pixels
    assert figures["code_bits_per_pixel"] == 48 / 192
    assert {"fingerprint", "version", "command", "psnr", "ssim", "books"} <= figures.keys()


def test_evaluate_compares_codes_where_asked(
    vocabula: Callable, saved: Path, pictures: Path
) -> None:
    command = ("evaluate", saved / "run", pictures, "--json", "-")
    assert "codes_differ" not in json.loads(vocabula(*command).out)
    figures = json.loads(vocabula(*command, "--compare-codes").out)
    assert figures["codes_differ"] == 0
    assert figures["codes_compared"] > 0
    assert "codes differ" in vocabula("evaluate", saved / "run", pictures, "--compare-codes").out


def test_evaluate_prints_json_alone(vocabula: Callable, saved: Path, pictures: Path) -> None:
    done = vocabula("evaluate", saved / "vae", pictures, "--json", "-", "--limit", "2")
    figures = json.loads(done.out)
    assert (figures["images"], figures["usage"]) == (2, None)
    assert len(figures["kl_per_dimension"]) == 4


def test_encode_and_decode(vocabula: Callable, saved: Path, pictures: Path, tmp_path: Path) -> None:
    done = vocabula("encode", saved / "run", pictures, "-o", "tokens.parquet")
    assert (done.code, done.out.splitlines()[0]) == (0, "encoded 4 images: tokens.parquet")
    assert len(read_tokens(tmp_path / "tokens.parquet")) == 4
    done = vocabula("decode", saved / "run", "tokens.parquet", "-o", "decoded")
    assert (done.code, done.out.splitlines()[0]) == (0, "decoded 4 images: decoded")
    files = sorted(p.name for p in (tmp_path / "decoded").iterdir())
    assert files == ["0.png", "1.png", "2.png", "3.png"]
    with Image.open(tmp_path / "decoded" / "0.png") as image:
        assert (image.mode, image.size) == ("RGB", (12, 16))


@pytest.mark.slow
def test_workers(vocabula: Callable, saved: Path, pictures: Path, tmp_path: Path) -> None:
    for number in (0, 1, 3):
        words = ("encode", saved / "run", pictures, "-o", f"{number}.parquet")
        assert vocabula(*words, "--workers", number).code == 0
        assert vocabula("evaluate", saved / "run", pictures, "--workers", number).code == 0
    contents = {(tmp_path / f"{number}.parquet").read_bytes() for number in (0, 1, 3)}
    assert len(contents) == 1
    words = ("report", saved / "run", pictures, "-o", "page.html", "--workers", 2)
    assert vocabula(*words).code == 0


@pytest.mark.slow
def test_report(vocabula: Callable, saved: Path, pictures: Path, tmp_path: Path) -> None:
    done = vocabula("report", saved / "run", pictures, "-o", "page.html", "--examples", 2)
    assert (done.code, done.out.splitlines()[0]) == (0, "report: page.html")
    text = (tmp_path / "page.html").read_text()
    assert "vocabula train pictures" in text
    assert text.count('data-part="reconstruction"') == 2


def test_info(vocabula: Callable, saved: Path) -> None:
    done = vocabula("info", saved / "run")
    assert done.code == 0
    for text in ("VectorQuantizer", "16", "4 x 4 pixels", "0.25 per pixel", "10 of 20", "pictures"):
        assert text in done.out
    assert "continuous" in vocabula("info", saved / "vae").out


def test_info_of_a_run_that_goes_on(vocabula: Callable, saved: Path, tmp_path: Path) -> None:
    for name in ("run.json", "log.jsonl"):
        (tmp_path / name).write_bytes((saved / "run" / name).read_bytes())
    done = vocabula("info", tmp_path)
    assert done.code == 0
    assert "not saved yet" in done.out and "10 of 20" in done.out


def test_arrays_keep_the_range_of_training(vocabula: Callable, saved: Path, tmp_path: Path) -> None:
    np.save("signed.npy", np.full((2, 8, 8, 3), 0.5, np.float32) * np.float32([-1, 1, 1]))
    words = ("evaluate", saved / "run", "signed.npy", "--json", "-")
    assert vocabula(*words).code == 2  # -0.5 is outside [0, 1]
    done = vocabula(*words, "--value-range", "-1", "1")
    assert json.loads(done.out)["images"] == 2
    shutil.copytree(saved / "run", "run")
    config = {"training": {"steps": 20}, "data": {"value_range": [-1, 1]}}
    manifest = {"format": "vocabula-run", "config": config}
    (tmp_path / "run" / "run.json").write_text(json.dumps(manifest))
    assert vocabula("evaluate", "run", "signed.npy").code == 0


def test_skipped_files_are_said_in_one_line(
    vocabula: Callable, saved: Path, pictures: Path
) -> None:
    (pictures / "bad\n.png").write_bytes(b"nothing")
    done = vocabula("evaluate", saved / "run", pictures, "--json", "-")
    assert done.code == 0
    assert done.err.startswith("warning: ") and done.err.count("\n") == 1
    assert json.loads(done.out)["images"] == 4


@pytest.mark.slow
def test_of_several_splits_one_is_read_and_named(
    vocabula: Callable, saved: Path, pictures: Path, tmp_path: Path
) -> None:
    for split, count in (("train", 3), ("test", 1)):
        (tmp_path / "data" / split).mkdir(parents=True)
        for i in range(count):
            shutil.copy(pictures / f"{i}.png", tmp_path / "data" / split)
    held_out = f"data has several splits: reading {Path('data', 'test')}\n"
    done = vocabula("evaluate", saved / "run", "data", "--json", "-")
    assert (json.loads(done.out)["images"], done.err) == (1, held_out)
    assert json.loads(done.out)["data"] == str(Path("data", "test"))
    assert vocabula("report", saved / "run", "data", "-o", "page.html").err == held_out
    done = vocabula("encode", saved / "run", "data", "-o", "tokens.parquet")
    assert done.out.startswith("encoded 3 images")
    assert done.err == f"data has several splits: reading {Path('data', 'train')}\n"
    assert vocabula("evaluate", saved / "run", Path("data", "train")).err == ""


def test_config_lists_presets(vocabula: Callable) -> None:
    done = vocabula("config")
    assert done.code == 0
    for name in ("photos", "digits", "cifar10", "cifar10-vae", "image-256"):
        assert name in done.out


def test_config_prints_what_train_reads(vocabula: Callable, tmp_path: Path) -> None:
    done = vocabula("config", "cifar10", "quantizer.commitment_weight=0.5", "training.steps=7")
    document = tomllib.loads(done.out)
    assert document["training"]["steps"] == 7
    assert document["quantizer"]["commitment_weight"] == 0.5
    (tmp_path / "mine.toml").write_text(done.out)
    again = vocabula("config", "mine.toml")
    assert (again.code, again.out) == (0, done.out)


def test_config_explains(vocabula: Callable) -> None:
    done = vocabula("config", "cifar10", "--explain", "training.steps=7")
    assert done.code == 0
    for text in (
        "training.steps",
        "an integer >= 1",
        "quantizer.commitment_weight",
        "default 10000",
    ):
        assert text in done.out


def test_toml_of_values() -> None:
    text = to_toml(
        {
            "quantizer": "vector",
            "quantizer.learning": "ema",
            "quantizer.learning.eps": 1e-05,
            "quantizer.revival": None,
            "training": "training",
            "training.flag": True,
            "training.stages": [{"train": ["encoder"], "steps": 3}],
        },
        'a "quoted" line',
    )
    assert tomllib.loads(text) == {
        "description": 'a "quoted" line',
        "quantizer": {
            "name": "vector",
            "learning": {"name": "ema", "eps": 1e-05},
            "revival": "none",
        },
        "training": {
            "name": "training",
            "flag": True,
            "stages": [{"train": ["encoder"], "steps": 3}],
        },
    }


def test_train_and_what_follows(vocabula: Callable, tmp_path: Path) -> None:
    done = vocabula("train", "sample:digits", "--preset", "digits", "--out", "run", *TINY)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2].startswith("trained 4 steps in ")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    refused = vocabula("train", "sample:digits", "--preset", "digits", "--out", "run", *TINY)
    assert refused.code == 2
    assert "--resume" in refused.err and "--overwrite" in refused.err
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    longer = (*TINY, "training.steps=6")
    words = ("train", "sample:digits", "--preset", "digits", "--out", "run", "--resume")
    assert vocabula(*words, *longer).code == 0
    assert "6 of 6" in vocabula("info", "run").out
    assert vocabula("report", "run", "sample:digits/test", "--limit", 20).code == 0
    assert "<svg" in (tmp_path / "run" / "report.html").read_text()
    np.testing.assert_equal(vocabula("evaluate", "run", "sample:digits/test").code, 0)
