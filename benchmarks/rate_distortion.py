"""Whole files of tokenizers with a rate term beside JPEG and WebP, each gain alone.

    python benchmarks/rate_distortion.py DATA --rows "NAME=RUN,effort=1,prior=PRIOR" [...]

DATA are pictures that no run was trained on. A row is a run, perhaps with an effort, a portable
prior, or ``correction=0``, which takes the decoder's corrections out. Each picture is compressed at
several qualities to a file of its own, which is read back. Means of bits a pixel and PSNR give a
curve, as they do for JPEG and WebP, and the table has each curve at RATES. The table of efforts is
written by ``--name rate-effort --no-rivals --qualities 20 50 80``.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import row, write_result
from numpy.typing import NDArray
from torch import nn

from vocabula import codec, load, open_source
from vocabula.benchmark.rate.bjontegaard import bd_rate
from vocabula.benchmark.rate.matching import fidelity, on_curve
from vocabula.benchmark.rate.picture_codecs import JPEG, WEBP, PictureCodec
from vocabula.codec.choice import choose_model, offered_models
from vocabula.codec.known_models import statistics_of
from vocabula.codec.models import EntropyModel
from vocabula.codec.stages import tokenizer_header
from vocabula.codec.writer import write_signals
from vocabula.nn.lapped import Correction
from vocabula.pipelines.rate_search import Spending, encode_spending
from vocabula.tokenizers import SignalTokenizer

RATES = (0.10, 0.17, 0.25, 0.40, 0.50)
QUALITIES = (5, 20, 35, 50, 65, 80, 92)
Pixels = NDArray[np.uint8]


def pictures(data: str) -> list[Pixels]:
    """All pictures, (H, W, 3) each."""
    found: list[Pixels] = []
    for batch in open_source(data).batches(batch_size=1):
        values = batch.values[0]
        values = values if values.dtype == torch.uint8 else (values * 255).round().byte()
        found.append(values.permute(1, 2, 0).contiguous().numpy())
    return found


def point(sizes: list[int], images: list[Pixels], outputs: list[Pixels]) -> dict[str, float]:
    """Mean bits a pixel and PSNR of files."""
    rates = [8 * size / (i.shape[0] * i.shape[1]) for size, i in zip(sizes, images, strict=True)]
    close = [fidelity(o, i) for o, i in zip(outputs, images, strict=True)]
    return {
        "bits_per_pixel": round(statistics.fmean(rates), 4),
        "psnr_db": round(statistics.fmean(one.psnr_db for one in close), 3),
        "ssim": round(statistics.fmean(one.ssim for one in close), 4),
    }


def rival(of: PictureCodec, images: list[Pixels]) -> list[dict[str, float]]:
    """The curve of a picture format."""
    found = []
    for quality in of.qualities:
        files = [of.encode(image, quality) for image in images]
        outputs = [of.decode(content, 3) for content in files]
        found.append(point([len(content) for content in files], images, outputs))
        if found[-1]["bits_per_pixel"] > RATES[-1]:
            break
    return found


def own(
    tokenizer: SignalTokenizer,
    model: EntropyModel,
    effort: int,
    images: list[Pixels],
    qualities: Sequence[int] = QUALITIES,
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The curve of a tokenizer's files, and the CPU seconds of a picture at quality 50."""
    found, seconds = [], {"encode": 0.0, "decode": 0.0}
    header = tokenizer_header(tokenizer, model, stages=None)
    for quality in qualities:
        sizes, outputs = [], []
        for image in images:
            x = torch.from_numpy(image).permute(2, 0, 1)[None]
            file, begun = io.BytesIO(), time.process_time()
            signals = encode_spending(tokenizer, x, Spending(quality, effort), model=model)
            sizes.append(write_signals(file, header, [model], signals))
            coded = time.process_time()
            (output,) = codec.read(file.getvalue(), tokenizer, models=[model])
            outputs.append(output.permute(1, 2, 0).numpy())
            if quality == Spending().quality:
                seconds["encode"] += (coded - begun) / len(images)
                seconds["decode"] += (time.process_time() - coded) / len(images)
        found.append({"quality": quality, **point(sizes, images, outputs)})
    return found, {name: round(value, 2) for name, value in seconds.items()}


