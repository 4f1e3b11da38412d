"""The report about a tokenizer on a source of signals: one HTML page without other files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula import registry
from vocabula.data import Source
from vocabula.errors import OptionError, plural
from vocabula.evaluation.alignment import Alignment
from vocabula.evaluation.measurement import evaluate
from vocabula.evaluation.metrics import METRICS
from vocabula.evaluation.result import Evaluation
from vocabula.evaluation.rival import Rival
from vocabula.evaluation.units import evaluate_units
from vocabula.files import check_new_file, new_file
from vocabula.files.run_files import read_manifest
from vocabula.reports.curves import training_curves
from vocabula.reports.page import render, settings_rows, versions
from vocabula.reports.plots import bars, ranked_usage
from vocabula.reports.units import units_section
from vocabula.reports.views import VIEWS
from vocabula.tokenizers import CodeLevel, SignalTokenizer

MOST_BOOKS = 4
MOST_DIMENSIONS = 256


def build_report(
    tokenizer: SignalTokenizer,
    source: Source,
    out: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    examples: int = 8,
    beside: Callable[[NDArray[np.uint8]], Rival] | None = None,
    alignment: Alignment | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a tokenizer and write a self-contained HTML page about it.

    The page shows the figures, some images beside their reconstructions with error and code maps,
    what each codeword decodes to, how often it is used (or the latent dimensions of a VAE), the
    training curves and the settings. It loads no other files.

    Args:
        tokenizer: the tokenizer.
        source: signals of the tokenizer's kind, with its number of channels.
        out: the file to write.
        run: folder with the run's ``run.json`` and ``log.jsonl``; None leaves these parts out.
        examples: how many signals are shown.
        beside: gives a picture (H, W, C) in another format at equal size; see
            `vocabula.benchmark.rate.jpeg_beside`.
        alignment: what is said in the recordings when; adds how codes and labels go together.
        batch_size: most signals of a batch; None takes the source's own.
        limit: evaluate the first `limit` signals only.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        overwrite: replace an existing file.
        progress: show a progress bar on a terminal.

    Returns:
        The figures on the page.

    Raises:
        DataError: no signal can be read, or the channels differ from the tokenizer's.
        OptionError: a number is out of range.
        OutputError: the file exists, its folder cannot be written or the disk is full.
    """
    if examples < 1:
        raise OptionError(f"examples: expected an integer >= 1, got {examples}")
    out = Path(out)
    check_new_file(out, overwrite=overwrite)
    reading: dict[str, Any] = {
        "batch_size": batch_size,
        "limit": limit,
        "workers": workers,
        "progress": progress,
    }
    result = evaluate(tokenizer, source, **reading)
    units = None
    if alignment is not None:
        units = evaluate_units(tokenizer, source, alignment, **reading)
    manifest = read_manifest(Path(run)) if run is not None else {}
    view = VIEWS.of(tokenizer.signal.kind)()
    sections = view.sections(
        tokenizer, source, result, examples=examples, beside=beside, progress=progress
    )
    context = {
        **_header(tokenizer, result, Path(run) if run is not None else out),
        "templates": view.templates,
        **sections,
        **_codebook(result),
        **view.codewords(tokenizer, result),
        **_dimensions(result),
        **units_section(units),
        **_settings(tokenizer, manifest),
        "curves": training_curves(Path(run) / "log.jsonl") if run is not None else [],
        "measured": result.signal.counted(result.count),
        "figures": result.rows(),
        "problems": source.problems,
    }
    page = render("tokenizer.html.jinja", context)
    with new_file(out, overwrite=overwrite) as draft:
        draft.write_text(page, encoding="utf-8")
    return result


