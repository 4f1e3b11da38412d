"""A resumed run finds the data that it began with, or refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vocabula.data import read_tokens, write_tokens
from vocabula.errors import OptionError
from vocabula.priors.data import read_prior_data
from vocabula.priors.sources import Sources
from vocabula.tokenizers import load
from vocabula.training.config import config_from_sections
from vocabula.training.folder import RunFolder
from vocabula.training.run import train
from vocabula.training.subject import Subject


def saved(path: Path, value: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.full((8, 8, 8), value, np.uint8))
    return path


def test_other_pictures_of_the_same_number_are_refused(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = tmp_path / "run"

    def go(data: Path, steps: int, **options: bool) -> None:
        training = {**sections["training"], "steps": steps, "batch_size": 2}
        train(
            config_from_sections({**sections, "training": training}),
            data,
            run,
            progress=False,
            **options,
        )

    data = saved(tmp_path / "data" / "x.npy", 1)
    go(data, 1)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(OptionError, match=r"data: expected the images that the run began with"):
        go(saved(tmp_path / "other.npy", 2), 2, resume=True)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
    shutil.copy(data, tmp_path / "copy.npy")
    data.unlink()
    go(tmp_path / "copy.npy", 2, resume=True)
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["data"] == str(tmp_path / "copy.npy")
    assert manifest.pop("content")
    (run / "run.json").write_text(json.dumps(manifest))  # as earlier versions wrote it
    go(tmp_path / "copy.npy", 3, resume=True)
    assert json.loads((run / "run.json").read_text())["content"]


def test_a_field_that_the_manifest_lacks_is_not_compared() -> None:
    manifest = {"images": 3, "data": "x", "codes": "a"}
    RunFolder.check_data(Subject("x", 3, (), identity={"codes": "a", "content": "b"}), manifest)
    with pytest.raises(OptionError, match=r"codes: expected the one that .* \(a\), got b"):
        RunFolder.check_data(Subject("x", 3, (), identity={"codes": "b"}), manifest)


def test_what_a_prior_learns_from_is_told_apart(tmp_path: Path, coded: Any) -> None:
    """Codes, names of the classes, captions of what is learned and of what is held out."""
    made = coded()
    tokenizer = load(made.run)
    tokens = read_tokens(made.tokens)
    records = list(tokens)
    names = tokens.label_names[::-1]
    options = {"fingerprint": tokens.fingerprint, "levels": tokens.levels}
    write_tokens(tmp_path / "renamed.parquet", records, label_names=names, **options)
    paths = [record.path for record in records]

    def captions(name: str, texts: list[str]) -> Path:
        pq.write_table(pa.table({"path": paths, "caption": texts}), tmp_path / name)
        return tmp_path / name

    def identity(tokens: Path = made.tokens, **sources: Any) -> dict[str, str]:
        options = {"seed": 0, "text_length": 16}
        return read_prior_data(tokenizer, Sources(tokens, **sources), **options).identity

    def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
        return {name for name in one if one[name] != other[name]}

    first = identity()
    assert changed(first, identity(tmp_path / "renamed.parquet")) == {"class_names"}
    assert changed(first, identity(classes=False)) == {"classes", "class_names"}
    data = read_prior_data(tokenizer, Sources(made.tokens), seed=0)
    out = set(data.held_out.arrays.paths)
    same = identity(captions=captions("a.parquet", ["a word"] * len(paths)))
    texts = ["an ox" if path in out else "a word" for path in paths]
    assert changed(same, identity(captions=captions("b.parquet", texts))) == {"held_out_captions"}
    texts = ["a word" if path in out else "an ox" for path in paths]
    assert changed(same, identity(captions=captions("c.parquet", texts))) == {"captions"}
