"""Turns pictures into indexed PNG files, each with its own palette."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.data.color_profile import color_profile
from vocabula.data.image_files import find_images
from vocabula.data.image_problems import (
    BrokenImageError,
    DataWarning,
    picture_error,
    report_problems,
    summarize,
)
from vocabula.data.names import OutputNames
from vocabula.data.picture_formats import COMMON_SUFFIXES, IMAGE_SUFFIXES
from vocabula.data.pixels import decode
from vocabula.errors import DataError, Interrupted, OptionError, plural
from vocabula.evaluation.counting import counted
from vocabula.evaluation.metrics.similarity import psnr
from vocabula.files import check_apart, check_new_file, is_stream, new_file, output_errors
from vocabula.palette import colors, png_bytes
from vocabula.pipelines.picture_targets import warn_of_frames


@dataclass(frozen=True, slots=True)
class PaletteFile:
    """One indexed picture that was written.

    Attributes:
        path: the file.
        colors: number of colours in its palette.
        psnr: PSNR in dB against the original picture, over channels times alpha and alpha; 100 if
            they are equal.
        size: size of the file in bytes.
    """

    path: Path
    colors: int
    psnr: float
    size: int


@dataclass(frozen=True, slots=True)
class PaletteOptions:
    """Options of a palette; see `vocabula.palette.fit` and `encode`.

    Attributes:
        colors: most colours, 1 to 256.
        dither: whether Floyd-Steinberg's error diffusion is applied.
        seed: of k-means.
    """

    colors: int = colors.MAX_COLORS
    dither: bool = False
    seed: int = 0


def write_palettes(
    images: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: PaletteOptions | None = None,
    *,
    overwrite: bool = False,
    progress: bool = False,
    done: Callable[[PaletteFile], None] | None = None,
) -> list[PaletteFile]:
    """Write each picture as an indexed PNG file with the palette that suits it.

    Files are read as `vocabula.data.pixels.decode` does: upright, 16 bits as 8, CMYK and palettes
    as RGB. Transparency is stored in the palette, the colour profile in the file. Each file is
    complete or absent, and files finished before a failure stay.

    Args:
        images: picture files, and folders of them, which are searched.
        out: a ``.png`` or a folder for one file, otherwise a folder. Names come from the pictures,
            with their sub-folders; see `OutputNames`.
        options: options of the palettes; None takes 256 colours.
        overwrite: replace files that exist.
        progress: show a progress bar on a terminal.
        done: called with each file as soon as it is there.

    Returns:
        The files written, in order.

    Raises:
        DataError: there is no picture, or one cannot be read; all others are written first.
        OptionError: `out` is one file for several pictures, or not a PNG; or an option is out of
            range.
        OutputError: an output exists, is one of the pictures, or cannot be written.
        Interrupted: Ctrl-C.
    """
    options = options or PaletteOptions()
    jobs = _jobs(images, Path(out).expanduser())
    _check_outputs(jobs, overwrite=overwrite)
    warn_of_frames([file for file, _ in jobs])
    written: list[PaletteFile] = []
    broken: list[tuple[Path, BrokenImageError]] = []
    try:
        with counted("palettes", len(jobs), show=progress) as advance:
            for file, place in jobs:
                try:
                    pixels, profile = _read(file)
                except BrokenImageError as reason:
                    broken.append((file, reason))
                else:
                    kept = _kept(len(written))
                    written.append(
                        _write(pixels, profile, place, options, overwrite=overwrite, kept=kept)
                    )
                    if done is not None:
                        done(written[-1])
                advance(1)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {len(written)} of {plural(len(jobs), 'file')} are finished and kept; "
            "run the command again, with --overwrite if some are"
        ) from None
    _report_broken(broken, len(jobs))
    return written


def _kept(count: int) -> str:
    """The addition to the message of a failing write."""
    if count == 0:
        return ""
    return "the 1 finished file is kept" if count == 1 else f"the {count} finished files are kept"


def _report_broken(broken: list[tuple[Path, BrokenImageError]], count: int) -> None:
    if broken and count == 1:
        raise picture_error(*broken[0], "none ({}); check the file")
    if broken:
        listed = summarize([f"{file}: {reason}" for file, reason in broken])
        raise DataError(
            f"pictures: expected {count} that can be read, got {len(broken)} that cannot "
            f"({listed}); the others are written, check these"
        )


def _jobs(images: Sequence[str | os.PathLike[str]], out: Path) -> list[tuple[Path, Path]]:
    """Every picture and the file to write for it."""
    found: list[tuple[Path, str]] = []
    folders = False
    for image in images:
        path = Path(image).expanduser()
        if path.is_dir():
            folders = True
            found += _in_folder(path)
        elif path.exists():
            found.append((path, path.name))
        else:
            raise DataError(f"{path}: expected a picture, got nothing at that place; check it")
    suffix = out.suffix.lower()
    stream = is_stream(out)
    if stream or (suffix in IMAGE_SUFFIXES and not out.is_dir()):
        if suffix != ".png" and not stream:
            raise OptionError(f"{out}: expected a .png file or a folder, got {suffix}; name it so")
        if len(found) != 1 or folders:
            raise OptionError(
                f"{out}: expected a folder for several pictures, got one file; leave out .png"
            )
        return [(found[0][0], out)]
    names = OutputNames(out)
    return [(file, out / names.take(name)) for file, name in found]


def _in_folder(root: Path) -> list[tuple[Path, str]]:
    """The pictures below a folder, by name, and their paths in it."""
    files, problems = find_images(root)
    if not files:
        got = f"only {summarize(problems)}" if problems else "an empty folder"
        listed = f"{', '.join(COMMON_SUFFIXES)} and others"
        raise DataError(f"{root}: expected pictures ({listed}), got {got}; give another folder")
    report_problems(str(root), problems, len(files) + len(problems), strict=False)
    return [(file, file.relative_to(root).as_posix()) for file in files]


def _check_outputs(jobs: list[tuple[Path, Path]], *, overwrite: bool) -> None:
    """Refuse outputs that cannot be written, before any work is done."""
    check_apart([place for _, place in jobs], [file for file, _ in jobs])
    for _, place in jobs:
        check_new_file(place, overwrite=overwrite)


def _read(file: Path) -> tuple[NDArray[np.uint8], bytes]:
    """The picture as RGB, or as RGBA where anything is transparent, and its colour profile."""
    pixels = decode(file, 4)
    profile, lost = color_profile(file, 4)
    if lost:
        warnings.warn(f"{file}: leaving out its colour profile, {lost}", DataWarning, stacklevel=3)
    opaque = not (pixels[:, :, 3] < 255).any()
    return np.ascontiguousarray(pixels[:, :, :3]) if opaque else pixels, profile


def _write(
    pixels: NDArray[np.uint8],
    profile: bytes,
    place: Path,
    options: PaletteOptions,
    *,
    overwrite: bool,
    kept: str,
) -> PaletteFile:
    book = colors.fit(pixels, options.colors, seed=options.seed)
    codes = colors.encode(pixels, book, dither=options.dither)
    content = png_bytes(codes, book, profile=profile)
    shown, wanted = (colors.premultiplied(x) for x in (colors.decode(codes, book), pixels))
    error = np.square(shown.astype(np.int32) - wanted).mean() / 255**2
    with output_errors(place, kept=kept), new_file(place, overwrite=overwrite) as draft:
        draft.write_bytes(content)
    return PaletteFile(place, len(book), float(psnr(torch.tensor(error))), len(content))
