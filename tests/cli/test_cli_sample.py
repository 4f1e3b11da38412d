"""``vocabula sample`` and ``vocabula complete``: what they write, and one line for bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from priors.generators import make_generator, save_generator
from vocabula.data.token_file import read_tokens
from vocabula.pipelines import sample as samples


@pytest.fixture(scope="session")
def priors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders of tiny generators: ``flat``, ``deep`` of two levels, ``transformer``, ...."""
    root = tmp_path_factory.mktemp("priors")
    save_generator(root / "flat", make_generator("pixelcnn", channels=3, classes=3, text=True))
    save_generator(root / "deep", make_generator("pixelsnail", 2, channels=3, classes=3))
    save_generator(root / "transformer", make_generator("gpt2", channels=3, classes=3, dropout=0.0))
    spoken = {"attributes": {"speaker": 2}, "names": {"speaker": ("anna", "ben")}}
    save_generator(root / "spoken", make_generator("pixelcnn", channels=3, classes=3, **spoken))
    save_generator(root / "plain", make_generator("pixelcnn", channels=3))
    yield root


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.slow
def test_a_grid(vocabula: Callable, priors: Path, tmp_path: Path) -> None:
    done = vocabula("sample", priors / "deep", "-n", 6, "--class", "all", "--guidance", 2,
                    "--seed", 1, "-o", "g.png")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "drew 6 images with seed 1: g.png"
    assert np.asarray(Image.open(tmp_path / "g.png")).shape == (2 * 14 - 2, 3 * 18 - 2, 3)


def test_a_folder_by_text_and_class_and_more_of_it(
    vocabula: Callable, priors: Path, tmp_path: Path
) -> None:
    words = ("sample", priors / "flat", "--class", "one,2", "--text", "a handwritten one",
             "--temperature", 0.9, "--top-k", 8, "--top-p", 0.95, "-o", "out")  # fmt: skip
    codes = ("--codes", "codes.parquet")
    done = vocabula(*words, "-n", 3, "--seed", 5, "--batch-size", 2, *codes)
    assert (done.code, done.out.splitlines()[0]) == (0, "drew 3 images with seed 5: out")
    assert vocabula(*words, "-n", 4).code == 2
    done = vocabula(*words, "-n", 4, "--resume", *codes)
    assert (done.code, done.out.splitlines()[0]) == (0, "drew 4 images with seed 5: out")
    found = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert found == ["00000-one.png", "00001-two.png", "00002-one.png", "00003-two.png"]
    assert [record.label for record in read_tokens(tmp_path / "codes.parquet")] == [1, 2, 1, 2]
    done = vocabula("decode", priors / "flat/tokenizer", "codes.parquet", "-o", "decoded")
    assert done.code == 0
    for name in found:
        one, other = (np.asarray(Image.open(tmp_path / d / name)) for d in ("out", "decoded"))
        assert np.abs(one.astype(int) - other).max() <= 1


def test_samples_and_completions_by_another_attribute(
    vocabula: Callable, priors: Path, tmp_path: Path, picture: Path
) -> None:
    words = ("--class", "two", "--set", "speaker=ben,0", "--seed", 1)
    assert vocabula("sample", priors / "spoken", "-n", 2, *words, "-o", "out").code == 0
    found = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert found == ["00000-two-ben.png", "00001-two-anna.png"]
    drawn = []
    for name in ("anna", "ben"):
        out = f"{name}.png"
        done = vocabula("complete", priors / "spoken", picture, "--keep", "top:0.4", "-n", 2,
                        "--set", f"speaker={name}", "--seed", 1, "-o", out)  # fmt: skip
        assert done.code == 0
        drawn.append(np.asarray(Image.open(tmp_path / out)))
    assert not np.array_equal(*drawn)
    every = vocabula("sample", priors / "spoken", "-n", 4, "--set", "speaker=all", "-o", "g.png")
    assert every.code == 0
    assert np.asarray(Image.open(tmp_path / "g.png")).shape == (2 * 14 - 2, 2 * 18 - 2, 3)
    shown = vocabula("info", priors / "spoken").out
    assert "3 classes, 2 values of speaker" in " ".join(shown.split())


