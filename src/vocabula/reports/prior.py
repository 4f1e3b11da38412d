"""The report of a prior: what it draws, whether it copies, and how well it predicts codes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vocabula.data import read_tokens
from vocabula.data.code_arrays import read_codes
from vocabula.errors import CheckpointError, picture_size, plural
from vocabula.evaluation.code_nats import (
    CodeNats,
    CountedNats,
    count_by_book,
    count_nats,
    measure_codes,
)
from vocabula.evaluation.counting import counted
from vocabula.files import check_new_file, new_file
from vocabula.files.run_files import read_manifest
from vocabula.priors import Generator, level_folder
from vocabula.priors.data import PriorData, read_prior_data
from vocabula.priors.sources import Sources
from vocabula.priors.text import TextTokenizer
from vocabula.reports.copies import find_copies
from vocabula.reports.curves import training_curves
from vocabula.reports.page import render, settings_rows, versions
from vocabula.reports.pictures import data_uri, heat
from vocabula.reports.plots import bars
from vocabula.reports.samples import DrawnRows, draw_rows
from vocabula.reports.views import VIEWS
from vocabula.signals import Signal


@dataclass(frozen=True, slots=True)
class LevelNats:
    """How well one level's codes are predicted, by its prior and by counting.

    Attributes:
        prior: by the prior.
        without_condition: nats per code of the prior, class and text withheld; None where it never
            learned that.
        counted: by counting.
        by_book: nats per code of each book by its frequency, and given the book before; None on a
            grid of more than one position.
    """

    prior: CodeNats
    without_condition: float | None
    counted: CountedNats
    by_book: tuple[list[float], list[float]] | None


def build_prior_report(
    generator: Generator,
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tokens: str | os.PathLike[str] | None = None,
    samples: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Draw from a trained prior, measure it and write a self-contained HTML page about it.

    Args:
        generator: the priors and their tokenizer, on any device; see `load_generator`.
        folder: where `train_prior` wrote them, with ``run.json`` and the logs.
        out: the file to write.
        tokens: codes to measure on; the training codes, or None, measure on the held-out share.
        samples: signals to draw, at least one for each row shown.
        seed: of the draws.
        batch_size: most signals of a batch.
        overwrite: replace an existing file.
        progress: show progress bars on a terminal while measuring and drawing.

    Returns:
        The figures on the page.

    Raises:
        CheckpointError: the folder is not what `train_prior` wrote.
        TokensError, DataError: codes or captions are missing, damaged or do not fit.
        OutputError: the file exists or cannot be written.
    """
    folder, out = Path(folder), Path(out)
    check_new_file(out, overwrite=overwrite)
    manifest = _manifest(folder)
    data = _data(generator, manifest, tokens)
    several = range(len(generator.priors))
    with counted("measuring", len(several), show=progress) as advance:
        levels = []
        for k in several:
            levels.append(_measure(generator, data.of_level(k), batch_size))
            advance(1)
    view = VIEWS.of(generator.tokenizer.signal.kind)()
    shown = data.corners(generator.extent)  # as large as samples
    drawn = draw_rows(generator, shown, samples, seed, batch_size, show=progress)
    copies = find_copies(generator, shown, drawn, batch_size, nearness=view.nearness)
    figures = {"levels": [_figures(level) for level in levels], **copies.figures}
    context = {
        **_header(folder, generator, data, levels, copies.figures),
        "samples_note": f"Drawn with seed {seed}, temperature 1 and no guidance."
        + _lengths_in_words(drawn, data),
        "copies_note": copies.note,
        "sample_templates": view.sample_templates,
        **view.samples(drawn, copies.compared),
        "signals": generator.tokenizer.signal.plural,
        "levels": [_level_context(k, level, levels) for k, level in enumerate(levels)],
        "curves": [
            curve
            for k in range(len(levels))
            for curve in training_curves(level_folder(folder, k, len(levels)) / "log.jsonl")
        ],
        "settings": settings_rows(manifest["config"]),
        "command": str(manifest.get("command", "")),
        "versions": versions(manifest, generator.tokenizer.fingerprint()),
    }
    with new_file(out, overwrite=overwrite) as draft:
        draft.write_text(render("prior.html.jinja", context), encoding="utf-8")
    return figures


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if not {"config", "data", "sources", "codes"} <= manifest.keys():
        raise CheckpointError(
            f"{folder / 'run.json'}: expected what vocabula train-prior wrote, got no such file; "
            "copy the whole folder"
        )
    return manifest


