"""Files with wrong bytes: each is read, or refused in one line, and nothing else happens."""

from __future__ import annotations

import io
import random
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vocabula.data import DataWarning, TokenRecord, open_source, read_tokens, write_tokens
from vocabula.data.captions import read_captions
from vocabula.errors import VocabulaError
from vocabula.signals import CodeSpec

PATHS = [f"{i}.png" for i in range(6)]
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 6, 5, 3), np.uint8)
LABELS = np.array(list("abacbc"))


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, IMAGES)


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, images=IMAGES, labels=LABELS)


def write_packed(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, images=IMAGES // 64, labels=np.arange(6.0))


def write_pictures(path: Path) -> None:
    cells = []
    for name, image in zip(PATHS, IMAGES, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        cells.append({"bytes": buffer.getvalue(), "path": name})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(cells, kind), "label": [*LABELS.tolist()]})
    pq.write_table(table, path, row_group_size=3)


def write_codes(path: Path) -> None:
    records = [TokenRecord(np.full((2, 3), i), name, i, 6, 5) for i, name in enumerate(PATHS)]
    write_tokens(path, records, fingerprint="f", levels=[CodeSpec((512,))])


def write_series(path: Path) -> None:
    records = [TokenRecord(np.full(3, i), name, i, 6) for i, name in enumerate(PATHS)]
    write_tokens(path, records, fingerprint="f", levels=[CodeSpec((512,))], signal="series")


def write_texts(path: Path) -> None:
    pq.write_table(pa.table({"path": PATHS, "caption": [f"a {name}" for name in PATHS]}), path)


def read_images(path: Path) -> None:
    source = open_source(path)
    for index in range(min(8, len(source))):
        source.read(index)


KINDS: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], Any]]] = {
    "npy": ("x.npy", write_npy, read_images),
    "npz": ("x.npz", write_npz, read_images),
    "packed npz": ("x.npz", write_packed, read_images),
    "pictures": ("x.parquet", write_pictures, read_images),
    "tokens": ("x.parquet", write_codes, lambda path: list(read_tokens(path))),
    "series tokens": ("x.parquet", write_series, lambda path: list(read_tokens(path))),
    "captions": ("x.parquet", write_texts, lambda path: read_captions(path, PATHS)),
}


def damaged(content: bytes, draw: random.Random) -> bytes:
    """A copy with some bytes flipped, replaced, put in or cut off."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place, what = draw.randrange(len(found)), draw.random()
        if what < 0.6:
            found[place] ^= 1 << draw.randrange(8)
        elif what < 0.8:
            found[place] = draw.choice((0, 127, 128, 255))
        elif what < 0.9:
            found[place:place] = draw.randbytes(draw.randrange(1, 5))
        else:
            del found[max(1, place) :]
    return bytes(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_bytes_end_in_one_line_or_do_no_harm(tmp_path: Path, kind: str) -> None:
    name, write, read = KINDS[kind]
    path, draw = tmp_path / name, random.Random(kind)
    write(path)
    content = path.read_bytes()
    ends: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read(path)
        for _ in range(250):
            path.write_bytes(damaged(content, draw))
            try:
                read(path)
            except VocabulaError as error:
                assert "\n" not in str(error) and str(path) in str(error)
                ends["refused"] += 1
            else:
                ends["read"] += 1
    assert ends["refused"] > 50  # damage has been done


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_ends_in_one_line(tmp_path: Path, kind: str) -> None:
    name, write, read = KINDS[kind]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    for length in {*range(20), *range(20, len(content), 37), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(VocabulaError):
            read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_rights_are_called_so(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, write, read = KINDS[kind]
    path = tmp_path / name
    write(path)
    original = open

    def refused(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return original(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: refused(self, *a, **k))

    def reader(source: Any, *arguments: Any, **options: Any) -> Any:
        raise OSError(f"Failed to open local file '{source}'")  # as pyarrow says it

    monkeypatch.setattr(pq, "ParquetFile", reader)
    with pytest.raises(VocabulaError, match="expected a readable file, got no permission"):
        read(path)