def test_another_size(vocabula: Callable, priors: Path, tmp_path: Path) -> None:
    done = vocabula("sample", priors / "plain", "-n", 1, "--size", "8x20", "-o", "g.png")
    assert done.code == 0 and "trained on 16 x 12 pixels, never on 20 x 8" in done.err
    assert np.asarray(Image.open(tmp_path / "g.png")).shape == (8, 20, 3)


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    vocabula: Callable, priors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = samples.save_png
    left = [3]

    def stop(*args: Any, **options: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        save(*args, **options)

    words = ["sample", str(priors / "plain"), "-n", "5", "--batch-size", "1", "-o", "out"]
    with monkeypatch.context() as patch:
        patch.setattr(samples, "save_png", stop)
        patch.setattr(sys, "argv", ["vocabula", *words])
        done = vocabula(*words)
    assert done.code == 130
    assert done.err.startswith("interrupted: the 3 finished of 5 images are kept in out; go on ")
    command = done.err.strip().partition("with: vocabula ")[2].split()
    assert command == [*words, "--resume"]
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert vocabula(*command).code == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


def test_completions(vocabula: Callable, priors: Path, picture: Path, tmp_path: Path) -> None:
    words = ("complete", priors / "deep", picture)
    done = vocabula(*words, "--keep", "top:0.5", "-n", 2, "--seed", 3, "-o", "g.png", "--paste")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "drew 2 completions with seed 3: g.png"
    sheet = np.asarray(Image.open(tmp_path / "g.png"))
    assert sheet.shape == (12, 3 * 18 - 2, 3)
    assert np.array_equal(sheet[:6, 18:34], np.asarray(Image.open(picture))[:6])
    hole = np.zeros((12, 16), np.uint8)
    hole[4:8, 8:] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    done = vocabula(*words, "--mask", "hole.png", "--class", "two", "-o", "out")
    assert done.code == 0 and len(list((tmp_path / "out").iterdir())) == 4


Words = tuple[object, ...]
BAD_SAMPLES: dict[str, tuple[str, Words, str]] = {
    "nowhere": ("nowhere", (), "expected a trained prior, got no such folder"),
    "count": ("plain", ("-n", 0), "sample.n: expected an integer >= 1, got 0"),
    "temperature": ("plain", ("--temperature", 0), "sample.temperature: expected a number > 0"),
    "nan": ("plain", ("--temperature", "nan"), "sample.temperature: expected a number > 0"),
    "tiny": ("plain", ("--temperature", "1e-999"), "sample.temperature: expected a number > 0"),
    "top k": ("plain", ("--top-k", 0), "sample.top_k: expected a whole number >= 1"),
    "top p": ("plain", ("--top-p", 1.5), "sample.top_p: expected a number in (0, 1]"),
    "guidance": ("flat", ("--guidance", -1), "sample.guidance: expected a number >= 0"),
    "guidance alone": ("flat", ("--guidance", 2), "got no class or text; leave guidance at 1"),
    "guidance unlearned": (
        "transformer",
        ("--class", 0, "--guidance", 2),
        "got a prior trained with dropout=0",
    ),
    "seed": ("plain", ("--seed", -3), "sample.seed: expected an integer in [0, 2^63), got -3"),
    "no number": ("plain", ("--top-k", "many"), "should be a valid integer"),
    "class": ("flat", ("--class", "tow"), "got 'tow'; did you mean 'two'"),
    "index": ("flat", ("--class", "0,3"), "expected an index in [0, 3) or one of zero, one, two"),
    "no classes": ("plain", ("--class", 1), "this prior was trained without classes"),
    "all of none": ("plain", ("--class", "all"), "this prior was trained without classes"),
    "no attribute": ("flat", ("--set", "speaker=0"), "this prior was trained without speaker"),
    "all of no attribute": ("plain", ("--set", "speaker=all"), "trained without speaker"),
    "value": ("spoken", ("--set", "speaker=bem"), "got 'bem'; did you mean 'ben'"),
    "no setting": (
        "spoken",
        ("--set", "speaker"),
        "--condition: expected NAME=VALUE, such as speaker=3",
    ),
    "needs a class": ("transformer", (), "expected a class or a text, got none"),
    "no text": ("plain", ("--text", "one"), "this prior was trained without captions"),
    "empty text": ("flat", ("--text", ""), "text: expected words, got ''"),
    "long text": ("flat", ("--text", "one " * 9), "expected at most 8 tokens, got 9"),
    "unseen": ("flat", ("--text", "quick"), "characters of the training captions, got 'quck'"),
    "size words": ("plain", ("--size", "big"), "--size: expected HEIGHTxWIDTH in pixels"),
    "size": (
        "transformer",
        ("--class", 0, "--size", "16x16"),
        "size: expected 16 x 12 pixels, got 16 x 16, whose codes this TransformerPrior cannot",
    ),
    "resumed grid": ("plain", ("--resume",), "--resume: expected a folder of samples"),
    "compile": ("plain", ("--compile",), "--compile: expected a transformer, got a PixelCNN"),
    "device": ("plain", ("--device", "cuda:99"), "device: expected one that this machine has"),
}


@pytest.mark.parametrize(("prior", "words", "message"), BAD_SAMPLES.values(), ids=list(BAD_SAMPLES))
def test_bad_orders_get_one_line(
    prior: str, words: Words, message: str, vocabula: Callable, priors: Path, tmp_path: Path
) -> None:
    done = vocabula("sample", priors / prior, *words, "-o", "g.png")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
    assert done.err.startswith("error: ") and message in done.err
    assert not (tmp_path / "g.png").exists()


def test_pictures_other_than_png_are_not_taken_for_folders(
    vocabula: Callable, priors: Path, picture: Path
) -> None:
    for words in (("sample", priors / "plain"), ("complete", priors / "plain", picture)):
        keep = ("--keep", "top:.5") * (words[0] == "complete")
        done = vocabula(*words, *keep, "-n", 1, "-o", "g.JPG")
        assert (done.code, done.out) == (2, "") and not Path("g.JPG").exists()
        assert "--out: expected a folder or a name that ends in .png, got g.JPG" in done.err


def test_an_output_that_exists(vocabula: Callable, priors: Path, picture: Path) -> None:
    for place in (picture, picture.parent):
        done = vocabula("sample", priors / "plain", "-n", 1, "-o", place)
        assert done.code == 2 and "expected a new output, got an existing one" in done.err
    done = vocabula("sample", priors / "plain", "-n", 1, "-o", picture, "--overwrite")
    assert done.code == 0


BAD_COMPLETIONS: dict[str, tuple[str, Words, str]] = {
    "neither": ("plain", ("picture.png",), "or --mask, got neither; give one of them"),
    "both": ("plain", ("picture.png", "--keep", "top:.5", "--mask", "x.png"), "got both"),
    "part": ("plain", ("picture.png", "--keep", "half"), "--keep: expected top:F"),
    "too little": ("plain", ("picture.png", "--keep", "top:0.1"), "holds a whole code, 4 x 4"),
    "everything": ("plain", ("picture.png", "--keep", "box:0,0,16,12"), "got all pixels"),
    "no image": ("plain", ("no.png", "--keep", "top:.5"), "no.png: expected a picture, got noth"),
    "no picture": ("plain", ("text.png", "--keep", "top:.5"), "text.png: expected a picture"),
    "no mask": ("plain", ("picture.png", "--mask", "no.png"), "no.png: expected a picture"),
    "sizes": ("plain", ("picture.png", "small.png", "--keep", "top:.5"), "expected the size of"),
    "size": (
        "transformer",
        ("tall.png", "--keep", "top:.5", "--class", 0),
        "resize it to 16 x 12 pixels",
    ),
    "count": ("plain", ("picture.png", "--keep", "top:.5", "-n", 0), "sample.copies: expected"),
    "class": ("flat", ("picture.png", "--keep", "top:.5", "--class", "ten"), "got 'ten'"),
}


@pytest.mark.parametrize(
    ("prior", "words", "message"), BAD_COMPLETIONS.values(), ids=list(BAD_COMPLETIONS)
)
def test_bad_completions_get_one_line(
    prior: str, words: Words, message: str, vocabula: Callable, priors: Path, picture: Path
) -> None:
    Image.new("RGB", (8, 8)).save("small.png")
    Image.new("RGB", (16, 20)).save("tall.png")
    Path("text.png").write_text("no picture")
    done = vocabula("complete", priors / prior, *words, "-o", "g.png")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
    assert done.err.startswith("error: ") and message in done.err
    assert not Path("g.png").exists()