def _header(tokenizer: SignalTokenizer, result: Evaluation, named: Path) -> dict[str, Any]:
    signal = tokenizer.signal
    levels = " and ".join(
        type(level.quantizer).__name__ + _position(level, signal.element or signal.unit)
        for level in tokenizer.levels
    )
    channels = plural(tokenizer.channels, "channel")
    measured = f"{signal.counted(result.count)} of {result.data}"
    subtitle = f"{levels} of {channels}; measured on {measured}"
    tiles = [asdict(tile) for tile in METRICS.of(signal.kind).tiles(result.fidelity)]
    if result.books:
        sizes = " + ".join(str(b.size) for b in result.books[:MOST_BOOKS])
        more = " + …" if len(result.books) > MOST_BOOKS else ""
        tiles += [
            {"label": f"code bits per {signal.unit}", "value": _rate(result.code_bits)},
            {"label": f"of {sizes}{more} codewords used", "value": f"{result.usage:.1%}"},
            {"label": "perplexity", "value": f"{result.perplexity:.1f}"},
        ]
    elif result.kl_per_dimension:
        dims = len(result.kl_per_dimension)
        kl = f"{sum(result.kl_per_dimension):.2f}"
        tiles += [
            {"label": f"active units of {dims}", "value": f"{result.active_units}"},
            {"label": "KL per position", "value": kl, "unit": "nats"},
        ]
    if result.bits_per_dim is not None:
        bits = f"{result.bits_per_dim:.3f}"
        tiles.append({"label": "total, lossless", "value": bits, "unit": "bits/dim"})
    title = named.resolve().name or "tokenizer"
    return {
        "title": title,
        "measured_on": result.data,
        "subtitle": subtitle,
        "tiles": [{"unit": "", **t} for t in tiles],
    }


def _rate(bits: float | None) -> str:
    """Bits per unit: of a pixel few, of a second many."""
    return "-" if bits is None else f"{bits:.3f}" if bits < 100 else f"{bits:,.0f}"


def _position(level: CodeLevel, unit: str) -> str:
    sides = " x ".join(level.sides)
    return f", one code position per {sides} {unit}s" if sides else ""


def _codebook(result: Evaluation) -> dict[str, Any]:
    shown = result.histograms[:MOST_BOOKS]  # the plot has that many colours
    if not shown:
        return {"books": []}
    books = [
        {
            "name": b.name,
            "size": b.size,
            "used": b.used,
            "usage": f"{b.usage:.1%}",
            "perplexity": f"{b.perplexity:.1f}",
            "largest_share": f"{b.largest_share:.2%}",
        }
        for b in result.books
    ]
    names, sizes = [b.name for b in result.books], [b.size for b in result.books]
    unused = any(b.used < b.size for b in result.books)
    return {
        "books": books,
        "usage_plot": ranked_usage([h.ranked()[1].tolist() for h in shown], names, sizes),
        "usage_note": "A dotted line marks the size of the book." if unused else "",
    }


def _dimensions(result: Evaluation) -> dict[str, Any]:
    if result.kl_per_dimension is None or result.variance_per_dimension is None:
        return {"dimensions": []}
    pairs = zip(result.kl_per_dimension, result.variance_per_dimension, strict=True)
    ranked = sorted(((kl, var, i) for i, (kl, var) in enumerate(pairs)), reverse=True)
    rows = [
        {"index": i, "kl": f"{kl:.4f}", "variance": f"{var:.4f}", "active": var > 0.01}
        for kl, var, i in ranked[:MOST_DIMENSIONS]
    ]
    return {
        "dimensions": rows,
        "dimensions_plot": bars(
            [kl for kl, _, _ in ranked], x_label="dimension, by KL", y_label="KL (nats)"
        ),
        "dimensions_note": f"{result.active_units} of {len(ranked)} dimensions are active: the "
        "variance over the data of their posterior mean exceeds 0.01. A dimension that is not "
        "repeats the prior whatever the image: its posterior has collapsed.",
    }


def _settings(tokenizer: SignalTokenizer, manifest: Mapping[str, Any]) -> dict[str, Any]:
    config = manifest.get("config")
    settings = config if isinstance(config, dict) else registry.spec(tokenizer)
    return {
        "settings": settings_rows(settings),
        "command": str(manifest.get("command", "")),
        "versions": versions(manifest, tokenizer.fingerprint()),
    }
