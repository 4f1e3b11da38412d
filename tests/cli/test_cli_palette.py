"""``vocabula palette``: indexed PNG files from every kind of picture, one line for bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def shown(path: Path, mode: str = "RGB") -> np.ndarray:
    """The pixels of an indexed PNG file."""
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        return np.asarray(picture.convert(mode))


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_one_picture_becomes_one_indexed_file(vocabula, pictures: Path) -> None:
    done = vocabula("palette", pictures / "0.png", "-k", 8, "-o", "small.png")
    assert (done.code, done.err) == (0, "")
    size = Path("small.png").stat().st_size
    assert done.out.startswith("small.png: 8 colours, ")
    assert done.out.splitlines()[0].endswith(f" dB, {size:,} bytes")
    assert len(np.unique(shown(Path("small.png")).reshape(-1, 3), axis=0)) == 8


def test_the_colour_profile_is_kept(vocabula, pictures: Path, other_profile: bytes) -> None:
    with Image.open(pictures / "0.png") as picture:
        picture.save("a.png", icc_profile=other_profile)
        grey = other_profile[:16] + b"GRAY" + other_profile[20:]
        picture.convert("L").save("b.png", icc_profile=grey)
    done = vocabula("palette", "a.png", "b.png", "-k", 16, "-o", "out")
    assert done.err == "warning: b.png: leaving out its colour profile, it is for grey pictures\n"
    with Image.open("out/a.png") as small, Image.open("out/b.png") as other:
        assert small.info["icc_profile"] == other_profile and "icc_profile" not in other.info


def test_the_same_seed_gives_the_same_bytes(vocabula, pictures: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        words = ["-k", 16, "--seed", seed, "--dither", "-o", f"{name}.png"]
        assert vocabula("palette", pictures / "1.png", *words).code == 0
    contents = [Path(f"{name}.png").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_files_and_folders_go_into_a_folder(vocabula, pictures: Path) -> None:
    (pictures / "inner").mkdir()
    (pictures / "0.png").rename(pictures / "inner" / "0.png")
    (pictures / "notes.txt").write_text("no picture")
    done = vocabula("palette", pictures, pictures / "1.png", "-k", 4, "-o", "new/out")
    assert done.code == 0
    assert "notes.txt: not a picture by its name" in done.err
    names = sorted(p.relative_to("new/out").as_posix() for p in Path("new/out").rglob("*.png"))
    assert names == ["1-2.png", "1.png", "2.png", "3.png", "inner/0.png"]
    assert done.out.splitlines()[5].startswith("wrote 5 pictures: ")


def test_few_colours_stay_exact(vocabula, tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    done = vocabula("palette", save(tmp_path / "a.png", pixels), "-o", "b.png")
    assert done.out.startswith("b.png: 16 colours, 100.00 dB")
    assert np.array_equal(shown(Path("b.png")), pixels)


def grey(values: list[int], kind: type = np.uint8) -> np.ndarray:
    return np.array([values], kind)


@pytest.mark.parametrize(
    ("name", "picture", "mode", "wanted"),
    [
        # 16 bits: 65535 is 255, 257 is 1
        ("a.png", Image.fromarray(grey([0, 257, 65535], np.uint16)), "L", [0, 1, 255]),
        ("a.tif", Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "RGB", [[255, 0, 0]] * 2),
        ("a.png", Image.new("1", (2, 1), 1), "L", [255, 255]),
        ("a.png", Image.new("LA", (2, 1), (9, 255)), "L", [9, 9]),
        (
            "a.png",
            Image.fromarray(np.array([[[1, 2, 3, 255], [4, 5, 6, 7], [8, 9, 9, 0]]], np.uint8)),
            "RGBA",
            [[1, 2, 3, 255], [4, 5, 6, 7], [0, 0, 0, 0]],
        ),
    ],
    ids=["16 bits", "CMYK", "bilevel", "grey with alpha", "RGBA"],
)
def test_pictures_of_other_modes(
    vocabula, tmp_path: Path, name: str, picture: Image.Image, mode: str, wanted: list
) -> None:
    picture.save(tmp_path / name)
    assert vocabula("palette", tmp_path / name, "-o", "out.png").code == 0
    assert shown(Path("out.png"), mode)[0].tolist() == wanted


def test_a_palette_picture_stays_as_it_is(vocabula, tmp_path: Path) -> None:
    picture = Image.fromarray(grey([0, 1, 2, 1]))
    picture.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    picture.save(tmp_path / "a.gif", transparency=2)
    assert vocabula("palette", tmp_path / "a.gif", "-k", 3, "-o", "out.png").code == 0
    with Image.open(tmp_path / "a.gif") as before:
        wanted = np.asarray(before.convert("RGBA")).copy()
    wanted[wanted[..., 3] == 0] = 0
    assert np.array_equal(shown(Path("out.png"), "RGBA"), wanted)


def test_never_overwrites(vocabula, pictures: Path) -> None:
    Path("out.png").write_bytes(b"mine")
    Path("out").mkdir()
    Path("out/3.png").write_bytes(b"mine")
    for words in ([pictures / "3.png", "-o", "out.png"], [pictures, "-o", "out"]):
        done = vocabula("palette", *words)
        assert (done.code, done.out) == (2, "")
        assert "expected a new output, got an existing one" in done.err
        assert len(done.err.splitlines()) == 1
    assert Path("out/3.png").read_bytes() == Path("out.png").read_bytes() == b"mine"
    assert sorted(Path("out").iterdir()) == [Path("out/3.png")]  # nothing was begun
    assert vocabula("palette", pictures, "-o", "out", "--overwrite").code == 0
    assert shown(Path("out/3.png")).shape == (16, 12, 3)


def test_never_replaces_a_picture_it_reads(vocabula, pictures: Path) -> None:
    before = (pictures / "0.png").read_bytes()
    for words in ([pictures / "0.png", "-o", pictures / "0.png"], [pictures, "-o", pictures]):
        done = vocabula("palette", *words, "--overwrite")
        assert done.code == 2
        assert "got one of them" in done.err
    assert (pictures / "0.png").read_bytes() == before


def test_readable_pictures_are_written_beside_broken_ones(vocabula, pictures: Path) -> None:
    (pictures / "1.png").write_bytes(b"no picture")
    content = (pictures / "2.png").read_bytes()
    (pictures / "2.png").write_bytes(content[:200])
    done = vocabula("palette", pictures, "-o", "out")
    assert done.code == 2
    assert "pictures: expected 4 that can be read, got 2 that cannot" in done.err
    assert "1.png: not a picture" in done.err and "2.png: " in done.err
    assert sorted(p.name for p in Path("out").iterdir()) == ["0.png", "3.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png", "-o", "a.png"], "missing.png: expected a picture, got nothing"),
        (["empty.png", "-o", "a.png"], "empty.png: expected a picture, got none (not a picture)"),
        (["text.png", "-o", "a.png"], "text.png: expected a picture, got none (not a picture)"),
        (["nothing", "-o", "a"], "nothing: expected pictures (jpg"),
        (["pictures", "-o", "a.png"], "a.png: expected a folder for several pictures"),
        (["pictures/0.png", "-o", "a.jpg"], "a.jpg: expected a .png file or a folder, got .jpg"),
        (["pictures/0.png", "-o", "text.png/a.png"], "text.png: expected a folder to write into"),
        (["pictures/0.png", "-k", "0", "-o", "a.png"], "'-k' / '--colors'"),
        (["pictures/0.png", "-k", "257", "-o", "a.png"], "'-k' / '--colors'"),
        (["pictures/0.png"], "Missing option '-o' / '--out'"),
    ],
)
def test_bad_input_is_one_line(vocabula, pictures: Path, words: list[str], message: str) -> None:
    Path("empty.png").touch()
    Path("text.png").write_text("no picture")
    Path("nothing").mkdir()
    before = sorted(Path.cwd().rglob("*"))
    done = vocabula("palette", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(Path.cwd().rglob("*")) == before


def test_ctrl_c_keeps_what_is_finished(vocabula, pictures: Path, monkeypatch) -> None:
    from vocabula.palette import colors

    fit, calls = colors.fit, []

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*args, **options)

    monkeypatch.setattr(colors, "fit", interrupted)
    done = vocabula("palette", pictures, "-o", "out")
    assert done.code == 130
    assert "2 of 4 files are finished and kept" in done.err
    assert sorted(p.name for p in Path("out").iterdir()) == ["0.png", "1.png"]


def test_a_full_disk_keeps_what_is_finished(vocabula, pictures: Path, monkeypatch) -> None:
    import errno

    write, calls = Path.write_bytes, []

    def full(path: Path, content: bytes) -> int:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    done = vocabula("palette", pictures, "-o", "out")
    assert done.code == 2
    assert "the 1 finished file is kept" in done.err
    assert sorted(p.name for p in Path("out").iterdir()) == ["0.png"]
