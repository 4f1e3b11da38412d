"""The tokenizer that comes with the package: no RUN at all, ``default`` as RUN, its name in files.

A tiny stand-in takes its place, so that the tests do not hang on the figures of the one shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vocabula as package
from priors.generators import make_generator, save_generator
from vocabula import codec
from vocabula.cli.compress import _room_for
from vocabula.codec.layout import ModelId
from vocabula.errors import CheckpointError
from vocabula.files import packaged
from vocabula.pipelines.compress import Compressed

Vocabula = Callable[..., Any]
NAME = "photos-default-1"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of one tokenizer, and one of a later release that has replaced its tokenizer."""
    root = tmp_path_factory.mktemp("stand-ins")
    save_generator(root / "now" / NAME, make_generator("portable", 2, channels=3))
    save_generator(root / "later" / "photos-default-2", make_generator("portable", channels=3))
    return root


@pytest.fixture
def _carried(stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "ROOT", stand_ins / "now")


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[Path]:
    """A small colour picture in the current folder."""
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "cat.png")
    yield Path("cat.png")


@pytest.mark.usefixtures("_carried")
def test_a_picture_needs_no_run(vocabula: Vocabula, picture: Path, stand_ins: Path) -> None:
    done = vocabula("compress", picture)
    assert (done.code, done.err) == (0, "") and "decompress cat.vcb" in done.out, done
    header = codec.inspect("cat.vcb").header
    own = package.load("default")
    assert header.packaged == NAME and header.fingerprint == own.fingerprint()
    assert header.models[0].id == ModelId.PORTABLE
    assert f"{NAME} {header.fingerprint}" in vocabula("inspect", "cat.vcb").out

    assert vocabula("decompress", "cat.vcb", "-o", "back.png").code == 0
    folder = stand_ins / "now" / NAME
    words = ("--prior", folder, "-o", "same.png")
    assert vocabula("decompress", folder / "tokenizer", "cat.vcb", *words).code == 0
    for run in ("default", NAME):
        assert vocabula("decompress", run, "cat.vcb", "-o", f"{run}.png").code == 0
    shown = {name: np.asarray(Image.open(f"{name}.png")) for name in ("back", "same", NAME)}
    assert shown["back"].shape == (20, 24, 3)
    assert all((one == shown["back"]).all() for one in shown.values())


@pytest.mark.usefixtures("_carried")
def test_every_verb_takes_it(vocabula: Vocabula, picture: Path) -> None:
    Path("pictures").mkdir()
    picture.rename("pictures/cat.png")
    verbs = {
        "info": (),
        "evaluate": ("pictures",),
        "compress": ("pictures", "-o", "all.vcb", "--entropy", "adaptive"),
        "encode": ("pictures", "-o", "tokens"),
        "decode": ("tokens", "-o", "decoded"),
        "rate": ("pictures", "-o", "rate"),
        "report": ("pictures", "-o", "report.html"),
        "export": ("exported",),
        "compare": ("exported", "pictures", "-o", "compared.html"),
    }
    for verb, words in verbs.items():
        done = vocabula(verb, "default", *words)
        assert done.code == 0, (verb, done)
    assert NAME in vocabula("info", "default").out
    assert package.load("exported").fingerprint() == package.load("default").fingerprint()


@pytest.mark.usefixtures("_carried")
@pytest.mark.parametrize("words", [("report", "default"), ("rate", "default"), ("counts", NAME)])
def test_nothing_is_written_into_the_package(
    words: tuple[str, ...], vocabula: Vocabula, picture: Path
) -> None:
    done = vocabula(*words, ".")
    assert done.code == 2 and "nothing is written into the package" in done.err, done


@pytest.mark.usefixtures("_carried")
def test_a_folder_of_its_name_is_written_as_a_path(vocabula: Vocabula) -> None:
    save_generator(Path("default"), make_generator("portable", channels=3))
    assert (
        package.load("default").fingerprint() != package.load("./default/tokenizer").fingerprint()
    )
    assert NAME not in vocabula("info", "./default").out


