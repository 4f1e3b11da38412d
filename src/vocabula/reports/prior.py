"""The report of a prior: what it draws, whether it copies, and how well it predicts codes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocabula.data import read_tokens
from vocabula.data.code_batches import read_codes
from vocabula.data.png import grid
from vocabula.errors import CheckpointError, picture_size, plural
from vocabula.evaluation.batches import counted
from vocabula.evaluation.code_nats import CodeNats, CountedNats, count_nats, measure_codes
from vocabula.evaluation.nearest import nearest_by_codes, nearest_by_pixels
from vocabula.files import check_new_file, new_file
from vocabula.files.run_files import read_manifest
from vocabula.priors import Generator, Samples, level_folder
from vocabula.priors.data import PriorData, Sources, read_prior_data
from vocabula.priors.text import TextTokenizer
from vocabula.reports.curves import training_curves
from vocabula.reports.page import render, settings_rows, versions
from vocabula.reports.pictures import data_uri, heat, shrink, to_array
from vocabula.reports.plots import bars

MOST_ROWS = 10
"""Values of an attribute or captions that get a row of samples."""
MOST_COMPARED = 16
"""Samples that are shown beside their nearest training images."""
MOST_DECODED = 10_000
"""Training images that samples are compared with by pixels at most."""
_MOST_VALUES = 2**27
_SIDE = 256


@dataclass(frozen=True, slots=True)
class LevelNats:
    """How well one level's codes are predicted, by its prior and by counting."""

    prior: CodeNats
    without_condition: float | None
    counted: CountedNats


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
        samples: images to draw, at least one for each row shown.
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
    rows, drawn = _draw(generator, data, samples, seed, batch_size, show=progress)
    copies = _copies(generator, data, drawn, batch_size)
    figures = {"levels": [_figures(level) for level in levels], **copies.figures}
    context = {
        **_header(folder, generator, data, levels, copies.figures),
        "rows": rows,
        "samples_note": f"Drawn with seed {seed}, temperature 1 and no guidance.",
        "comparisons": copies.pictures,
        "copies_note": copies.note,
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
        )

    if tokens is None:
        return read(manifest["data"], said["held_out"])
    file = read_tokens(tokens, fingerprint=generator.tokenizer.fingerprint())
    if read_codes(file).digest().startswith(manifest["codes"]):
        return read(tokens, said["held_out"])
    return read(manifest["data"], tokens)


def _measure(generator: Generator, data: PriorData, batch_size: int) -> LevelNats:
    prior = generator.priors[data.fitted.level]
    known = prior.conditioning
    withheld = None
    if known.withholdable and known.dropout:
        found = measure_codes(prior, data.held_out, batch_size=batch_size, withheld=True)
        withheld = found.nats_per_token
    return LevelNats(
        measure_codes(prior, data.held_out, batch_size=batch_size),
        withheld,
        count_nats(data.fitted, data.held_out),
    )


def _figures(level: LevelNats) -> dict[str, Any]:
    nats, counted = level.prior, level.counted
    return {
        "nats_per_token": nats.nats_per_token,
        "nats_per_token_without_condition": level.without_condition,
        "bits_per_dim": nats.bits_per_dim,
        **asdict(counted),
    }


# --------------------------------------------------------------------- samples


