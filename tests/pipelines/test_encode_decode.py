"""Images to a file of codes and back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vocabula.data import ArraySource, DataWarning, open_source
from vocabula.data.token_file import read_tokens
from vocabula.data.token_records import TokenRecord
from vocabula.data.token_writer import write_tokens
from vocabula.errors import DataError, OptionError, OutputError, TokensError
from vocabula.pipelines import decode_tokens, encode_dataset
from vocabula.signals import CodeSpec
from vocabula.tokenizers import Tokenizer

Make = Callable[..., Tokenizer]

pytestmark = pytest.mark.filterwarnings("ignore:.*broken.png")


@pytest.mark.parametrize("quantizer", ["vector", "residual", "levels"])
def test_round_trip(make_tokenizer: Make, pictures: Path, tmp_path: Path, quantizer: str) -> None:
    tokenizer, source = make_tokenizer(quantizer), open_source(pictures)
    tokens = tmp_path / "tokens.parquet"
    assert encode_dataset(tokenizer, source, tokens, batch_size=2) == 5
    records = list(read_tokens(tokens))
    assert [r.path for r in records] == [source.describe(i) for i in range(5)]
    assert [r.label for r in records] == [0, 0, 1, 1, 1]  # cats, then dogs
    files = decode_tokens(tokenizer, tokens, tmp_path / "decoded", batch_size=2)
    assert len(files) == 5
    for i, file in enumerate(files):
        image = torch.from_numpy(source.read(i).image.transpose(2, 0, 1).copy())[None]
        wanted = (tokenizer.reconstruct(image)[0] * 255).round().byte().permute(1, 2, 0).numpy()
        with Image.open(file) as decoded:
            got = np.asarray(decoded)
        assert got.shape == source.read(i).image.shape
        assert np.abs(got.astype(int) - wanted).max() <= 1  # rounding may tip at the half
        assert file.relative_to(tmp_path / "decoded").as_posix() == records[i].path


def test_grey_images(make_tokenizer: Make, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(channels=1)
    source = ArraySource(np.zeros((3, 8, 8), np.uint8))
    assert encode_dataset(tokenizer, source, tmp_path / "t.parquet", limit=2) == 2
    files = decode_tokens(tokenizer, tmp_path / "t.parquet", tmp_path / "out")
    assert [f.name for f in files] == ["array_0.png", "array_1.png"]
    with Image.open(files[0]) as image:
        assert (image.mode, image.size) == ("L", (8, 8))


def test_paths_cannot_leave_the_folder(make_tokenizer: Make, tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    codes = np.zeros((2, 2), np.int64)
    records = [TokenRecord(codes, p, None, 8, 8) for p in ("../up.png", "/abs.png", "up.jpg")]
    write_tokens(
        tmp_path / "t.parquet",
        records,
        fingerprint=tokenizer.fingerprint(),
        levels=[CodeSpec((16,))],
    )
    out = tmp_path / "a" / "b"
    files = decode_tokens(tokenizer, tmp_path / "t.parquet", out)
    assert sorted(f.name for f in files) == ["abs.png", "up-2.png", "up.png"]
    assert {f.parent for f in files} == {out}
    assert {p.name for p in tmp_path.rglob("*.png")} == {"abs.png", "up-2.png", "up.png"}


def test_tokens_of_another_tokenizer_are_refused(make_tokenizer: Make, tmp_path: Path) -> None:
    source = ArraySource(np.zeros((2, 8, 8, 3), np.uint8))
    encode_dataset(make_tokenizer(seed=0), source, tmp_path / "t.parquet")
    with pytest.raises(TokensError, match="tokenizer"):
        decode_tokens(make_tokenizer(seed=1), tmp_path / "t.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_existing_outputs_stay(make_tokenizer: Make, tmp_path: Path) -> None:
    tokenizer, source = make_tokenizer(), ArraySource(np.zeros((2, 8, 8, 3), np.uint8))
    tokens = tmp_path / "t.parquet"
    encode_dataset(tokenizer, source, tokens)
    before = tokens.read_bytes()
    with pytest.raises(OutputError):
        encode_dataset(tokenizer, source, tokens, limit=1)
    assert tokens.read_bytes() == before
    assert encode_dataset(tokenizer, source, tokens, limit=1, overwrite=True) == 1
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        decode_tokens(tokenizer, tokens, out)
    assert decode_tokens(tokenizer, tokens, out, overwrite=True) == [out / "array_0.png"]
    assert (out / "mine.txt").read_text() == "mine"


def test_failure_half_way_leaves_nothing(
    make_tokenizer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, source = make_tokenizer(), ArraySource(np.zeros((4, 8, 8, 3), np.uint8))
    tokens = tmp_path / "t.parquet"
    encode_dataset(tokenizer, source, tokens)
    calls = []

    def failing(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return type(tokenizer).decode_stored(tokenizer, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(tokenizer, "decode_stored", failing)
    with pytest.raises(KeyboardInterrupt):
        decode_tokens(tokenizer, tokens, tmp_path / "out", batch_size=1)
    monkeypatch.setattr(tokenizer, "encode", failing)
    with pytest.raises(KeyboardInterrupt):
        encode_dataset(tokenizer, source, tmp_path / "new.parquet", batch_size=1)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_change_the_file(
    make_tokenizer: Make, pictures: Path, tmp_path: Path, workers: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    cut = pictures / "cats" / "2.jpg"  # the header is whole, the body ends early
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:900])
    tokenizer, files = make_tokenizer(), []
    for number in (0, workers):
        source = open_source(pictures)
        with pytest.warns(DataWarning, match=r"skipped cats/2\.jpg"):
            count = encode_dataset(
                tokenizer, source, tmp_path / f"{number}.parquet", workers=number
            )
        assert count == 5 and [p.partition(":")[0] for p in source.problems[1:]] == ["cats/2.jpg"]
        files.append((tmp_path / f"{number}.parquet").read_bytes())
    assert files[0] == files[1]
    with pytest.raises(DataError, match=r"cats/2\.jpg"):
        source.strict = True
        source._broken.clear()
        encode_dataset(tokenizer, source, tmp_path / "strict.parquet", workers=workers)
    assert not (tmp_path / "strict.parquet").exists()


def test_an_interrupt_stops_the_readers(
    make_tokenizer: Make, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    tokenizer = make_tokenizer()
    monkeypatch.setattr(tokenizer, "encode", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:  # its traceback keeps every frame alive
        encode_dataset(tokenizer, open_source(pictures), tmp_path / "t.parquet", workers=2)
    assert [t.name for t in threading.enumerate() if t.name.startswith("vocabula")] == []
    assert caught.traceback and not (tmp_path / "t.parquet").exists()


def test_what_has_no_codes_or_no_png(make_tokenizer: Make, tmp_path: Path) -> None:
    source = ArraySource(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(OptionError, match="no codes"):
        encode_dataset(make_tokenizer("vae"), source, tmp_path / "t.parquet")
    with pytest.raises(OptionError, match="1, 3 or 4 channels"):
        decode_tokens(make_tokenizer(channels=2), tmp_path / "t.parquet", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