def test_a_file_of_a_newer_release_says_so(
    vocabula: Vocabula, picture: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "ROOT", stand_ins / "later")
    assert vocabula("compress", "photos-default-2", picture).code == 0
    monkeypatch.setattr(packaged, "ROOT", stand_ins / "now")
    done = vocabula("decompress", "cat.vcb")
    assert done.code == 2 and done.err.count("\n") == 1
    assert f"this build carries ({NAME}), got a file of photos-default-2" in done.err
    assert "update vocabula" in done.err
    named = vocabula("decompress", "default", "cat.vcb")
    assert named.code == 2 and "photos-default-2" in named.err


@pytest.mark.parametrize(
    "words",
    [
        ("compress", "cat.png"),
        ("info", "default"),
        ("evaluate", "default", "."),
        ("train-prior", "default", "tokens", "-o", "prior"),
    ],
)
def test_a_build_without_one_says_so(
    words: tuple[str, ...], vocabula: Vocabula, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "ROOT", Path("none"))
    done = vocabula(*words)
    assert done.code == 2 and done.err.count("\n") == 1, done
    assert f"expected the tokenizer {NAME} in the package, got a build" in done.err
    with pytest.raises(CheckpointError, match="carries none; name a RUN"):
        package.load("default")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("cat.webp",), "cat.webp: expected a picture file, got nothing there"),
        (("folder",), "name the tokenizer before it: vocabula compress default folder"),
        (("run",), "expected files after the run run, got none"),
    ],
)
@pytest.mark.usefixtures("_carried")
def test_what_is_no_run_and_no_picture(
    words: tuple[str, ...], line: str, vocabula: Vocabula
) -> None:
    Path("folder").mkdir()
    save_generator(Path("run"), make_generator("portable", channels=3))
    done = vocabula("compress", *words)
    assert done.code == 2 and line in done.err, done


@pytest.mark.usefixtures("_carried")
def test_pictures_of_other_modes_are_their_8_bit_colours(vocabula: Vocabula) -> None:
    """Grey, transparent and 16-bit pictures give the files of what they stand for."""
    grey = np.random.default_rng(1).integers(0, 256, (9, 14), dtype=np.uint8)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], -1)
    clear = np.concatenate([colour, np.full((9, 14, 1), 255, np.uint8)], -1)
    clear[2:5] = (10, 20, 30, 0)
    white = colour.copy()
    white[2:5] = 255
    wide = grey.astype(np.uint16) * 257
    cases = {
        "grey": (Image.fromarray(grey), np.stack([grey] * 3, -1)),
        "clear": (Image.fromarray(clear), white),
        "wide": (Image.fromarray(wide), np.stack([grey] * 3, -1)),
        "one": (Image.fromarray(colour[:1, :1]), colour[:1, :1]),
        "flat": (Image.new("RGB", (40, 30), (7, 8, 9)), np.full((30, 40, 3), (7, 8, 9), np.uint8)),
    }
    for name, (picture, stands_for) in cases.items():
        picture.save(f"{name}.png")
        Image.fromarray(stands_for).save(f"same-{name}.png")
        done = vocabula("compress", f"{name}.png", f"same-{name}.png")
        assert done.code == 0, (name, done)
        assert Path(f"{name}.vcb").read_bytes() == Path(f"same-{name}.vcb").read_bytes(), name
        assert vocabula("decompress", f"{name}.vcb", "-o", "back.png", "--overwrite").code == 0
        with Image.open("back.png") as back:
            assert (back.mode, back.size) == ("RGB", picture.size), name


def test_a_picture_larger_than_files_may_hold_is_opened_with_the_room_it_needs() -> None:
    """100 megapixels of 3 channels are 286.1 MiB: four times that, rounded up, is 1145."""
    wide = Compressed(Path("wide.vcb"), 9, 8192 * 12208, 1, 9, "pixel", "picture")
    many = replace(wide, items=1000)
    assert _room_for([wide, many], 3) == ("--max-memory", "1145")
    assert _room_for([many, replace(wide, units=2**26)], 3) == ()
