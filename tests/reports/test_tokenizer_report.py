"""The report: complete, self-contained, for every kind of tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vocabula.data import ArraySource, open_source
from vocabula.errors import OptionError, OutputError
from vocabula.evaluation.rival import Rival
from vocabula.reports import build_report
from vocabula.reports.curves import training_curves
from vocabula.reports.page import tile_columns
from vocabula.tokenizers import Tokenizer

Make = Callable[..., Tokenizer]

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Page(HTMLParser):
    """Collects addresses, sections and images, and checks that tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.sections: list[str] = []
        self.images = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag == "section":
            self.sections.append(values["id"] or "")
        self.images += tag == "img"
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _run(folder: Path) -> Path:
    folder.mkdir()
    manifest = {
        "format": "vocabula-run",
        "version": "0.0.1",
        "command": "vocabula train <pictures> --out run",
        "config": {"training": {"steps": 20}, "quantizer": {"name": "vector", "dim": 8}},
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    lines = [
        {"step": s, "loss": 1 / s, "psnr": 20 + s, "perplexity": s, "window_perplexity": s,
         "usage": s / 20, "lr": 1e-3, "losses": {"commitment": 0.1, "reconstruction": None}}
        for s in (5, 10, 15, 20)
    ]  # fmt: skip
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 25, "lo')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantizer", "sections"),
    [
        ("vector", ["codebook"]),
        ("residual", ["codebook"]),
        ("levels", ["levels", "codebook"]),
        ("lfq18", ["codebook"]),
        ("vae", ["dimensions"]),
    ],
)
def test_page_is_complete_and_self_contained(
    make_tokenizer: Make, tmp_path: Path, quantizer: str, sections: list[str]
) -> None:
    tokenizer = make_tokenizer(quantizer)
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 12, 3), dtype=np.uint8)
    out = tmp_path / "page.html"
    run = _run(tmp_path / "run")
    if quantizer != "vector":  # curves of the same log would be the same
        (run / "log.jsonl").unlink()
    build_report(tokenizer, ArraySource(images), out, run=run, examples=3)
    text = out.read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    wanted = ["reconstructions", *sections, "training", "figures", "settings"]
    assert page.sections == wanted
    assert page.addresses
    assert all(a.startswith(("data:image/", "#")) for a in page.addresses)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert not re.search(r"@import|url\((?!#)|<script [^>]*src|<link|import\(|fetch\(", text)
    assert "vocabula train &lt;pictures&gt;" in text  # escaped
    # the codebook's or the dimensions' plot, and six curves of a log
    assert text.count("<svg") == (7 if quantizer == "vector" else 1)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split()


def test_the_title_names_run_data_and_date(make_tokenizer: Make, tmp_path: Path) -> None:
    images = np.zeros((1, 16, 16, 3), np.uint8)
    source = ArraySource(images, name="blank & white")
    build_report(make_tokenizer(), source, tmp_path / "p.html", run=_run(tmp_path / "first"))
    text = (tmp_path / "p.html").read_text()
    today = date.today().isoformat()
    assert f"<title>first on blank &amp; white, {today} · vocabula report</title>" in text
    assert "measured on 1 image of" in text


@pytest.mark.parametrize(("tiles", "columns"), [(1, 1), (5, 5), (6, 6), (7, 4), (12, 6), (13, 5)])
def test_no_tile_stands_alone_in_its_row(tiles: int, columns: int) -> None:
    assert tile_columns(tiles) == columns
    assert tiles == 1 or (tiles - 1) % columns + 1 > 1


def test_the_slider_has_one_original_and_one_reconstruction(
    make_tokenizer: Make, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    build_report(make_tokenizer(), ArraySource(images), tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    for part in ("original", "reconstruction"):
        assert text.count(f'data-part="{part}"') == 2


def test_another_format_stands_beside_the_reconstruction(
    make_tokenizer: Make, tmp_path: Path
) -> None:
    images = np.full((1, 16, 16, 3), 100, np.uint8)
    build_report(
        make_tokenizer(),
        ArraySource(images),
        tmp_path / "p.html",
        beside=lambda pixels: Rival("FMT", pixels + np.uint8(51), bytes=90, own_bytes=80),
    )
    text = (tmp_path / "p.html").read_text()
    assert "reconstruction, 80 bytes as a file" in text
    # by hand: an error of 51 / 255 everywhere is 10 log10(25) dB
    assert "smallest FMT, 90 bytes, PSNR 13.98 dB" in text


def test_code_maps_and_gallery_count(make_tokenizer: Make, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    build_report(make_tokenizer("residual"), ArraySource(images), tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    # each example: original, reconstruction, error and a code map of each of the two books
    assert text.count("pictures") and text.count("codes of book 2, 4 x 4") == 2 * 2
    assert text.count("<details") >= 2
    assert "No training log was found" in text


def test_every_level_has_code_maps_a_gallery_and_an_ablation(
    make_tokenizer: Make, tmp_path: Path
) -> None:
    tokenizer = make_tokenizer("levels")
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    result = build_report(tokenizer, ArraySource(images), tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    for caption in (
        "codes of level 1, book 1, 2 x 2",
        "codes of level 1, book 2, 2 x 2",
        "codes of level 2, 4 x 4",
        "without level 1, PSNR",
        "without level 2, PSNR",
    ):
        assert text.count(caption) == 2 * 2  # an alternative text and a caption for each example
    assert text.count("most used of") == 3
    assert all(f"<summary>{name}: the" in text for name in ("Level 1, book 1", "Level 2"))
    table = text[text.index('id="levels"') : text.index('id="codebook"')]
    for level in result.levels:
        assert f"<td>{level.name}</td>" in table and f"{level.code_bits:.4f}" in table
    # by hand: 7 bits for 8 x 8 pixels, 4 bits for 4 x 4
    assert "0.1094" in table and "0.2500" in table


@pytest.mark.slow
def test_large_pictures_are_scaled_down(make_tokenizer: Make, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 700, 900, 3), dtype=np.uint8)
    build_report(make_tokenizer(), ArraySource(image), tmp_path / "p.html")
    assert "900 x 700 px" in (tmp_path / "p.html").read_text()
    assert (tmp_path / "p.html").stat().st_size < 2_000_000


@pytest.mark.filterwarnings("ignore:.*broken.png")
def test_skipped_files_are_listed(make_tokenizer: Make, pictures: Path, tmp_path: Path) -> None:
    build_report(make_tokenizer(), open_source(pictures), tmp_path / "p.html")
    assert "cats/broken.png" in (tmp_path / "p.html").read_text()


def test_existing_page_stays(make_tokenizer: Make, tmp_path: Path) -> None:
    source = ArraySource(np.zeros((2, 8, 8, 3), np.uint8))
    out = tmp_path / "page.html"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        build_report(make_tokenizer(), source, out)
    with pytest.raises(OptionError, match="examples"):
        build_report(make_tokenizer(), source, out, examples=0, overwrite=True)
    assert out.read_text() == "mine"
    build_report(make_tokenizer(), source, out, overwrite=True)
    assert out.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.slow
def test_curves_of_a_log(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    curves = training_curves(run / "log.jsonl")
    assert [c.title.split()[0] for c in curves] == [
        "Loss", "Loss", "PSNR", "Perplexity", "Usage", "Learning",
    ]  # fmt: skip
    assert all(c.svg.startswith("<svg") and c.svg.rstrip().endswith("</svg>") for c in curves)
    assert all("currentColor" in c.svg and "#0102" not in c.svg for c in curves)
    assert training_curves(tmp_path / "none.jsonl") == []
