"""``vocabula compress --entropy prior``: there and back, and one line for what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from priors.generators import make_generator, save_generator
from vocabula import codec
from vocabula.codec import prior as prior_module
from vocabula.codec.build import build_of

Vocabula = Callable[..., Any]


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders of tiny generators of one level and of two, of several kinds of priors."""
    root = tmp_path_factory.mktemp("priors")
    save_generator(root / "flat", make_generator("pixelcnn", channels=3, classes=3))
    save_generator(root / "deep", make_generator("pixelsnail", 2, channels=3))
    save_generator(root / "portable", make_generator("portable", channels=3))
    save_generator(root / "deep portable", make_generator("portable", 2, channels=3))
    save_generator(root / "transformer", make_generator("gpt2", channels=3))
    yield root


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three small colour pictures, one of another size."""
    paths = [tmp_path / f"{name}.png" for name in ("one", "two", "tall")]
    for seed, path in enumerate(paths):
        size = (20, 8, 3) if path.stem == "tall" else (12, 16, 3)
        values = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(values).save(path)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "entropy"),
    [
        ("flat", "prior"),
        ("deep", "prior"),
        ("portable", "portable"),
        ("deep portable", "portable"),
        ("portable", "prior"),
    ],
)
def test_there_and_back(
    name: str, entropy: str, vocabula: Vocabula, priors: Path, pictures: list[Path]
) -> None:
    run, words = priors / name / "tokenizer", ("--prior", priors / name)
    done = vocabula("compress", run, *pictures, "--entropy", entropy, *words, "-o", "all.vcb")
    assert (done.code, done.err) == (0, ""), done
    header, shown = codec.inspect("all.vcb").header, vocabula("inspect", "all.vcb")
    needed = f"{entropy} {header.models[0].hash.hex()}"
    assert needed in shown.out and needed in vocabula("info", priors / name).out
    assert bool(header.build) == (entropy == "prior")
    assert header.build == "" or f"torch {header.build}" in shown.out
    back = vocabula("decompress", run, "all.vcb", *words, "-o", "back")
    assert back.code == 0, back.err
    assert vocabula("compress", run, *pictures, "-o", "plain.vcb").code == 0
    assert vocabula("decompress", run, "plain.vcb", "-o", "back").code == 0
    for path in pictures:
        one, other = (np.asarray(Image.open(f"back/{n}/{path.name}")) for n in ("all", "plain"))
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.slow
def test_stages_of_a_portable_file_can_be_left_out(
    vocabula: Vocabula, priors: Path, pictures: list[Path]
) -> None:
    run, words = priors / "portable/tokenizer", ("--prior", priors / "portable")
    order = ("compress", run, pictures[0], "--entropy", "portable", *words)
    assert vocabula(*order, "-o", "whole.vcb").code == 0
    assert vocabula(*order, "--stages", "1", "-o", "one.vcb").code == 0
    for source, more in (("whole.vcb", ("--stages", "1")), ("one.vcb", ())):
        back = vocabula("decompress", run, source, *words, *more, "-o", f"{source}.png")
        assert (back.code, back.err) == (0, "")
    assert Path("whole.vcb.png").read_bytes() == Path("one.vcb.png").read_bytes()


def test_a_prior_that_fails_is_replaced_with_a_notice(
    vocabula: Vocabula, priors: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, words = priors / "flat/tokenizer", ("--prior", priors / "flat")
    with monkeypatch.context() as patch:
        patch.setattr(prior_module.PriorModel, "_checked", lambda *a: None)
        done = vocabula("compress", run, *pictures, "--entropy", "prior", *words, "-o", "small")
    assert done.code == 0 and done.err.startswith("warning: prior: expected the same codes back")
    assert done.err.count("\n") == 1
    back = vocabula("decompress", run, "small/one.vcb", "small/tall.vcb", *words, "-o", "back")
    assert (back.code, back.err) == (0, "")


def test_another_build_is_named(
    vocabula: Vocabula, priors: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, words = priors / "flat/tokenizer", ("--prior", priors / "flat")
    order = ("compress", run, pictures[0], "--entropy", "prior", *words)
    with monkeypatch.context() as patch:
        patch.setattr(prior_module, "build_of", lambda device: "1.2.3 SVE256")
        assert vocabula(*order).code == 0
    rows = prior_module._rows
    monkeypatch.setattr(prior_module, "_rows", lambda logits: rows(-logits))
    done = vocabula("decompress", run, "one.vcb", *words, "-o", "back.png")
    assert (done.code, done.err.count("\n")) == (2, 1) and not Path("back.png").exists()
    assert "ran on torch 1.2.3 SVE256, and this is torch" in done.err
    assert vocabula("inspect", "one.vcb").out.count("torch 1.2.3 SVE256") == 1
    assert str(build_of(prior_module.torch.device("cpu"))) in done.err


BAD: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no prior": ("flat/tokenizer", ("--entropy", "prior"), "(--prior PRIOR)"),
    "no entropy": (
        "flat/tokenizer",
        ("--prior", "flat"),
        "--entropy portable or prior with it",
    ),
    "no portable prior": ("flat/tokenizer", ("--entropy", "portable"), "--model portable wrote"),
    "another kind": (
        "flat/tokenizer",
        ("--entropy", "portable", "--prior", "flat"),
        "expected a trained portable prior for portable, got one of another kind",
    ),
    "other tokenizer": (
        "deep/tokenizer",
        ("--entropy", "prior", "--prior", "flat"),
        "flat: expected a prior of tokenizer",
    ),
    "nowhere": (
        "flat/tokenizer",
        ("--entropy", "prior", "--prior", "nowhere"),
        "expected a trained prior, got no such folder",
    ),
    "no folder of a prior": (
        "flat/tokenizer",
        ("--entropy", "prior", "--prior", "flat/tokenizer"),
        "expected a prior, got a tokenizer",
    ),
    "stages": (
        "flat/tokenizer",
        ("--entropy", "prior", "--prior", "flat", "--stages", "2"),
        "its codes come in one piece",
    ),
    "size": (
        "transformer/tokenizer",
        ("--entropy", "prior", "--prior", "transformer"),
        "tall.png: grid: expected (3, 4)",
    ),
    "no such model": (
        "flat/tokenizer",
        ("--entropy", "best"),
        "portable, prior, got 'best'",
    ),
}


@pytest.mark.parametrize(("run", "words", "message"), BAD.values(), ids=list(BAD))
def test_bad_orders_get_one_line(
    run: str,
    words: tuple[str, ...],
    message: str,
    vocabula: Vocabula,
    priors: Path,
    pictures: list[Path],
) -> None:
    given = [priors / w if w in ("flat", "transformer", "flat/tokenizer") else w for w in words]
    done = vocabula("compress", priors / run, *pictures, *given, "-o", "small")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
    assert done.err.startswith("error: ") and message in done.err
    assert not Path("small").exists()


def test_a_continuous_run_has_no_codes(
    vocabula: Vocabula, saved: Path, priors: Path, pictures: list[Path]
) -> None:
    words = ("--entropy", "prior", "--prior", priors / "flat")
    done = vocabula("compress", saved / "vae", pictures[0], *words)
    assert (done.code, done.err.count("\n")) == (2, 1) and "with a codebook" in done.err


def test_the_prior_that_is_needed_is_named(
    vocabula: Vocabula, priors: Path, pictures: list[Path]
) -> None:
    run, words = priors / "flat/tokenizer", ("--prior", priors / "flat")
    assert vocabula("compress", run, pictures[0], "--entropy", "prior", *words).code == 0
    needed = codec.inspect("one.vcb").header.models[0].hash.hex()
    done = vocabula("decompress", run, "one.vcb", "-o", "back.png")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"the prior entropy model {needed}, got none" in done.err and "--prior" in done.err


def test_a_prior_in_the_place_of_a_run(
    vocabula: Vocabula, priors: Path, pictures: list[Path]
) -> None:
    done = vocabula("compress", priors / "flat", pictures[0], "-o", "one.vcb")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"got a prior; give the run it was trained for, or {priors}" in done.err


def test_originals_are_not_offered_up(
    vocabula: Vocabula, priors: Path, pictures: list[Path]
) -> None:
    run = priors / "flat/tokenizer"
    assert vocabula("compress", run, pictures[0]).code == 0
    before = pictures[0].read_bytes()
    done = vocabula("decompress", run, pictures[0].with_suffix(".vcb"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "perhaps the original; name another place with -o" in done.err
    assert "--overwrite" not in done.err
    assert pictures[0].read_bytes() == before
