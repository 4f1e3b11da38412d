"""Tokens in tars in the layout of WebDataset: written, read back, and read by WebDataset itself."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.tars import tar

from vocabula.data import TokenBatch, TokenDataset, read_tokens
from vocabula.data.token_tables import FORMATS
from vocabula.data.token_tar_writer import HEADER, TarTokenWriter
from vocabula.errors import OptionError, TokensError
from vocabula.signals.codes import CodeSpec

ONE = (CodeSpec((300, 300), (2,)),)
TWO = (CodeSpec((16,), ()), CodeSpec((300,), ()))


def written(path: Path, levels: tuple[CodeSpec, ...] = ONE, **more: object) -> Path:
    """Three signals of two shapes, one without a class."""
    options = {"fingerprint": "f" * 64, "levels": levels, "label_names": ["a", "b"]}
    options |= {"attributes": {"speaker": ("x", "y")}, "source": "voices"}
    with FORMATS["webdataset" if path.suffix == ".tar" else "parquet"].writer(
        path, **options, **more
    ) as writer:
        for rows, width in ((2, 3), (1, 2)):
            codes = []
            for spec in levels:
                shape = (rows, 2, width, *spec.code_shape)
                codes.append(np.arange(np.prod(shape)).reshape(shape) % spec.codebook_sizes[0])
            names = [f"ü/{width}{row}.png" for row in range(rows)]
            labels, speakers = [1, None][:rows], [None, 0][:rows]
            writer.extend(codes, names, labels, (8, 4 * width), {"speaker": speakers})
    return path


def records(batches: list[TokenBatch]) -> list[object]:
    found = []
    for record in (record for batch in batches for record in batch.records()):
        codes = [level.tolist() for level in record.levels]
        found.append((codes, record.path, record.label, record.extent, dict(record.attributes)))
    return found


@pytest.mark.parametrize("levels", [ONE, TWO], ids=["books", "levels"])
def test_a_tar_holds_what_a_table_holds(
    levels: tuple[CodeSpec, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_tokens(written(tmp_path / "a.parquet", levels))
    found = read_tokens(written(tmp_path / "a.tar", levels))
    for name in ("fingerprint", "signal", "levels", "source", "names", "crops"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert records([*found.batches()]) == records([*wanted.batches()]) and len(found) == 3
    monkeypatch.setattr("vocabula.data.token_tar_table._GROUP_ROWS", 2)
    assert read_tokens(tmp_path / "a.tar").groups == [2, 1]
    again = written(tmp_path / "b.tar", levels)
    assert again.read_bytes() == (tmp_path / "a.tar").read_bytes()
    with tarfile.open(again) as file:
        about = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in file}
    assert about == {(0, 0, 0, "", "", 0o644)}
    data = TokenDataset(again)
    assert data.path(2) == "ü/20.png" and data[0]["speaker"] == -1


# WebDataset leaves closing its files to Python.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_tars_of_tokens(tmp_path: Path) -> None:
    from webdataset import WebDataset

    path = written(tmp_path / "a.tar")
    samples = [*WebDataset(str(path), shardshuffle=False).decode()]
    assert [s["__key__"] for s in samples] == [f"00000-000000{n}" for n in range(3)]
    wanted = np.arange(24).reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(samples[1]["codes.npy"], wanted[1])
    assert samples[0]["codes.npy"].dtype == np.uint16
    assert [s.get("cls") for s in samples] == [1, None, 1]
    assert samples[1]["json"] == {
        "path": "ü/31.png",
        "shape": [2, 3, 2],
        "extent": [8, 12],
        "speaker": 0,
    }


def test_tars_of_other_things_and_damage_are_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar")
    with tarfile.open(path) as file:
        members = {m.name: file.extractfile(m).read() for m in file}  # type: ignore[union-attr]
    key = "00000-0000001"
    unpickled = io.BytesIO()
    np.save(unpickled, np.array([{}]), allow_pickle=True)
    wrong = {
        f"{key}.json": b"{}",
        f"{key}.codes.npy": unpickled.getvalue(),
        HEADER: json.dumps({**json.loads(members[HEADER]), "codebook_sizes": [2, 2]}).encode(),
    }
    for name, content in wrong.items():
        with pytest.raises(TokensError, match=r"b\.tar.*(damaged or foreign|expected codes in)"):
            list(read_tokens(tar(tmp_path / "b.tar", members | {name: content})).batches())
    del members[f"{key}.codes.npy"]
    with pytest.raises(TokensError, match=r"a signal without its member codes\.npy"):
        list(read_tokens(tar(tmp_path / "b.tar", members)).batches())
    with pytest.raises(TokensError, match=r"another tar; make one with vocabula encode --shards"):
        read_tokens(tar(tmp_path / "b.tar", {"1.codes.npy": b""}))
    path.write_bytes(path.read_bytes()[:-1024])
    with pytest.raises(TokensError, match="cut short after 9 members"):
        read_tokens(path)
    with pytest.raises(OptionError, match=r"a name that ends in \.tar"):
        TarTokenWriter(tmp_path / "a.zip", fingerprint="f", levels=ONE)