def _data(
    generator: Generator, manifest: Mapping[str, Any], tokens: str | os.PathLike[str] | None
) -> PriorData:
    """The prior's training and held-out data, as in its training."""
    said, config = manifest["sources"], manifest["config"]
    known = generator.conditioning
    text: TextTokenizer | None = generator.priors[0].text_tokenizer
    held_out = {k: v for k, v in config["held_out"].items() if k in ("share", "most")}

    def read(training: str | os.PathLike[str], other: str | os.PathLike[str] | None) -> PriorData:
        sources = Sources(
            training, said["captions"], said["caption_column"], other, said["classes"]
        )
        return read_prior_data(
            generator.tokenizer,
            sources,
            **held_out,
            seed=config["training"].get("seed", 0),
            text_length=known.text_length or None,
            text=text,
            context=config.get("context", {}).get("positions"),
            reach=generator.priors[0].surround(config["prior"]),
            whole=generator.priors[0].any_grid,
        )

    if tokens is None:
        return read(manifest["data"], said["held_out"])
    file = read_tokens(tokens, fingerprint=generator.tokenizer.code_names())
    if read_codes(file).digest().startswith(manifest["codes"]):
        return read(tokens, said["held_out"])
    return read(manifest["data"], tokens)


def _lengths_in_words(drawn: DrawnRows, data: PriorData) -> str:
    """How long samples and training signals are, where that differs."""
    if drawn.samples.lengths is None:
        return ""
    samples = _span(np.array([x.shape[-1] for x in drawn.signals]), drawn.signal)
    training = _span(data.fitted.arrays.extents[:, 0], drawn.signal)
    return f" They last {samples}; training {drawn.signal.plural} {training}."


def _span(lengths: np.ndarray, signal: Signal) -> str:
    """The least, the largest and the median of lengths in words."""
    found = (lengths.min(), lengths.max(), np.median(lengths))
    least, most, half = (f"{signal.units((int(n),)):.2f}" for n in found)
    return f"{least} to {most} {signal.unit}s, half of them at most {half}"


def _measure(generator: Generator, data: PriorData, batch_size: int) -> LevelNats:
    prior = generator.priors[data.fitted.level]
    known = prior.conditioning
    withheld = None
    if known.withholdable and known.dropout:
        found = measure_codes(prior, data.held_out, batch_size=batch_size, withheld=True)
        withheld = found.nats_per_token
    by_book = None
    if prior.codes.grid == (1,) and len(prior.codes.codebook_sizes) > 1:
        by_book = (
            count_by_book(data.fitted, data.held_out, 0),
            count_by_book(data.fitted, data.held_out, 1),
        )
    return LevelNats(
        measure_codes(prior, data.held_out, batch_size=batch_size),
        withheld,
        count_nats(data.fitted, data.held_out),
        by_book,
    )


def _figures(level: LevelNats) -> dict[str, Any]:
    nats, counted = level.prior, level.counted
    return {
        "nats_per_token": nats.nats_per_token,
        "nats_per_token_without_condition": level.without_condition,
        "bits_per_dim": nats.bits_per_dim,
        **asdict(counted),
    }


# ------------------------------------------------------------------- the page


