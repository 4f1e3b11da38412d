"""The figures of a rate-distortion measurement, and what each means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vocabula.benchmark.rate.bjontegaard import bd_rate
from vocabula.benchmark.rate.code_bits import CodeBits
from vocabula.benchmark.rate.matching import Fidelity, on_curve
from vocabula.benchmark.rate.speed import Speed


@dataclass(frozen=True, slots=True)
class Picture:
    """What was measured of one picture.

    Attributes:
        path: where it came from.
        pixels: height times width.
        own: size and fidelity of our file, at each rate of the tokenizer.
        rivals: the same for each rival's qualities, by the rival's name.
        matched: each rival's fidelity at each file size in `own`; None where it has no such file.
        qualities: each rival's highest quality whose file has at most the bytes of our last one, or
            its lowest where none has.
    """

    path: str
    pixels: int
    own: tuple[tuple[int, Fidelity], ...]
    rivals: Mapping[str, tuple[tuple[int, Fidelity], ...]]
    matched: Mapping[str, tuple[Fidelity | None, ...]]
    qualities: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RatePoint:
    """All pictures with one setting.

    Attributes:
        setting: stages kept, or the quality.
        bytes: size of all files, headers included.
        bits_per_pixel: mean over the pictures.
        bits_per_pixel_all: all bits over all pixels.
        psnr_db: mean over the pictures.
        psnr_db_all_pixels: PSNR of the mean squared error over all pixels, at most about `psnr_db`.
        ssim: mean over the pictures.
    """

    setting: int
    bytes: int
    bits_per_pixel: float
    bits_per_pixel_all: float
    psnr_db: float
    psnr_db_all_pixels: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A rival at the rate of one of our points.

    Attributes:
        codec: the rival.
        stages: stages of our point.
        images: pictures that the rival can compress to our size; the figures below are means over
            these.
        smallest_bits_per_pixel: rate of the rival's smallest files, mean over all pictures.
        smallest_psnr_db: PSNR of these files.
        own_psnr_db: ours; None where `images` is 0, as are all below.
        psnr_db: the rival's.
        own_ssim: ours.
        ssim: the rival's.
        wins: pictures whose PSNR is higher in our file; None also for sums of files.
    """

    codec: str
    stages: int
    images: int
    smallest_bits_per_pixel: float
    smallest_psnr_db: float
    own_psnr_db: float | None = None
    psnr_db: float | None = None
    own_ssim: float | None = None
    ssim: float | None = None
    wins: int | None = None

    @property
    def gain_db(self) -> float | None:
        """How far we are above the rival."""
        if self.own_psnr_db is None or self.psnr_db is None:
            return None
        return self.own_psnr_db - self.psnr_db


@dataclass(frozen=True)
class RateStudy:
    """What `measure_rates` measured.

    Attributes:
        data: name of the source.
        entropy: the entropy model.
        images: pictures measured.
        skipped: pictures that could not be read.
        pixels: total over all pictures.
        points: our rates with one file per picture, for each number of stages.
        curves: each rival's points, one for each quality.
        comparisons: each rival at each of our points, picture by picture at equal bytes.
        one_file: our points with all pictures in one file; empty for a single picture.
        one_file_comparisons: each rival at these rates: the sum of its files on its curve, with one
            quality for all pictures.
        bd_rates: how many more bits our files take than each rival's at equal PSNR, as a share, by
            Bjontegaard's measure of the mean curves; None where they share no PSNR or ours is a
            point.
        speeds: times of a picture, by codec.
        code_bits: bits of held-out codes; None without counts of training codes.
    """

    data: str
    entropy: str
    images: int
    skipped: int
    pixels: int
    points: tuple[RatePoint, ...]
    curves: Mapping[str, tuple[RatePoint, ...]]
    comparisons: tuple[Comparison, ...]
    one_file: tuple[RatePoint, ...]
    one_file_comparisons: tuple[Comparison, ...]
    bd_rates: Mapping[str, float | None] = field(default_factory=dict)
    speeds: Mapping[str, Speed] = field(default_factory=dict)
    code_bits: CodeBits | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        found = dataclasses.asdict(self)
        for name in ("comparisons", "one_file_comparisons"):
            for row, one in zip(found[name], getattr(self, name), strict=True):
                row["gain_db"] = one.gain_db
        return found


