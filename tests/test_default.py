"""Tokenizers that the package carries open their files for ever; the script that adds one.

A tiny stand-in goes through the whole script. Released tokenizers are checked in the same way.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from priors.generators import make_generator, save_generator
from vocabula import codec
from vocabula.codec import offered_models
from vocabula.files import packaged
from vocabula.tokenizers import load

ROOT = Path(__file__).parents[1]
FROZEN = Path(__file__).parent / "frozen" / "default"
LARGEST = 6 * 2**20


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """The script benchmarks/default/make.py."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "benchmarks/default/make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_files(golden: Path) -> None:
    """Golden files open with the package's tokenizer of their name, to the same pictures."""
    expected = json.loads((golden / "expected.json").read_text())
    own = packaged.packaged()[golden.name]
    tokenizer = load(own.name)
    assert tokenizer.fingerprint() == own.fingerprint == expected["fingerprint"]
    assert expected["bytes"] <= LARGEST
    models = offered_models(tokenizer, prior=own.name)
    files = sorted(golden.glob("*.vcb"))
    assert len(files) == 10
    for file in files:
        assert codec.inspect(file).header.packaged == golden.name
        image = codec.read(file, tokenizer, models=models)[0].permute(1, 2, 0).numpy()
        picture = np.asarray(Image.open(golden / f"{file.stem.rpartition('-')[0]}.png"), int)
        assert np.abs(image - picture).max() <= 1, file  # a float sum may round elsewhere


def test_released_tokenizers_open_their_files() -> None:
    frozen = {path.name: path for path in FROZEN.glob("*")}
    assert set(frozen) == set(packaged.packaged())
    for golden in frozen.values():
        check_files(golden)


def test_a_prior_becomes_the_tokenizer_of_the_package(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "ROOT", tmp_path / "default")
    monkeypatch.setattr(make, "ROOT", tmp_path / "default")
    monkeypatch.setattr(make, "FROZEN", tmp_path / "frozen")
    save_generator(tmp_path / "prior", make_generator("portable", 2, channels=3))
    table = {"columns": ["bits per pixel", "PSNR"], "rows": [["0.25", "28.9"]]}
    said = {"commands": ["vocabula train X"], "seed": 3, "tables": {"Kodak": table}}
    (tmp_path / "figures.json").write_text(json.dumps(said))
    words = ["make.py", str(tmp_path / "prior"), "--figures", str(tmp_path / "figures.json")]
    monkeypatch.setattr("sys.argv", words)
    make.main()
    check_files(tmp_path / "frozen" / packaged.CURRENT)
    card = (tmp_path / "default" / packaged.CURRENT / "README.md").read_text()
    assert "    vocabula train X" in card and "| 0.25 | 28.9 |" in card and "seed: 3" in card
    photos = json.loads((ROOT / "benchmarks/default/photos.json").read_text())
    assert all(f"{row['author']}, {row['licence']}" in card for row in photos)
    with pytest.raises(SystemExit, match="a released tokenizer never changes"):
        make.main()


def test_the_terms_of_every_photograph_allow_it() -> None:
    photos = json.loads((ROOT / "benchmarks/default/photos.json").read_text())
    assert len(photos) == len({row["file"] for row in photos}) == 200
    assert sum(row["file"].startswith("heldout/") for row in photos) == 20
    for row in photos:
        licence = row["licence"]
        assert licence == "public-domain" or licence.startswith(("CC0-", "CC-BY-")), row
        assert "NC" not in licence and "ND" not in licence and "GPL" not in licence, row
        assert row["author"] and row["package"] and row["version"] and row["path"], row
        width, height = row["size"]
        assert 2 * width <= row["original"][0] and 2 * height <= row["original"][1], row