def _header(
    folder: Path,
    generator: Generator,
    data: PriorData,
    levels: Sequence[LevelNats],
    copies: Mapping[str, float],
) -> dict[str, Any]:
    prior = generator.priors[0]
    parameters = sum(p.numel() for own in generator.priors for p in own.parameters())
    grids = " and ".join(picture_size(*own.codes.grid) for own in generator.priors)
    over = plural(grids, "position")
    bits = sum(level.prior.bits_per_dim for level in levels)
    tiles = []
    for k, level in enumerate(levels):
        nats, counted = level.prior.nats_per_token, level.counted
        of = f", level {k + 1}" if len(levels) > 1 else ""
        tiles.append({"label": f"per token, held out{of}", "value": f"{nats:.3f}", "unit": "nats"})
        below = f"{1 - nats / counted.order0:.1%}"
        tiles.append({"label": f"below order 0{of}", "value": below, "unit": ""})
        below = f"{1 - nats / counted.neighbours:.1%}"
        model = "the neighbour model" if generator.tokenizer.strides else "counts given a book"
        tiles.append({"label": f"below {model}{of}", "value": below, "unit": ""})
    tiles += [
        {"label": "codes, all levels", "value": f"{bits:.4f}", "unit": "bits/dim"},
        {"label": "samples that are copies", "value": f"{copies['copies']:.1%}", "unit": ""},
        {"label": "parameters", "value": f"{parameters:,}", "unit": ""},
    ]
    return {
        "title": folder.resolve().name or "prior",
        "measured_on": data.held_out.arrays.name,
        "subtitle": f"{type(prior).__name__} over codes on {over}; learned from "
        f"{plural(len(data.fitted), 'signal')} of {data.fitted.arrays.name}, measured on "
        f"{len(data.held_out)} held-out ones",
        "tiles": tiles,
    }


def _level_context(number: int, level: LevelNats, levels: Sequence[LevelNats]) -> dict[str, Any]:
    nats, counted = level.prior, level.counted
    reference = nats.nats_per_token
    alone = tuple(nats.by_position.shape) == (1,)
    models = [
        ("uniform, ln K", counted.uniform),
        ("order 0: the code's frequency", counted.order0),
        (f"order 1: given the {'book before' if alone else 'left neighbour'}", counted.left),
        ("given the left and the upper neighbour", counted.left_and_above),
        ("the prior, class and text withheld", level.without_condition),
        ("the prior", reference),
    ]
    flat = nats.by_position.flatten()
    flat = flat[~flat.isnan()]  # positions that no held-out signal reaches
    picture = ""
    if nats.by_position.ndim == 2:
        low, high = float(flat.min()), float(flat.max())
        reached = nats.by_position.nan_to_num(low).numpy()
        scaled = (reached - low) / max(high - low, 1e-9)
        picture = data_uri(heat(scaled))
    several = len(nats.by_book) > 1
    return {
        "title": f"Level {number + 1}" if len(levels) > 1 else "",
        "rows": [
            {"name": name, "nats": f"{value:.4f}", "saved": f"{1 - reference / value:.1%}"}
            for name, value in models
            if value is not None
        ],
        "bits": f"{nats.bits_per_dim:.4f}",
        "signals": nats.signals,
        "positions": ""
        if alone
        else bars(flat.tolist(), x_label="position, row by row", y_label="nats per token"),
        "heat": picture,
        "heat_note": f"black {float(flat.min()):.2f}, white {float(flat.max()):.2f} nats",
        "books": bars(nats.by_book.tolist(), x_label="book", y_label="nats per token")
        if several
        else "",
        "by_book": _book_rows(level),
    }


def _book_rows(level: LevelNats) -> list[list[str]]:
    """The book, its nats by frequency, given the book before, and by the prior; perhaps none."""
    if level.by_book is None:
        return []
    columns = (*level.by_book, level.prior.by_book.tolist())
    each = enumerate(zip(*columns, strict=True), start=1)
    return [[str(book), *(f"{nats:.4f}" for nats in row)] for book, row in each]
