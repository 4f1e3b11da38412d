"""Bad input: one line that names the remedy, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.cli.errors import as_user_error, print_failure
from vocabula.data.token_records import TokenRecord
from vocabula.data.token_writer import write_tokens
from vocabula.errors import DataError, Interrupted, VocabulaError
from vocabula.signals import CodeSpec

TRAIN = "train pictures --out new"

CASES = [
    # command line, what the line must say
    ("trian pictures", "Did you mean 'train'"),
    ("evaluate", "Missing argument 'RUN'"),
    ("evaluate run pictures --limit 0", "--limit"),
    ("evaluate run pictures --jsn x", "--jsn"),
    ("evaluate nowhere pictures", "nowhere: expected a saved tokenizer"),
    ("evaluate pictures pictures", "no config.json"),
    ("evaluate damaged pictures", "damaged"),
    ("evaluate cut pictures", "cut"),
    ("evaluate foreign pictures", "another library"),
    ("evaluate half pictures", "expected model.safetensors"),
    ("evaluate unfinished pictures", "--resume"),
    ("evaluate run nothing", "nothing: expected a folder"),
    ("evaluate run empty", "got an empty folder"),
    ("evaluate run broken", "not a picture"),
    ("evaluate run mixed --strict", "bad.png"),
    ("evaluate run notes.txt", "ending in '.txt'"),
    ("evaluate run five.npy", "expected images of 3 channels, got 5"),
    ("evaluate run nan.npy", "NaN"),
    ("evaluate run range.npy", "--value-range low high"),
    ("evaluate run cut.npy", "cut.npy"),
    ("evaluate run sample:photso", "did you mean 'sample:photos'"),
    ("evaluate run pictures --device warp", "device"),
    ("evaluate run pictures --value-range 0 1", "value"),
    ("evaluate run pictures --json taken.json", "--overwrite"),
    ("evaluate run pictures --json empty", "got a folder"),
    ("evaluate run pictures --json notes.txt/x.json", "notes.txt"),
    ("encode run pictures", "Missing option"),
    ("encode run pictures -o taken.json", "overwrit"),
    ("encode run pictures -o notes.txt/t.parquet", "got a file"),
    ("encode run pictures -o new.parquet --workers -1", "--workers"),
    ("encode run mixed -o new.parquet --strict --workers 2", "bad.png"),
    ("encode vae pictures -o new.parquet", "no codes"),
    ("decode run nothing.parquet -o new", "nothing.parquet"),
    ("decode run notes.txt -o new", "notes.txt"),
    ("decode run cut.parquet -o new", "cut.parquet"),
    ("decode run foreign.parquet -o new", "another parquet file"),
    ("decode run others.parquet -o new", "another|of tokenizer"),
    ("decode run high.parquet -o new", "16"),
    ("decode run good.parquet -o pictures", "--overwrite"),
    ("decode run good.parquet -o notes.txt", "got a file"),
    ("decode vae good.parquet -o new", "tokenizer"),
    ("report run pictures -o taken.json", "--overwrite"),
    ("report run pictures -o new.html --examples 0", "--examples"),
    ("config photso", "did you mean 'photos'"),
    ("config nowhere.toml", "nowhere.toml"),
    ("config notes.txt", "preset"),
    ("config quantizer.dim=3", "PRESET"),
    ("config cifar10 quantizer.codebok_size=3", "did you mean 'codebook_size'"),
    ("config photos quantiser.dim=3", "did you mean 'quantizer'"),
    ("config cifar10 quantizer.codebook_size=0", ">= 1"),
    ("config photos quantizer=vectr", "did you mean 'vector'"),
    ("config photos steps", "section.option=value"),
    ("info nowhere", "nowhere"),
    (f"{TRAIN} --preset photso", "did you mean 'photos'"),
    (f"{TRAIN} --preset photos training.stepz=5", "did you mean 'steps'"),
    (f"{TRAIN} --preset photos training.steps=many", "an integer >= 1, got 'many'"),
    (f"{TRAIN} --preset photos quantizer.codebook_size=-1", "codebook_size"),
    (f"{TRAIN} --preset photos quantizer.dim=0", "dim"),
    (f"{TRAIN} --preset cifar10 quantizer.codebook_size=1000000000000", "codebook_size"),
    (f"{TRAIN} --preset photos", "data.crop"),  # the pictures are 16 x 12, the crop is 64
    ("train nothing --out new", "nothing: expected a folder"),
    ("train empty --out new", "got an empty folder"),
    ("train mixed --out new --strict data.crop=8", "bad.png"),
    ("train nan.npy --out new data.crop=4", "NaN"),
    ("train pictures --out mixed data.crop=8", "other files"),
    ("train pictures --out notes.txt data.crop=8", "got a file"),
    ("train pictures --out new --resume --overwrite data.crop=8", "choose one"),
    ("train pictures", "Missing option"),
]


@pytest.fixture
def place(tmp_path: Path, saved: Path, pictures: Path) -> Path:
    """The folder that the commands run in, full of things to stumble over."""
    for name in ("run", "vae"):
        shutil.copytree(saved / name, tmp_path / name)
    _damaged_runs(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "taken.json").write_text("taken")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bad.png").write_bytes(b"nothing")
    shutil.copytree(pictures, tmp_path / "mixed")
    (tmp_path / "mixed" / "bad.png").write_bytes(b"nothing")
    np.save(tmp_path / "five.npy", np.zeros((2, 8, 8, 5), np.uint8))
    np.save(tmp_path / "nan.npy", np.full((2, 8, 8, 3), np.nan, np.float32))
    np.save(tmp_path / "range.npy", np.full((2, 8, 8, 3), 7.0, np.float32))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "five.npy").read_bytes()[:90])
    _token_files(tmp_path, saved)
    return tmp_path


def _damaged_runs(root: Path) -> None:
    for name in ("damaged", "cut", "foreign", "half", "unfinished"):
        shutil.copytree(root / "run", root / name)
    (root / "damaged" / "config.json").write_text("{")
    weights = (root / "cut" / "model.safetensors").read_bytes()
    (root / "cut" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (root / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    (root / "half" / "model.safetensors").unlink()
    (root / "unfinished" / "config.json").unlink()


def _token_files(root: Path, saved: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vocabula.tokenizers import load

    own, other = load(saved / "run").fingerprint(), load(saved / "other").fingerprint()
    records = [TokenRecord(np.full((4, 3), 3), "0.png", None, 16, 12)]
    high = [TokenRecord(np.full((4, 3), 16), "0.png", None, 16, 12)]
    for name, rows, fingerprint, size in (
        ("good", records, own, 16),
        ("others", records, other, 16),
        ("high", high, own, 32),  # a forged book size lets a code through that the model lacks
    ):
        write_tokens(
            root / f"{name}.parquet",
            rows,
            fingerprint=fingerprint,
            levels=[CodeSpec((size,))],
        )
    content = (root / "good.parquet").read_bytes()
    (root / "cut.parquet").write_bytes(content[: len(content) // 2])
    pq.write_table(pa.table({"x": [1]}), root / "foreign.parquet")


def _snapshot(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in root.rglob("*")}


@pytest.mark.parametrize(("words", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_bad_input(vocabula: Callable, place: Path, words: str, wanted: str) -> None:
    before = _snapshot(place)
    done = vocabula(*words.split())
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1 and done.err.endswith("\n")
    assert any(w in done.err for w in wanted.split("|")), done.err
    assert "Traceback" not in done.err + done.out
    assert _snapshot(place) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(vocabula: Callable, place: Path) -> None:
    (place / "empty").chmod(stat.S_IRUSR | stat.S_IXUSR)
    done = vocabula("report", "run", "pictures", "-o", "empty/page.html")
    assert done.code == 2
    assert done.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "evaluate run pictures --json new.json",
        "encode run pictures -o new.parquet",
        "decode run good.parquet -o new",
        "report run pictures -o new.html",
        "train pictures --out new data.crop=8 training.steps=1 training.batch_size=4",
    ],
)
def test_full_disk(
    vocabula: Callable, place: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Every rename fails as on a full disk: one line, and no output under its name."""

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = _snapshot(place)
    monkeypatch.setattr(os, "replace", full)
    done = vocabula(*words.split())
    monkeypatch.undo()
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: ")
    assert "space" in done.err.lower()
    assert "Traceback" not in done.err
    after = {k: v for k, v in _snapshot(place).items() if not k.startswith(str(place / "new"))}
    assert after == before
    assert not (place / "new.json").exists() and not (place / "new.html").exists()