def settings(text: str) -> tuple[str, dict[str, str]]:
    """The name and options of a row."""
    name, _, rest = text.partition("=")
    run, *options = rest.split(",")
    return name, {"run": run, **dict(option.split("=") for option in options)}


def measured(
    options: dict[str, str], images: list[Pixels], qualities: Sequence[int]
) -> dict[str, Any]:
    """The figures of a row."""
    tokenizer = load(options["run"]).eval()
    if options.get("correction") == "0":
        known = statistics_of(tokenizer, None)
        for module in tokenizer.modules():
            if isinstance(module, Correction):
                module.blocks = nn.ModuleList()
        if known is not None:  # the codes stay
            tokenizer.code_statistics = replace(known, fingerprint=tokenizer.fingerprint())
    prior = options.get("prior")
    model = offered_models(tokenizer, prior=prior)[0] if prior else None
    model = model or choose_model("adaptive", statistics_of(tokenizer, None))
    curve, seconds = own(tokenizer, model, int(options.get("effort", 0)), images, qualities)
    return {
        "run": Path(options["run"]).name,
        "effort": int(options.get("effort", 0)),
        "entropy": "portable" if prior else "adaptive",
        "corrections": options.get("correction") != "0",
        "curve": curve,
        "at_rates": at_rates(curve),
        "cpu_seconds": seconds,
    }


def at_rates(curve: list[dict[str, float]]) -> list[float | None]:
    """PSNR at each of `RATES`; None where all files are larger or all are smaller."""
    points = sorted((one["bits_per_pixel"], one["psnr_db"]) for one in curve)
    found = [on_curve(rate, points) if rate <= points[-1][0] else None for rate in RATES]
    return [None if value is None else round(value, 2) for value in found]


def table(figures: dict[str, Any]) -> Iterator[str]:
    """The figures as lines of Markdown."""
    yield row("files", *(f"{rate:.2f}" for rate in RATES), "encode", "decode")
    yield row("---", *["---:"] * (len(RATES) + 2))
    for name, one in [*figures["rivals"].items(), *figures["rows"].items()]:
        shown = ["" if value is None else f"{value:.2f}" for value in one["at_rates"]]
        times = one.get("cpu_seconds", {})
        yield row(name, *shown, *(f"{times[t]} s" if t in times else "" for t in times or "--"))


def beside_first(rows: dict[str, Any]) -> None:
    """Note of each row how many more bits its files take than the first row's at equal PSNR."""
    pairs = {
        name: [(one["bits_per_pixel"], one["psnr_db"]) for one in each["curve"]]
        for name, each in rows.items()
    }
    first = next(iter(pairs.values()))
    for name, points in pairs.items():
        more = bd_rate(points, first)
        rows[name]["bd_rate"] = None if more is None else round(more, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data")
    parser.add_argument("--rows", nargs="+", required=True)
    parser.add_argument("--qualities", nargs="+", type=int, default=QUALITIES)
    parser.add_argument("--rivals", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--name", default="rate-distortion")
    given = parser.parse_args()
    images = pictures(given.data)
    figures: dict[str, Any] = {"rates": RATES, "pictures": len(images), "rivals": {}, "rows": {}}
    for one in (JPEG, WEBP) if given.rivals else ():
        curve = rival(one, images)
        figures["rivals"][one.name] = {"curve": curve, "at_rates": at_rates(curve)}
    for name, options in map(settings, given.rows):
        figures["rows"][name] = measured(options, images, given.qualities)
        beside_first(figures["rows"])
        print("\n".join(table(figures)), flush=True)
    write_result(given.name, figures)


if __name__ == "__main__":
    main()
