"""From compressed files back to pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from vocabula.codec.compress import SUFFIX
from vocabula.codec.files import decoded_images
from vocabula.codec.header import Header
from vocabula.codec.inspection import Inspection, inspect
from vocabula.codec.layouts import check_tokenizer
from vocabula.codec.limits import Limits
from vocabula.codec.statistics import CodeStatistics
from vocabula.data.names import OutputNames
from vocabula.errors import OptionError, OutputError
from vocabula.files import check_new, new_file, new_folder, output_errors
from vocabula.tokenizers import Tokenizer

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decompress_files(
    tokenizer: Tokenizer,
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    statistics: CodeStatistics | None = None,
    stages: int | None = None,
    limits: Limits | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Path]:
    """Decompress files to PNG pictures.

    A file of one image becomes one picture of its name; a file of several becomes a folder of its
    name, with pictures named as the originals or numbered. Every file's structure is checked before
    the first is decoded.

    Args:
        tokenizer: the one that compressed them.
        files: what `compress_files` wrote.
        out: for one file of one image a path ending in ``.png``; else a folder; None writes beside
            each file.
        statistics: counts of the tokenizer's codes, if it was compressed with any.
        stages: decode the first so many stages only.
        limits: caps on what a file may hold.
        jobs: threads that decode codes.
        overwrite: replace existing pictures.
        advance: called with the number of pictures finished.

    Returns:
        The pictures written, in order.

    Raises:
        CodecError: a file is damaged, foreign, of another tokenizer or entropy model, or too large.
        OptionError: the tokenizer's images have a number of channels that PNG cannot hold.
        OutputError: an output exists or cannot be written.
    """
    if tokenizer.channels not in _MODES:
        raise OptionError(
            f"decompress: expected a tokenizer of 1, 3 or 4 channels for PNG files, got "
            f"{tokenizer.channels}; decompress in Python with codec.read"
        )
    paths = [Path(file) for file in files]
    found = [inspect(path, limits=limits) for path in paths]
    for path, one in zip(paths, found, strict=True):
        check_tokenizer(one.header, tokenizer, str(path))
    targets = _targets(paths, found, None if out is None else Path(out), overwrite)
    written: list[Path] = []
    for path, one, target in zip(paths, found, targets, strict=True):
        images = decoded_images(
            path, tokenizer, statistics=statistics, stages=stages, limits=limits, jobs=jobs
        )
        with closing(images), output_errors(target):
            if one.signals == 1:
                with new_file(target, overwrite=overwrite) as draft:
                    _save(next(images), draft)
                    _drain(images)
                written.append(target)
                advance(1)
                continue
            with new_folder(target, overwrite=overwrite) as folder:
                for name, image in zip(_names(one.header, one.signals), images, strict=True):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    _save(image, folder / name)
                    written.append(target / name)
                    advance(1)
    return written


def _targets(
    paths: Sequence[Path], found: Sequence[Inspection], out: Path | None, overwrite: bool
) -> list[Path]:
    """The picture or folder of each file, all new and all different."""
    if out is not None and out.suffix.lower() == ".png":
        if len(paths) > 1 or found[0].signals > 1:
            raise OptionError(
                f"{out}: expected one file of one image for the name of a picture, got "
                f"{sum(one.signals for one in found)} images; give a folder"
            )
        check_new(out, overwrite=overwrite)
        return [out]
    targets: dict[Path, Path] = {}
    for path, one in zip(paths, found, strict=True):
        stem = path.name.removesuffix(SUFFIX) or "image"
        target = (path.parent if out is None else out) / (stem + ".png" * (one.signals == 1))
        if target in targets or target == path:
            raise OutputError(
                f"{target}: expected one file for each output, got {path} and "
                f"{targets.get(target, path)}; decompress them into different folders with -o"
            )
        targets[target] = path
        check_new(target, overwrite=overwrite)
    return list(targets)


def _names(header: Header, count: int) -> list[str]:
    """File names of the images: from the header, made safe and unique, or numbers."""
    if not header.names:
        width = len(str(count))
        return [f"{i + 1:0{width}}.png" for i in range(count)]
    names = OutputNames()
    return [str(names.take(name)) for name in header.names]


def _save(image: Tensor, path: Path) -> None:
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    mode = _MODES[pixels.shape[2]]
    Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels).save(path, format="PNG")


def _drain(images: object) -> None:
    """Read on to the end of the file, where trailing bytes show."""
    assert next(iter(images), None) is None  # type: ignore[call-overload]
