"""Decompresses files to pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from vocabula.codec.batching import decoded
from vocabula.codec.blocks import check_needs_none, holds_blocks
from vocabula.codec.choice import known_models, statistics_of
from vocabula.codec.header import Header
from vocabula.codec.inspection import Inspection, inspect
from vocabula.codec.layouts import check_tokenizer
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel
from vocabula.codec.profiles import profiles_of
from vocabula.codec.reader import Reader, opened
from vocabula.data.names import OutputNames
from vocabula.data.png import check_channels, picture
from vocabula.errors import CodecError, OptionError, OutputError
from vocabula.files import (
    check_apart,
    check_new_file,
    check_new_folder,
    is_stream,
    new_file,
    new_folder,
    output_errors,
)
from vocabula.pipelines.gathering import SUFFIX
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics

_Shown = tuple[Tensor, bytes]  # an image and its colour profile, empty without one


def decompress_files(
    tokenizer: SignalTokenizer | None,
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    statistics: CodeStatistics | None = None,
    models: Sequence[EntropyModel] = (),
    stages: int | None = None,
    limits: Limits | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Path]:
    """Decompress files to PNG pictures.

    A file of one image becomes one picture of its name; a file of several becomes a folder of its
    name, with pictures named as the originals or numbered. Every file's structure is checked before
    the first is decoded; each picture or folder appears when it is complete, and finished ones
    stay, even if a later file fails.

    Args:
        tokenizer: the one that compressed them; None if all are files of blocks.
        files: compressed files, and folders of them, whose structure `out` mirrors.
        out: a path ending in ``.png`` for one file of one image, otherwise a folder; None writes
            beside each file.
        statistics: the counts of codes that the files were compressed with, if any; None takes the
            tokenizer's own.
        models: further entropy models that they may have been compressed with.
        stages: decode only this many first stages.
        limits: caps on what a file may hold.
        jobs: threads that decode codes.
        overwrite: replace existing pictures.
        advance: called with the number of files finished.

    Returns:
        The pictures written, in order.

    Raises:
        CodecError: a file is damaged, foreign, too large, or needs another tokenizer or model.
        OptionError: the tokenizer's images have a number of channels that PNG cannot hold.
        OutputError: an output exists or cannot be written.
    """
    listed = list_files(files)
    paths = [path for path, _ in listed]
    found = [inspect(path, stages=stages, limits=limits) for path in paths]
    if tokenizer is not None:
        statistics = statistics_of(tokenizer, statistics)
    offered = _checked(tokenizer, paths, found, statistics, models)
    targets = _targets(listed, found, None if out is None else Path(out), overwrite)
    check_apart(targets, paths)
    written: list[Path] = []
    for path, one, target in zip(paths, found, targets, strict=True):
        with opened(path) as (file, name), output_errors(target):
            reader = Reader(file, name, limits=limits, stages=stages)
            if reader.header.cut(reader.stages) != one.header:
                raise CodecError(f"{path}: expected the file as it was, got another; run again")
            known = known_models(name, statistics, offered)
            images = decoded(reader, tokenizer, known, jobs=jobs)
            write = _write_one if one.signals == 1 else _write_folder
            profiles = profiles_of(one.header.attachments, name) or [b""] * one.signals
            for place in write(zip(images, profiles, strict=True), one, target, overwrite):
                written.append(place)
        advance(1)
    return written


def list_files(files: Sequence[str | os.PathLike[str]]) -> list[tuple[Path, Path]]:
    """Compressed files, given directly or found below folders, with their paths in the folders.

    Raises:
        CodecError: a folder holds none.
    """
    listed: list[tuple[Path, Path]] = []
    for path in map(Path, files):
        if not path.is_dir():
            listed.append((path, Path()))
            continue
        inner = sorted(file for file in path.rglob(f"*{SUFFIX}") if file.is_file())
        if not inner:
            raise CodecError(
                f"{path}: expected a folder of {SUFFIX} files, got none in it; name the files"
            )
        listed += [(file, file.parent.relative_to(path)) for file in inner]
    return listed


def _checked(
    tokenizer: SignalTokenizer | None,
    paths: Sequence[Path],
    found: Sequence[Inspection],
    statistics: CodeStatistics | None,
    models: Sequence[EntropyModel],
) -> list[EntropyModel]:
    """Entropy models besides the usual ones, after a check that every file can be decoded."""
    more = list(models)
    fingerprint = ""
    if tokenizer is not None:
        check_channels(tokenizer.channels, "decompress")
        fingerprint = tokenizer.fingerprint()
        more.append(PixelModel(tokenizer))
    for path, one in zip(paths, found, strict=True):
        if tokenizer is None:
            check_needs_none(one.header, str(path))
        elif not holds_blocks(one.header):
            check_tokenizer(one.header, tokenizer, str(path), fingerprint)
        for wanted in one.header.needed.values():
            known_models(str(path), statistics, more)(one.header, wanted)
    return more


def _write_one(
    images: Iterable[_Shown], found: Inspection, target: Path, overwrite: bool
) -> Iterator[Path]:
    with new_file(target, overwrite=overwrite) as draft:
        for image in images:  # one; read to the end of the file, where trailing bytes show
            _save(image, draft)
    yield target


def _write_folder(
    images: Iterable[_Shown], found: Inspection, target: Path, overwrite: bool
) -> Iterator[Path]:
    names = _names(found.header, found.signals, target)
    with new_folder(target, overwrite=overwrite) as folder:
        for name, image in zip(names, images, strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _save(image, folder / name)
            yield target / name


def _targets(
    listed: Sequence[tuple[Path, Path]],
    found: Sequence[Inspection],
    out: Path | None,
    overwrite: bool,
) -> list[Path]:
    """The picture or folder of each file, all new and all different."""
    if out is not None and (out.suffix.lower() == ".png" or is_stream(out)):
        if len(listed) != 1 or found[0].signals > 1:
            raise OptionError(
                f"{out}: expected one file of one image for the name of a picture, got "
                f"{sum(one.signals for one in found)} images; give a folder"
            )
        check_new_file(out, overwrite=overwrite)
        return [out]
    targets: dict[Path, Path] = {}
    for (path, inner), one in zip(listed, found, strict=True):
        stem = path.name.removesuffix(SUFFIX) or "image"
        target = (path.parent if out is None else out / inner) / (
            stem + ".png" * (one.signals == 1)
        )
        if target in targets or target == path:
            raise OutputError(
                f"{target}: expected one file for each output, got {path} and "
                f"{targets.get(target, path)}; decompress them into different folders with -o"
            )
        targets[target] = path
        try:
            check = check_new_file if one.signals == 1 else check_new_folder
            check(target, overwrite=overwrite)
        except OutputError:
            if out is not None or not target.exists():
                raise
            raise OutputError(  # so as not to tempt anyone into replacing originals
                f"{target}: expected a new output, got an existing one, perhaps the original; name "
                "another place with -o"
            ) from None
    return list(targets)


def _names(header: Header, count: int, folder: Path) -> list[str]:
    """File names of the images: from the header, made safe and unique, or numbers."""
    width = len(str(count))
    names = OutputNames(folder)
    wanted = header.names or [f"{i + 1:0{width}}.png" for i in range(count)]
    return [str(names.take(name)) for name in wanted]


def _save(shown: _Shown, path: Path) -> None:
    image, profile = shown
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    picture(pixels).save(path, format="PNG", icc_profile=profile or None)
