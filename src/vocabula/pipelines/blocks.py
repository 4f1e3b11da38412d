"""Turns picture files into files of blocks with their codebook."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.blocks import put_blocks, quantize_blocks
from vocabula.codec.profiles import profile_to_keep
from vocabula.data.image_problems import BrokenImageError, picture_error
from vocabula.data.pixels import decode, read_header
from vocabula.files import check_apart, check_new_file
from vocabula.pipelines.picture_targets import (
    checked_size,
    takes_all,
    targets_of,
    warn_of_frames,
)


@dataclass(frozen=True, slots=True)
class BlockOptions:
    """Options of codebooks; see `quantize_blocks`.

    Attributes:
        codewords: most codewords, 1 to 65536.
        block: height and width in pixels, 1 to 64 each.
        seed: seed of k-means.
    """

    codewords: int = 256
    block: tuple[int, int] = (4, 4)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class WrittenBlocks:
    """One file that was written.

    Attributes:
        path: where it is.
        bytes: its size.
        pixels: height times width of its images.
        codewords: number of codewords in its codebook.
        psnr: PSNR in dB over all its images; infinite if they are exact.
    """

    path: Path
    bytes: int
    pixels: int
    codewords: int
    psnr: float


def write_block_files(
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    options: BlockOptions | None = None,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    done: Callable[[WrittenBlocks], None] = lambda one: None,
) -> list[WrittenBlocks]:
    """Write picture files as blocks, each with its own codebook, or all in one file with one.

    Grey pictures stay grey, unless others in the same file have colours; transparent pixels are
    laid over white.

    Args:
        files: pictures.
        out: a name ending in ``.vcb`` puts all into one file, any other is a folder; None writes
            beside each picture.
        options: options of the codebooks.
        jobs: threads that code.
        overwrite: replace existing files.
        done: called with each file as soon as it is written.

    Returns:
        The files written, in order.

    Raises:
        DataError: a picture is missing, is a folder, is damaged or has no pixels.
        OptionError: an option is out of range, or two pictures would share an output.
        OutputError: an output exists or cannot be written.
    """
    options = options or BlockOptions()
    paths = [Path(file) for file in files]
    for path in paths:
        checked_size(path, 4, exact=False)
    warn_of_frames(paths)
    if out is not None and takes_all(Path(out)):
        check_new_file(Path(out), overwrite=overwrite)
        check_apart([Path(out)], paths)
        groups = [(paths, Path(out))]
    else:
        targets = targets_of(paths, None if out is None else Path(out), overwrite)
        groups = [([path], target) for path, target in zip(paths, targets, strict=True)]
    written = []
    for group, target in groups:
        written.append(_write(group, target, options, jobs=jobs, overwrite=overwrite))
        done(written[-1])
    return written


def _write(
    paths: Sequence[Path], target: Path, options: BlockOptions, *, jobs: int, overwrite: bool
) -> WrittenBlocks:
    grey = all(read_header(path).channels == 1 for path in paths)
    images = [_read(path, 1 if grey else 3) for path in paths]
    found = quantize_blocks(images, options.codewords, block=options.block, seed=options.seed)
    names = [path.name for path in paths] if len(paths) > 1 else []
    profiles = [profile_to_keep(path, images[0].shape[2], exact=False) for path in paths]
    size = put_blocks(target, found, names=names, profiles=profiles, jobs=jobs, overwrite=overwrite)
    pairs = zip(images, found.images(), strict=True)
    error = sum(float(np.square(a.astype(np.float64) - b).sum()) for a, b in pairs)
    values = sum(image.size for image in images)
    psnr = math.inf if error == 0 else 10 * math.log10(255**2 * values / error)
    return WrittenBlocks(target, size, values // images[0].shape[2], len(found.codebook), psnr)


def _read(path: Path, channels: int) -> NDArray[np.uint8]:
    try:
        return decode(path, channels)
    except BrokenImageError as reason:
        raise picture_error(path, reason) from None