def test_pictures_of_wrong_channels_are_converted_or_refused(
    vocabula: Callable, place: Path
) -> None:
    (place / "grey").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "grey" / "0.png")
    assert vocabula("evaluate", "run", "grey").code == 0  # grey repeats to colour


def test_interrupt_ends_with_130(
    vocabula: Callable, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vocabula.tokenizers import Tokenizer

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    before = _snapshot(place)
    monkeypatch.setattr(Tokenizer, "_vectors", stop)
    for words in ("evaluate run pictures", "encode run pictures -o t.parquet"):
        done = vocabula(*words.split())
        assert done.code == 130
        assert done.err.startswith("interrupted") and done.err.count("\n") == 1
    assert _snapshot(place) == before


def test_a_defect_keeps_its_traceback(
    vocabula: Callable, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vocabula.tokenizers import Tokenizer

    def wrong(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Tokenizer, "analyse", wrong)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        vocabula("evaluate", "run", "pictures")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (VocabulaError("x: bad"), 2, "x: bad"),
        (Interrupted("stopped"), 130, "stopped"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "free some"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "free some"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), 2, "f: Permission denied"),
        (MemoryError(), 2, "batch"),
    ],
)
def test_failures_that_users_can_mend(error: Exception, code: int, text: str) -> None:
    failure = as_user_error(error)
    assert failure is not None
    assert failure.exit_code == code
    assert text in str(failure)


def test_defects_are_not_user_errors() -> None:
    assert as_user_error(ValueError("x")) is None
    assert as_user_error(OSError(errno.EBADF, "Bad file descriptor")) is None


def test_one_of_several_processes_speaks(
    vocabula: Callable, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors that all processes meet come from the first one; others carry the process's number."""
    monkeypatch.setenv("RANK", "1")
    done = vocabula("train", "pictures", "--out", "new", "--preset", "photso")
    assert (done.code, done.out, done.err) == (2, "", "")
    done = vocabula("evaluate", "run", "pictures", "--json", "new.json")  # the first does it
    assert (done.code, done.out, done.err) == (0, "", "")
    assert not (place / "new.json").exists()


def test_failures_of_one_process_carry_its_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    print_failure(DataError("7.png: expected a picture"))
    assert capsys.readouterr().err == "error (process 1): 7.png: expected a picture\n"