def _draw(
    generator: Generator, data: PriorData, count: int, seed: int, batch_size: int, *, show: bool
) -> tuple[list[dict[str, str]], Samples]:
    """Rows of pictures, one for each value or caption, and the samples in them."""
    names, attributes, texts = _conditions(generator, data)
    columns = max(1, -(-count // len(names)))
    total = columns * len(names)
    each = [i for i in range(len(names)) for _ in range(columns)]
    positions = generator.positions(generator.image_size) * -(-total // batch_size)
    with counted("sampling", positions, show=show) as advance:
        drawn = generator.sample(
            total,
            attributes={name: [own[i] for i in each] for name, own in attributes.items()},
            text=None if texts is None else [texts[i] for i in each],
            seed=seed,
            batch_size=batch_size,
            progress=lambda done, of: advance(1),
        )
    pixels = np.stack([to_array(image) for image in drawn.images])
    rows = []
    for i, name in enumerate(names):
        sheet = grid(pixels[i * columns : (i + 1) * columns], None if len(names) == 1 else columns)
        rows.append({"name": name, "uri": data_uri(sheet)})
    return rows, drawn


def _conditions(
    generator: Generator, data: PriorData
) -> tuple[list[str], dict[str, list[int]], list[str] | None]:
    """The name of each row of samples, and its requested attributes or text."""
    captions, text = data.held_out.captions, generator.priors[0].text_tokenizer
    if captions is not None and text is not None:
        used = captions.rows[captions.first]
        different = captions.tokens[used.unique()]
        words = [w for w in dict.fromkeys(text.decode(different)) if w and "[UNK]" not in w]
        if words:
            return words[:MOST_ROWS], {}, words[:MOST_ROWS]
    for attribute, count in generator.conditioning.values.items():  # the class, if there is one
        rows = list(range(min(count, MOST_ROWS)))
        return [generator.value_name(attribute, i) for i in rows], {attribute: rows}, None
    return ["drawn from all"], {}, None


# --------------------------------------------------------------- memorization


@dataclass(frozen=True, slots=True)
class Copies:
    """Whether samples are copies of training images.

    Attributes:
        figures: distances by name.
        note: what they mean.
        pictures: some samples beside their nearest training images.
    """

    figures: dict[str, float]
    note: str
    pictures: list[dict[str, str]]


def _copies(generator: Generator, data: PriorData, drawn: Samples, batch_size: int) -> Copies:
    arrays = data.fitted.arrays
    levels = range(len(arrays.levels))
    training = [torch.from_numpy(arrays.levels[k].astype(np.int32)) for k in levels]
    own = nearest_by_codes([codes.cpu() for codes in drawn.levels], training)
    places = np.arange(min(len(data.held_out), len(drawn.images)))
    other = nearest_by_codes([data.held_out.arrays.codes(k, places) for k in levels], training)
    decoded = _decoded_places(len(arrays), drawn.images[0].numel())
    reconstructions = _decode(generator, data, decoded, batch_size)
    by_pixels = nearest_by_pixels(drawn.images.cpu(), reconstructions)
    figures = {
        "code_distance": float(own.distances.median()),
        "code_distance_held_out": float(other.distances.median()),
        "copies": float((own.distances == 0).double().mean()),
        "copies_held_out": float((other.distances == 0).double().mean()),
    }
    note = (
        f"The nearest of {len(arrays)} training images by codes, and the nearest of "
        f"{len(decoded)} by pixels, all as the tokenizer decodes them. Half of the samples differ "
        f"from their nearest training image in at least {figures['code_distance']:.0%} of the "
        f"codes; for held-out images it is {figures['code_distance_held_out']:.0%}. "
        f"{figures['copies']:.1%} of the samples have the very codes of a training image; "
        f"{figures['copies_held_out']:.1%} of the held-out images do. Samples that are much nearer "
        "to the training images than held-out images are would be copies."
    )
    shown = np.unique(np.linspace(0, len(drawn.images) - 1, MOST_COMPARED).round().astype(int))
    codes_places = own.indices[shown].numpy()
    code_images = _decode(generator, data, codes_places, batch_size)
    pictures = [
        _comparison(
            drawn.images[i],
            (code_images[k], float(own.distances[i])),
            (reconstructions[by_pixels.indices[i]], float(by_pixels.distances[i])),
        )
        for k, i in enumerate(shown.tolist())
    ]
    return Copies(figures, note, pictures)


def _decoded_places(count: int, values: int) -> np.ndarray:
    most = max(1, min(count, MOST_DECODED, _MOST_VALUES // values))
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


@torch.no_grad()
def _decode(generator: Generator, data: PriorData, places: np.ndarray, batch_size: int) -> Tensor:
    """Some training images (n, C, H, W), decoded from their codes."""
    arrays = data.fitted.arrays
    parts = []
    for first in range(0, len(places), batch_size):
        part = places[first : first + batch_size]
        codes = [arrays.codes(k, part).to(generator.device) for k in range(len(arrays.levels))]
        parts.append(generator.tokenizer.decode(codes, size=generator.image_size).cpu())
    return torch.cat(parts)


def _comparison(
    sample: Tensor, by_codes: tuple[Tensor, float], by_pixels: tuple[Tensor, float]
) -> dict[str, str]:
    return {
        "sample": _uri(sample),
        "by_codes": _uri(by_codes[0]),
        "codes_caption": f"by codes, {by_codes[1]:.0%} differ",
        "by_pixels": _uri(by_pixels[0]),
        "pixels_caption": f"by pixels, RMSE {by_pixels[1]:.3f}",
    }


def _uri(image: Tensor) -> str:
    return data_uri(shrink(to_array(image), _SIDE))


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
    bits = sum(level.prior.bits_per_dim for level in levels)
    tiles = []
    for k, level in enumerate(levels):
        nats, counted = level.prior.nats_per_token, level.counted
        of = f", level {k + 1}" if len(levels) > 1 else ""
        tiles.append({"label": f"per token, held out{of}", "value": f"{nats:.3f}", "unit": "nats"})
        below = f"{1 - nats / counted.order0:.1%}"
        tiles.append({"label": f"below order 0{of}", "value": below, "unit": ""})
        below = f"{1 - nats / counted.neighbours:.1%}"
        tiles.append({"label": f"below the neighbour model{of}", "value": below, "unit": ""})
    tiles += [
        {"label": "codes, all levels", "value": f"{bits:.4f}", "unit": "bits/dim"},
        {"label": "samples that are copies", "value": f"{copies['copies']:.1%}", "unit": ""},
        {"label": "parameters", "value": f"{parameters:,}", "unit": ""},
    ]
    return {
        "title": folder.resolve().name or "prior",
        "measured_on": data.held_out.arrays.name,
        "subtitle": f"{type(prior).__name__} over codes on {grids} positions; learned from "
        f"{plural(len(data.fitted), 'signal')} of {data.fitted.arrays.name}, measured on "
        f"{len(data.held_out)} held-out ones",
        "tiles": tiles,
    }


def _level_context(number: int, level: LevelNats, levels: Sequence[LevelNats]) -> dict[str, Any]:
    nats, counted = level.prior, level.counted
    reference = nats.nats_per_token
    models = [
        ("uniform, ln K", counted.uniform),
        ("order 0: the code's frequency", counted.order0),
        ("order 1: given the left neighbour", counted.left),
        ("given the left and the upper neighbour", counted.left_and_above),
        ("the prior, class and text withheld", level.without_condition),
        ("the prior", reference),
    ]
    flat = nats.by_position.flatten()
    picture = ""
    if nats.by_position.ndim == 2:
        low, high = float(flat.min()), float(flat.max())
        scaled = (nats.by_position.numpy() - low) / max(high - low, 1e-9)
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
        "positions": bars(flat.tolist(), x_label="position, row by row", y_label="nats per token"),
        "heat": picture,
        "heat_note": f"black {float(flat.min()):.2f}, white {float(flat.max()):.2f} nats",
        "books": bars(nats.by_book.tolist(), x_label="book", y_label="nats per token")
        if several
        else "",
    }