def summarize(
    pictures: Sequence[Picture],
    *,
    data: str,
    entropy: str,
    skipped: int,
    stages: Sequence[int],
    qualities: Mapping[str, Sequence[int]],
    one_file_bytes: Sequence[int],
    speeds: Mapping[str, Speed],
    code_bits: CodeBits | None,
) -> RateStudy:
    """The figures of all pictures.

    Args:
        pictures: at least one.
        data: name of the source.
        entropy: the entropy model.
        skipped: pictures that could not be read.
        stages: stages kept in each entry of a picture's `own`.
        qualities: qualities of each rival.
        one_file_bytes: size of one file of all pictures, for each of `stages`; empty for one
            picture.
        speeds: times of a picture, by codec.
        code_bits: bits of held-out codes.
    """
    pixels = sum(picture.pixels for picture in pictures)
    points = _points(pictures, stages, [picture.own for picture in pictures])
    curves = {
        name: _points(pictures, settings, [picture.rivals[name] for picture in pictures])
        for name, settings in qualities.items()
    }
    one_file = tuple(
        dataclasses.replace(
            point,
            bytes=size,
            bits_per_pixel=8 * size / pixels,
            bits_per_pixel_all=8 * size / pixels,
        )
        for point, size in zip(points if one_file_bytes else (), one_file_bytes, strict=True)
    )
    return RateStudy(
        data=data,
        entropy=entropy,
        images=len(pictures),
        skipped=skipped,
        pixels=pixels,
        points=points,
        curves=curves,
        comparisons=tuple(
            _at_equal_bytes(name, i, point, pictures)
            for i, point in enumerate(points)
            for name in curves
        ),
        one_file=one_file,
        one_file_comparisons=tuple(
            _beside_sum(name, curve, point, len(pictures))
            for point in one_file
            for name, curve in curves.items()
        ),
        bd_rates={name: bd_rate(_pairs(points), _pairs(curve)) for name, curve in curves.items()},
        speeds=speeds,
        code_bits=code_bits,
    )


def _pairs(points: Sequence[RatePoint]) -> list[tuple[float, float]]:
    return [(point.bits_per_pixel, point.psnr_db) for point in points]


def _points(
    pictures: Sequence[Picture],
    settings: Sequence[int],
    files: Sequence[Sequence[tuple[int, Fidelity]]],
) -> tuple[RatePoint, ...]:
    pixels = np.array([picture.pixels for picture in pictures], np.float64)
    found = []
    for i, setting in enumerate(settings):
        sizes = np.array([of_picture[i][0] for of_picture in files], np.float64)
        psnrs = np.array([of_picture[i][1].psnr_db for of_picture in files])
        errors = 10 ** (-psnrs / 10)
        found.append(
            RatePoint(
                setting,
                int(sizes.sum()),
                float(np.mean(8 * sizes / pixels)),
                float(8 * sizes.sum() / pixels.sum()),
                float(psnrs.mean()),
                float(-10 * np.log10((errors * pixels).sum() / pixels.sum())),
                float(np.mean([of_picture[i][1].ssim for of_picture in files])),
            )
        )
    return tuple(found)


def _at_equal_bytes(
    name: str,
    place: int,
    point: RatePoint,
    pictures: Sequence[Picture],
) -> Comparison:
    """One rival at one of our points, each picture at the size of our file."""
    pairs = [(picture.own[place][1], picture.matched[name][place]) for picture in pictures]
    reached = [(own, other) for own, other in pairs if other is not None]
    least = [min(picture.rivals[name], key=lambda file: file[0]) for picture in pictures]
    rates = [8 * size / picture.pixels for (size, _), picture in zip(least, pictures, strict=True)]
    found = Comparison(
        name,
        point.setting,
        images=len(reached),
        smallest_bits_per_pixel=float(np.mean(rates)),
        smallest_psnr_db=float(np.mean([near.psnr_db for _, near in least])),
    )
    if not reached:
        return found
    return dataclasses.replace(
        found,
        own_psnr_db=float(np.mean([own.psnr_db for own, _ in reached])),
        psnr_db=float(np.mean([other.psnr_db for _, other in reached])),
        own_ssim=float(np.mean([own.ssim for own, _ in reached])),
        ssim=float(np.mean([other.ssim for _, other in reached])),
        wins=sum(own.psnr_db > other.psnr_db for own, other in reached),
    )


def _beside_sum(name: str, curve: Sequence[RatePoint], point: RatePoint, images: int) -> Comparison:
    """One rival's files together, as large as our one file."""
    rate = point.bits_per_pixel_all
    psnr = on_curve(rate, [(p.bits_per_pixel_all, p.psnr_db) for p in curve])
    ssim = on_curve(rate, [(p.bits_per_pixel_all, p.ssim) for p in curve])
    least = min(curve, key=lambda p: p.bits_per_pixel_all)
    found = Comparison(name, point.setting, 0, least.bits_per_pixel_all, least.psnr_db)
    if psnr is None:
        return found
    return dataclasses.replace(
        found,
        images=images,
        own_psnr_db=point.psnr_db,
        psnr_db=psnr,
        own_ssim=point.ssim,
        ssim=ssim,
    )
