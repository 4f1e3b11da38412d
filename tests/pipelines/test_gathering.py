"""Which pictures compress takes, of files and folders, and what it says of the others."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vocabula.codec import inspect, read
from vocabula.data.image_problems import DataWarning
from vocabula.errors import CodecError, DataError, OptionError
from vocabula.pipelines import Fidelity, compress_files, decompress_files
from vocabula.tokenizers import SignalTokenizer, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> SignalTokenizer:
    torch.manual_seed(0)
    net = {"name": "vqvae", "hidden": 16, "residual_hidden": 8}
    book = {"name": "vector", "dim": 8, "codebook_size": 16}
    quantizer = {"name": "residual", "stages": [book, book]}
    return build_tokenizer({"encoder": net, "quantizer": quantizer, "decoder": net}, 3).eval()


def _picture(path: Path, height: int = 24, width: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "deep/a.png", "deep/er/b.png"):
        _picture(tmp_path / "photos" / name)
    return tmp_path / "photos"


def _below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_folder_is_mirrored_and_comes_back(
    tokenizer: SignalTokenizer, folder: Path, tmp_path: Path
) -> None:
    written = compress_files(tokenizer, [folder], tmp_path / "out")
    assert _below(tmp_path / "out") == ["a.vcb", "deep/a.vcb", "deep/er/b.vcb"]
    sizes = [p.stat().st_size for p in (folder / "a.png", folder / "deep/er/b.png")]
    assert (written[0].original_bytes, written[2].original_bytes) == tuple(sizes)
    decompress_files(tokenizer, [tmp_path / "out"], tmp_path / "back")
    assert _below(tmp_path / "back") == ["a.png", "deep/a.png", "deep/er/b.png"]


def test_a_folder_without_an_output_is_compressed_beside(
    tokenizer: SignalTokenizer, folder: Path
) -> None:
    compress_files(tokenizer, [folder])
    assert {"a.vcb", "deep/a.vcb", "deep/er/b.vcb"} <= set(_below(folder))


def test_names_in_one_file_hold_the_folders(
    tokenizer: SignalTokenizer, folder: Path, tmp_path: Path
) -> None:
    (one,) = compress_files(tokenizer, [folder], tmp_path / "all.vcb")
    assert one.items == 3
    assert inspect(one.path).header.names == ["a.png", "deep/a.png", "deep/er/b.png"]


def test_several_folders_keep_their_names(
    tokenizer: SignalTokenizer, folder: Path, tmp_path: Path
) -> None:
    other = _picture(tmp_path / "more" / "a.png").parent
    compress_files(tokenizer, [folder, other], tmp_path / "out")
    assert {"photos/a.vcb", "more/a.vcb"} <= set(_below(tmp_path / "out"))


@pytest.mark.parametrize("out", ["out", "all.vcb"])
def test_what_is_no_picture_in_a_folder_is_left_out_with_a_warning(
    tokenizer: SignalTokenizer, folder: Path, tmp_path: Path, out: str
) -> None:
    (folder / "notes.txt").write_text("hello")
    (folder / "bad.png").write_text("no picture")
    whole = _picture(folder / "cut.png", 64, 64).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(DataWarning) as found:
        written = compress_files(tokenizer, [folder], tmp_path / out)
    said = " ".join(str(one.message) for one in found)
    assert all(name in said for name in ("notes.txt", "bad.png", "cut.png"))
    assert sum(one.items for one in written) == 3
    assert sum(len(read(one.path, tokenizer)) for one in written) == 3


def test_strict_refuses_them(tokenizer: SignalTokenizer, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_text("no picture")
    with pytest.raises(DataError, match=r"bad\.png"):
        compress_files(tokenizer, [folder], tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


def test_all_bad_files_are_named_before_anything_is_written(
    tokenizer: SignalTokenizer, folder: Path, tmp_path: Path
) -> None:
    bad = [tmp_path / name for name in ("one.png", "two.jpg")]
    for path in bad:
        path.write_text("no picture")
    files = [folder / "a.png", *bad, tmp_path / "none.png"]
    with pytest.raises(DataError, match=r"3 files of 4.*one\.png.*two\.jpg.*none\.png"):
        compress_files(tokenizer, files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "notes.txt"])
def test_a_folder_without_pictures(
    tokenizer: SignalTokenizer, tmp_path: Path, content: str
) -> None:
    (tmp_path / "empty").mkdir()
    if content:
        (tmp_path / "empty" / content).write_text("hello")
    with pytest.raises(DataError, match="expected pictures"):
        compress_files(tokenizer, [tmp_path / "empty"])
    with pytest.raises(CodecError, match=r"\.vcb"):
        decompress_files(tokenizer, [tmp_path / "empty"])


def test_pictures_of_one_name_in_one_folder_are_refused(
    tokenizer: SignalTokenizer, folder: Path, tmp_path: Path
) -> None:
    _picture(folder / "a.jpg")
    with pytest.raises(OptionError, match="different names"):
        compress_files(tokenizer, [folder], tmp_path / "out")


def _psnr(tokenizer: SignalTokenizer, files: list[Path], written: list[Path]) -> float:
    """Over all pixels, from what the files decode to."""
    error, values = 0.0, 0
    for path, file in zip(files, written, strict=True):
        (image,) = read(file, tokenizer)
        pixels = np.asarray(Image.open(path)).transpose(2, 0, 1).astype(float)
        error += float(np.square(pixels - image.numpy()).sum())
        values += pixels.size
    return float(10 * np.log10(255**2 / (error / values)))


@pytest.mark.parametrize("options", [{}, {"stages": 1}, {"target_bpp": 3.0}], ids=str)
def test_fidelity_is_that_of_the_files(
    tokenizer: SignalTokenizer, tmp_path: Path, options: dict[str, float]
) -> None:
    sizes = [(24, 40), (24, 40), (31, 57), (90, 24)]
    files = [_picture(tmp_path / f"{i}.png", *size) for i, size in enumerate(sizes)]
    fidelity = Fidelity()
    written = compress_files(tokenizer, files, tmp_path / "out", fidelity=fidelity, **options)  # type: ignore[arg-type]
    assert fidelity.share == pytest.approx(1)
    expected = _psnr(tokenizer, files, [one.path for one in written])
    assert fidelity.psnr == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_fidelity_of_a_large_picture_is_measured_on_a_part(
    tokenizer: SignalTokenizer, tmp_path: Path
) -> None:
    tile = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(tile).resize((2400, 1800)).save(tmp_path / "large.png")
    fidelity = Fidelity()
    files = [tmp_path / "large.png"]
    (one,) = compress_files(tokenizer, files, tmp_path / "out", fidelity=fidelity)
    assert 0.15 < fidelity.share < 0.3
    assert fidelity.psnr == pytest.approx(_psnr(tokenizer, files, [one.path]), abs=0.5)


def test_lossless_is_exact(tokenizer: SignalTokenizer, tmp_path: Path) -> None:
    fidelity = Fidelity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compress_files(tokenizer, [_picture(tmp_path / "a.png")], lossless=True, fidelity=fidelity)
    assert fidelity.psnr == float("inf")
