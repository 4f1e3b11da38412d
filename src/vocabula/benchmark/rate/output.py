"""The files of a rate-distortion measurement: JSON, CSV and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vocabula.benchmark.rate.figure import rate_figure
from vocabula.benchmark.rate.study import RatePoint, RateStudy
from vocabula.benchmark.rate.words import verdict
from vocabula.files import dump_json

FIGURES, ROWS, PLOT = "rate.json", "rate.csv", "rate.png"
_COLUMNS = (
    "part",
    "codec",
    "setting",
    "at_stages",
    "images",
    "bytes",
    "bits_per_pixel",
    "psnr_db",
    "psnr_db_all_pixels",
    "ssim",
)


def write_rates(folder: Path, study: RateStudy, about: Mapping[str, Any]) -> None:
    """Write ``rate.json``, ``rate.csv`` and ``rate.png`` into a folder.

    Args:
        folder: where; it exists.
        study: the figures.
        about: further entries of the JSON, such as the run, which names the curve.
    """
    content = {**about, **study.to_dict(), "verdict": verdict(study)}
    name = str(about.get("run", "vocabula"))
    (folder / ROWS).write_text(_csv(study), encoding="utf-8")
    (folder / PLOT).write_bytes(rate_figure([(name, study)], study.data))
    (folder / FIGURES).write_bytes(dump_json(content))


def _csv(study: RateStudy) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(_rows(study))
    return text.getvalue()


def _rows(study: RateStudy) -> Iterator[dict[str, Any]]:
    """Points of curves, then rivals at the rates of our points."""
    own = {"files": study.points, "one file": study.one_file}
    for part, points in own.items():
        for point in points:
            yield _row(part, "vocabula", point, study.images)
    for name, curve in study.curves.items():
        for point in curve:
            yield _row("files", name, point, study.images)
    beside = {"files": study.comparisons, "one file": study.one_file_comparisons}
    for part, comparisons in beside.items():
        rates = {point.setting: point for point in own[part]}
        for one in comparisons:
            point = rates[one.stages]
            yield {
                "part": f"{part}, at equal bytes",
                "codec": one.codec,
                "at_stages": one.stages,
                "images": one.images,
                "bytes": point.bytes,
                "bits_per_pixel": point.bits_per_pixel,
                "psnr_db": "" if one.psnr_db is None else one.psnr_db,
                "ssim": "" if one.ssim is None else one.ssim,
            }


def _row(part: str, codec: str, point: RatePoint, images: int) -> dict[str, Any]:
    return {
        "part": part,
        "codec": codec,
        "setting": point.setting,
        "images": images,
        "bytes": point.bytes,
        "bits_per_pixel": point.bits_per_pixel,
        "psnr_db": point.psnr_db,
        "psnr_db_all_pixels": point.psnr_db_all_pixels,
        "ssim": point.ssim,
    }
