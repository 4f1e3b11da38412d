"""``vocabula compress --lossless`` and ``vocabula blocks``, and what decompress makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Vocabula = Callable[..., Any]


def shown(path: Path | str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def refused(done: Any, *words: str) -> None:
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err


def test_exact_pixels_come_back(vocabula: Vocabula, saved: Path, pictures: Path) -> None:
    files = sorted(pictures.iterdir())
    assert vocabula("compress", saved / "run", *files, "--lossless", "-o", "all.vcb").code == 0
    assert vocabula("compress", saved / "run", *files, "--lossless", "-o", "each").code == 0
    assert (
        vocabula("decompress", saved / "run", "all.vcb", *sorted(Path("each").iterdir())).code == 0
    )
    for path in files:
        assert np.array_equal(shown(Path("all") / path.name), shown(path))
        assert np.array_equal(shown(Path("each") / path.name), shown(path))
    lines = vocabula("inspect", "all.vcb").out.splitlines()
    (pixels,) = (line for line in lines if line.startswith("pixels"))
    assert f"{4 * 16 * 12 * 3} exact values of pixels" in pixels


def test_stages_ignore_the_pixels(vocabula: Vocabula, saved: Path, pictures: Path) -> None:
    vocabula("compress", saved / "run", pictures / "0.png", "--lossless", "-o", "exact.vcb")
    vocabula("compress", saved / "run", pictures / "0.png", "-o", "lossy.vcb")
    assert vocabula("decompress", saved / "run", "exact.vcb", "--stages", 1).code == 0
    assert vocabula("decompress", saved / "run", "lossy.vcb").code == 0
    assert np.array_equal(shown("exact.png"), shown("lossy.png"))


def test_grey_pictures_are_exact_too(vocabula: Vocabula, saved: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for run, wanted in (("grey", pixels), ("run", np.stack([pixels] * 3, -1))):
        done = vocabula("compress", saved / run, "a.png", "--lossless", "-o", f"{run}.vcb")
        assert done.code == 0, done.err
        assert vocabula("decompress", saved / run, f"{run}.vcb").code == 0
        assert np.array_equal(shown(f"{run}.png"), wanted)


@pytest.mark.slow
def test_colour_profiles_come_back(
    vocabula: Vocabula, saved: Path, pictures: Path, srgb_profile: bytes, other_profile: bytes
) -> None:
    plain, own, usual = sorted(pictures.iterdir())[:3]
    for path, profile in ((own, other_profile), (usual, srgb_profile)):
        with Image.open(path) as picture:
            picture.save(path, icc_profile=profile)

    def profiles(*options: str) -> list[bytes | None]:
        out = "out" + "".join(options)
        words = ["compress", saved / "run", plain, own, usual, *options, "-o"]
        assert vocabula(*words, f"{out}-all.vcb").code == vocabula(*words, out).code == 0
        each = sorted(Path(out).iterdir())
        assert vocabula("decompress", saved / "run", f"{out}-all.vcb", *each).code == 0
        found = []
        for path in (plain, own, usual):
            with Image.open(Path(out) / path.name) as a, Image.open(f"{out}-all/{path.name}") as b:
                found.append(a.info.get("icc_profile"))
                assert found[-1] == b.info.get("icc_profile")
        return found

    assert profiles("--lossless") == [None, other_profile, srgb_profile]
    assert profiles() == [None, other_profile, None]  # sRGB is what is assumed without one
    assert "colour profiles, in it" in vocabula("inspect", "out-all.vcb").out


@pytest.mark.parametrize(
    ("picture", "lost"),
    [
        (Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "transparency"),
        (Image.new("LA", (4, 4), (1, 4)), "transparency"),
        (Image.fromarray(np.full((4, 4), 300, np.uint16)), "16 bits a channel"),
    ],
    ids=["RGBA", "grey with alpha", "16 bits"],
)
def test_what_would_be_lost_is_refused(
    vocabula: Vocabula, saved: Path, picture: Image.Image, lost: str
) -> None:
    picture.save("a.png")
    refused(vocabula("compress", saved / "run", "a.png", "--lossless"), "without loss", lost)
    assert not Path("a.vcb").exists()
    assert vocabula("compress", saved / "run", "a.png").code == 0


@pytest.mark.parametrize("words", [("--stages", 1), ("--target-bpp", 1)])
def test_contradictions_are_refused(
    vocabula: Vocabula, saved: Path, pictures: Path, words: tuple[object, ...]
) -> None:
    done = vocabula("compress", saved / "run", pictures / "0.png", "--lossless", *words)
    refused(done, "lossless or a choice of stages")


def test_blocks_there_and_back(vocabula: Vocabula, pictures: Path) -> None:
    done = vocabula("blocks", pictures / "0.png", "-k", 48, "--block", "2x4", "-o", "a.vcb")
    assert done.code == 0, done.err
    # 16 x 12 pixels are 8 x 3 blocks of 2 x 4: fewer than codewords, so that all stay exact
    assert done.out.startswith("a.vcb: 24 codewords, inf dB, ")
    assert vocabula("decompress", "a.vcb").code == 0
    assert np.array_equal(shown("a.png"), shown(pictures / "0.png"))
    lines = vocabula("inspect", "a.vcb").out
    assert "24 blocks of 4 x 2 pixels" in lines and "tokenizer" in lines


def test_several_pictures_share_a_codebook(vocabula: Vocabula, saved: Path, pictures: Path) -> None:
    files = sorted(pictures.iterdir())
    assert vocabula("blocks", *files, "-k", 4, "-o", "all.vcb").code == 0
    assert vocabula("blocks", *files, "-k", 4, "-o", "each").code == 0
    assert sorted(p.name for p in Path("each").iterdir()) == [f"{i}.vcb" for i in range(4)]
    # a run does no harm where files of both kinds are given
    assert vocabula("compress", saved / "run", files[0], "-o", "code.vcb").code == 0
    assert vocabula("decompress", saved / "run", "all.vcb", "code.vcb", "-o", "back").code == 0
    assert sorted(p.name for p in Path("back/all").iterdir()) == [f"{i}.png" for i in range(4)]
    assert shown("back/code.png").shape == (16, 12, 3)


def test_the_same_seed_gives_the_same_bytes(vocabula: Vocabula, pictures: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        words = ("-k", 6, "--seed", seed, "-o", f"{name}.vcb")
        assert vocabula("blocks", pictures / "1.png", *words).code == 0
    contents = [Path(f"{name}.vcb").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_grey_pictures_keep_one_channel(vocabula: Vocabula, tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("a.png")
    assert vocabula("blocks", "a.png").code == 0
    assert "1 image of 1 channel" in vocabula("inspect", "a.vcb").out
    assert vocabula("decompress", "a.vcb", "-o", "b.png").code == 0
    assert np.array_equal(shown("b.png"), shown("a.png"))


def test_a_needed_run_is_named(vocabula: Vocabula, saved: Path, pictures: Path) -> None:
    vocabula("compress", saved / "run", pictures / "0.png", "-o", "a.vcb")
    refused(vocabula("decompress", "a.vcb"), "expected its tokenizer", "vocabula decompress RUN")
    refused(vocabula("decompress", saved / "run"), "expected files after the run")
    refused(vocabula("decompress", "none.vcb"), "none.vcb")
    refused(vocabula("decompress", "no-run", "a.vcb"), "no-run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "missing.png: expected a picture file, got nothing there"),
        (["empty.png"], "empty.png: expected a picture, got a broken file"),
        (["text.png"], "text.png: expected a picture, got a broken file"),
        (["pictures"], "pictures: expected a picture file, got a folder"),
        (["pictures/0.png", "pictures"], "pictures: expected a picture file, got a folder"),
        (["pictures/0.png", "-k", "0"], "'-k' / '--codewords'"),
        (["pictures/0.png", "-k", "65537"], "'-k' / '--codewords'"),
        (["pictures/0.png", "--block", "4"], "block: expected height x width"),
        (["pictures/0.png", "--block", "0x4"], "block: expected height x width"),
        (["pictures/0.png", "--block", "4x65"], "block: expected height x width"),
        (["pictures/0.png", "-o", "old.vcb"], "old.vcb"),
        (["pictures/0.png", "-o", "text.png"], "text.png: expected a folder"),
        (["pictures/0.png", "pictures/0.png"], "expected pictures of different names"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line(
    vocabula: Vocabula, pictures: Path, words: list[str], message: str
) -> None:
    Path("empty.png").touch()
    Path("text.png").write_text("no picture")
    Path("old.vcb").write_bytes(b"mine")
    before = sorted(Path.cwd().rglob("*"))
    refused(vocabula("blocks", *words), message)
    assert sorted(Path.cwd().rglob("*")) == before
    assert Path("old.vcb").read_bytes() == b"mine"


def test_damaged_files_of_blocks_leave_nothing(vocabula: Vocabula, pictures: Path) -> None:
    vocabula("blocks", pictures / "0.png", "-o", "a.vcb")
    content = bytearray(Path("a.vcb").read_bytes())
    content[-9] ^= 4
    Path("bad.vcb").write_bytes(content)
    refused(vocabula("decompress", "bad.vcb"), "bad.vcb: expected")
    assert not Path("bad.png").exists()


def test_blocks_are_not_written_over_a_picture(
    vocabula: Vocabula, pictures: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.vcb"
    picture.write_bytes((pictures / "0.png").read_bytes())
    before = picture.read_bytes()
    for out in ((), ("-o", picture)):
        refused(vocabula("blocks", picture, *out, "--overwrite"), "apart from the inputs")
    assert picture.read_bytes() == before


@pytest.mark.parametrize("command", ["blocks", "palette"])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_are_none_are_refused(
    command: str, seed: int, vocabula: Vocabula, pictures: Path
) -> None:
    refused(vocabula(command, pictures / "0.png", "-k", 2, "--seed", seed, "-o", "new"), "--seed")


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tiff"])
def test_further_frames_would_be_lost(vocabula: Vocabula, saved: Path, name: str) -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    frames[0].save(name, save_all=True, append_images=frames[1:])
    refused(vocabula("compress", saved / "run", name, "--lossless"), "several frames")
    frames[0].save(name)
    assert vocabula("compress", saved / "run", name, "--lossless").code == 0


@pytest.mark.parametrize("command", ["compress", "blocks", "palette"])
def test_frames_that_are_not_kept_are_said(command: str, vocabula: Vocabula, saved: Path) -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:])
    frames[0].save("still.png")
    run = [saved / "run"] if command == "compress" else []
    done = vocabula(command, *run, "a.gif", "still.png", "-o", "out")
    assert done.code == 0
    said = "warning: only the first of several frames is kept: a.gif"
    assert [line for line in done.err.splitlines() if "frames" in line] == [said]
