"""Images to files and back with tokenizers, stage by stage, and picture files by the dozen."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from processes import Program
from vocabula import codec, pipelines
from vocabula.codec.code_order import order_of, principal_order
from vocabula.data import open_source
from vocabula.errors import CheckpointError, CodecError, DataError, OptionError, OutputError
from vocabula.tokenizers import SignalTokenizer

from .conftest import HIERARCHIES

Make = Callable[..., SignalTokenizer]
DISCRETE = ["vector", "residual", "product", "lookup_free", "finite_scalar", *HIERARCHIES]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four colour pictures of two sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    paths = []
    for i, (height, width) in enumerate([(16, 24), (16, 24), (9, 13), (16, 24)]):
        paths.append(folder / f"{i}.png")
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    return paths


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("quantizer", DISCRETE)
def test_images_come_back_as_the_tokenizer_reconstructs_them(
    make_tokenizer: Make, quantizer: str, tmp_path: Path
) -> None:
    tokenizer = make_tokenizer(quantizer)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((16, 20), (7, 5))]
    path = tmp_path / "a.vcb"
    assert codec.write(path, images, tokenizer) == path.stat().st_size
    for image, back in zip(images, codec.read(path, tokenizer), strict=True):
        assert back.dtype == torch.uint8
        exact = tokenizer.decode(tokenizer.encode(image[None]), size=tuple(image.shape[1:]))[0]
        assert torch.equal(back, exact.clamp(0, 1).mul(255).round().byte())


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["residual", "three levels"])
def test_large_images_are_coded_in_parts(
    make_tokenizer: Make, quantizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocabula.codec.writer.SEGMENT_BITS", 300)
    tokenizer = make_tokenizer(quantizer)
    images = [torch.rand(3, *size) for size in ((16, 16), (85, 33), (8, 8), (120, 9))]
    content = codec.to_bytes(images, tokenizer, jobs=2)
    assert codec.inspect(content).segments > 8
    whole = [codec.read(codec.to_bytes(image[None], tokenizer), tokenizer)[0] for image in images]
    for jobs in (1, 3):
        for image, back in zip(whole, codec.read(content, tokenizer, jobs=jobs), strict=True):
            assert torch.equal(image, back)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_cut_file_decodes_its_stages(make_tokenizer: Make, stages: int) -> None:
    tokenizer = make_tokenizer("residual")
    images = torch.rand(2, 3, 16, 16)
    content = codec.to_bytes(images, tokenizer)
    short = io.BytesIO()
    codec.cut(content, short, stages)
    codes = tokenizer.encode(images)
    codes[..., stages:] = -1
    expected = tokenizer.decode(codes).clamp(0, 1).mul(255).round().byte()
    for found in (
        codec.read(short.getvalue(), tokenizer),
        codec.read(content, tokenizer, stages=stages),
        codec.read(codec.to_bytes(images, tokenizer, stages=stages), tokenizer),
    ):
        assert torch.equal(torch.stack(found), expected)
    assert codec.to_bytes(images, tokenizer, stages=stages) == short.getvalue()
    assert codec.inspect(short.getvalue()).header.kept == stages


@pytest.mark.parametrize("stages", [4, 5, 6])
def test_the_finest_level_may_be_cut(make_tokenizer: Make, stages: int) -> None:
    """Coarser levels are needed whole, for the finer are made with them."""
    tokenizer = make_tokenizer("residual levels")
    image = torch.rand(1, 3, 17, 16)
    coarse, fine = tokenizer.encode(image)
    assert coarse.shape[1:3] == (5, 4) and fine.shape[1:3] == (10, 8)
    fine[..., stages - 3 :] = -1
    expected = tokenizer.decode((coarse, fine), size=(17, 16)).clamp(0, 1).mul(255).round().byte()
    content = codec.to_bytes(image, tokenizer, stages=stages)
    assert torch.equal(codec.read(content, tokenizer)[0], expected[0])
    assert torch.equal(
        codec.read(codec.to_bytes(image, tokenizer), tokenizer, stages=stages)[0], expected[0]
    )
    assert [level.shape for level in codec.read_codes(content).codes[0]] == [
        (5, 4, 3),
        (10, 8, stages - 3) if stages > 4 else (10, 8),
    ]


def test_too_few_stages_for_the_levels_are_refused(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("residual levels")
    image = torch.rand(1, 3, 16, 16)
    with pytest.raises(OptionError, match="expected 4 to 6"):
        codec.to_bytes(image, tokenizer, stages=3)
    content, short = codec.to_bytes(image, tokenizer), io.BytesIO()
    codec.cut(content, short, 3)
    for source, stages in ((content, 3), (short.getvalue(), None)):
        with pytest.raises(CodecError, match="4 or more stages"):
            codec.read(source, tokenizer, stages=stages)


def test_a_file_that_ends_after_a_stage_decodes_when_asked(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("residual")
    content = codec.to_bytes(torch.rand(1, 3, 16, 16), tokenizer)
    found = codec.inspect(content)
    start = found.header_bytes + found.head_bytes
    borders = [start + sum(found.stage_bytes[:n]) for n in (1, 2)]
    for stages, border in enumerate(borders, 1):
        with pytest.raises(CodecError, match=f"--stages {stages}"):
            codec.read(content[:border], tokenizer)
        assert len(codec.read(content[:border], tokenizer, stages=stages)) == 1
    for length in range(len(content)):
        if length not in borders:
            with pytest.raises(CodecError):
                codec.read(content[:length], tokenizer, stages=1)
    with pytest.raises(CodecError):
        codec.read(content[: borders[0]], tokenizer, stages=2)


@pytest.mark.parametrize("stages", [0, 4])
def test_stages_that_there_are_not_are_refused(make_tokenizer: Make, stages: int) -> None:
    tokenizer = make_tokenizer("residual")
    content = codec.to_bytes(torch.rand(1, 3, 8, 8), tokenizer)
    with pytest.raises(OptionError, match="expected 1 to 3"):
        codec.read(content, tokenizer, stages=stages)
    with pytest.raises(OptionError, match="expected 1 to 3"):
        codec.to_bytes(torch.rand(1, 3, 8, 8), tokenizer, stages=stages)
    with pytest.raises(OptionError, match="one piece"):
        codec.to_bytes(torch.rand(1, 3, 8, 8), make_tokenizer("product"), stages=2)


def test_another_tokenizer_is_refused_by_name(make_tokenizer: Make) -> None:
    tokenizer, other = make_tokenizer(), make_tokenizer(seed=1)
    content = codec.to_bytes(torch.rand(1, 3, 8, 8), tokenizer)
    with pytest.raises(CodecError, match=tokenizer.fingerprint()):
        codec.read(content, other)


def test_a_continuous_tokenizer_is_refused(make_tokenizer: Make) -> None:
    with pytest.raises(OptionError, match="codebook"):
        codec.to_bytes(torch.rand(1, 3, 8, 8), make_tokenizer("gaussian"))


@pytest.mark.parametrize(
    "image", [torch.rand(1, 8, 8), torch.rand(3, 0, 8), torch.full((3, 8, 8), torch.nan)]
)
def test_wrong_images_are_refused(make_tokenizer: Make, image: torch.Tensor) -> None:
    with pytest.raises((DataError, OptionError), match="expected"):
        codec.to_bytes([image], make_tokenizer())


def test_every_picture_gets_its_file(
    make_tokenizer: Make, pictures: list[Path], tmp_path: Path
) -> None:
    tokenizer = make_tokenizer("residual")
    written = pipelines.compress_files(tokenizer, pictures, tmp_path / "out", jobs=2)
    assert [one.path.name for one in written] == ["0.vcb", "1.vcb", "2.vcb", "3.vcb"]
    assert [one.bytes for one in written] == [one.path.stat().st_size for one in written]
    back = pipelines.decompress_files(tokenizer, [one.path for one in written], tmp_path / "back")
    assert [pixels_of(path).shape[:2] for path in back] == [(16, 24), (16, 24), (9, 13), (16, 24)]
    together = pipelines.compress_files(tokenizer, pictures, tmp_path / "all.vcb", batch_size=2)
    assert codec.inspect(together[0].path).header.names == ["0.png", "1.png", "2.png", "3.png"]
    again = pipelines.decompress_files(tokenizer, [tmp_path / "all.vcb"])
    assert [path.relative_to(tmp_path).as_posix() for path in again] == [
        f"all/{i}.png" for i in range(4)
    ]
    for one, other in zip(back, again, strict=True):
        assert np.array_equal(pixels_of(one), pixels_of(other))


def test_weights_are_read_once_for_all_files(
    make_tokenizer: Make, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, calls = make_tokenizer(), []
    fingerprint = tokenizer.fingerprint()
    monkeypatch.setattr(type(tokenizer), "fingerprint", lambda self: calls.append(1) or fingerprint)
    written = pipelines.compress_files(tokenizer, pictures, tmp_path / "out")
    assert len(calls) == 1
    pipelines.decompress_files(tokenizer, [one.path for one in written], tmp_path / "back")
    assert len(calls) == 2


def test_a_target_rate_chooses_the_stages(
    make_tokenizer: Make, pictures: list[Path], tmp_path: Path
) -> None:
    tokenizer = make_tokenizer("residual")
    rates = {}
    for stages in (1, 2, 3):
        folder = tmp_path / str(stages)
        one = pipelines.compress_files(tokenizer, pictures[:1], folder, stages=stages)[0]
        rates[stages] = 8 * one.bytes / one.units
    for stages, rate in rates.items():
        folder = tmp_path / f"rate{stages}"
        one = pipelines.compress_files(tokenizer, pictures[:1], folder, target_bpp=rate)[0]
        assert codec.inspect(one.path).header.kept == stages
    with pytest.raises(OptionError, match="fewest stages"):
        pipelines.compress_files(tokenizer, pictures[:1], tmp_path / "x", target_bpp=0.01)
    assert not list((tmp_path / "x").glob("*.vcb"))


def test_bad_inputs_are_named_before_anything_is_written(
    make_tokenizer: Make, pictures: list[Path], tmp_path: Path
) -> None:
    tokenizer, out = make_tokenizer(), tmp_path / "out"
    (tmp_path / "empty.png").write_bytes(b"")
    for bad, words in (
        (tmp_path / "none.png", "nothing there"),
        (tmp_path / "empty.png", "broken"),
    ):
        with pytest.raises(DataError, match=words):
            pipelines.compress_files(tokenizer, [*pictures, bad], out)
        assert not out.exists()
    with pytest.raises(OptionError, match="different names"):
        pipelines.compress_files(tokenizer, [pictures[0], pictures[0]], out)
    pipelines.compress_files(tokenizer, pictures[3:], out)
    with pytest.raises(OutputError, match="--overwrite"):
        pipelines.compress_files(tokenizer, pictures, out)
    assert [path.name for path in out.iterdir()] == ["3.vcb"]


def test_what_is_finished_stays_when_a_picture_is_damaged(
    make_tokenizer: Make, pictures: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.bmp"  # its header is whole, unlike that of a cut PNG file
    Image.fromarray(pixels_of(pictures[0])).save(broken)
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"broken\.bmp"):
        pipelines.compress_files(make_tokenizer(), [*pictures[:3], broken], tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.vcb", "1.vcb", "2.vcb"]


def test_damaged_files_give_no_picture(
    make_tokenizer: Make, pictures: list[Path], tmp_path: Path
) -> None:
    tokenizer = make_tokenizer()
    path = pipelines.compress_files(tokenizer, pictures[:1], tmp_path / "out")[0].path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CodecError, match="further bytes"):
        pipelines.decompress_files(tokenizer, [path])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_names_in_a_file_cannot_lead_out_of_the_folder(
    make_tokenizer: Make, tmp_path: Path
) -> None:
    tokenizer = make_tokenizer()
    path = tmp_path / "in" / "a.vcb"
    codec.write(path, torch.rand(2, 3, 8, 8), tokenizer, names=["../../evil.png", "/etc/evil"])
    written = pipelines.decompress_files(tokenizer, [path])
    assert all((tmp_path / "in" / "a") in p.parents for p in written)
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_statistics_are_counts_of_the_codes(make_tokenizer: Make, tmp_path: Path) -> None:
    tokenizer = make_tokenizer("residual", channels=1)
    source = open_source("sample:digits/test")
    statistics = pipelines.learn_statistics(tokenizer, source, limit=50)
    images = torch.stack([torch.from_numpy(source.read(i).image) for i in range(50)])
    codes = tokenizer.encode(images.permute(0, 3, 1, 2)).reshape(-1, 3)
    for book in range(3):
        assert (
            statistics.counts[book].tolist() == torch.bincount(codes[:, book], minlength=8).tolist()
        )
        assert sorted(statistics.orders[book].tolist()) == list(range(8))
    statistics.save(tmp_path)
    again = codec.load_statistics(tmp_path, tokenizer.fingerprint())
    assert again is not None and again.digest() == statistics.digest()
    assert codec.load_statistics(tmp_path, "0" * 64) is None
    (tmp_path / "entropy.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="vocabula counts"):
        codec.load_statistics(tmp_path, tokenizer.fingerprint())
    for entropy in codec.ENTROPIES:
        content = codec.to_bytes(
            images[:3].permute(0, 3, 1, 2), tokenizer, entropy=entropy, statistics=statistics
        )
        assert len(codec.read(content, tokenizer, statistics=statistics)) == 3


def test_similar_codewords_become_neighbours() -> None:
    line = torch.tensor([[5.0, 0], [1, 0], [7, 0], [3, 0], [0, 0], [6, 0]])
    order = principal_order(line, torch.ones(6)).tolist()
    assert order in ([4, 1, 3, 0, 5, 2], [2, 5, 0, 3, 1, 4])
    square = torch.tensor([[0.0, 0], [9, 0], [0, 1], [9, 1]])
    assert {
        tuple(sorted(principal_order(square, torch.ones(4))[i : i + 2].tolist())) for i in (0, 2)
    } == {(0, 2), (1, 3)}


def test_statistics_of_levels_serve_each_book(make_tokenizer: Make, tmp_path: Path) -> None:
    tokenizer = make_tokenizer("three levels", channels=1)
    source = open_source("sample:digits/test")
    statistics = pipelines.learn_statistics(tokenizer, source, limit=20)
    assert statistics.symbols == (16, 8, 8, 64)
    images = torch.stack([torch.from_numpy(source.read(i).image) for i in range(20)])
    levels = tokenizer.encode(images.permute(0, 3, 1, 2))
    books = [levels[0], *levels[1].unbind(-1), levels[2]]
    for book, counts in zip(books, statistics.counts, strict=True):
        assert counts.tolist() == torch.bincount(book.flatten(), minlength=len(counts)).tolist()
    for entropy in ("static", "adaptive"):
        content = codec.to_bytes(
            images[:2].permute(0, 3, 1, 2), tokenizer, entropy=entropy, statistics=statistics
        )
        assert len(codec.read(content, tokenizer, statistics=statistics)) == 2


def test_codes_that_spell_their_vectors_keep_their_order(make_tokenizer: Make) -> None:
    quantizer = make_tokenizer("lookup_free").quantizer
    assert order_of(quantizer, np.ones(64, np.int64)).tolist() == list(range(64))  # type: ignore[arg-type]


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from vocabula import codec
from vocabula.codec import writer
put = writer._put
def slow(file, *rest, **more):
    size = put(file, *rest, **more)
    file.flush()
    Path(sys.argv[2]).touch()
    time.sleep(60)
    return size
writer._put = slow
codec.write_codes(sys.argv[1], [np.zeros((4, 4), np.int64)], [16])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_kill_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    path, began = tmp_path / "a.vcb", tmp_path / "began"
    process = Program(KILLED, path, began)
    while not began.exists():
        assert process.is_alive()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL
    assert not path.exists()
    codec.write_codes(path, [np.zeros((4, 4), np.int64)], [16])
    assert codec.read_codes(path).codes[0] is not None
