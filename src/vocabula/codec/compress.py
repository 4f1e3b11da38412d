"""From picture files to compressed files."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.codec.choice import choose_model, statistics_of
from vocabula.codec.files import BATCH_PIXELS, cut, encode_images
from vocabula.codec.header import Header
from vocabula.codec.inspection import inspect
from vocabula.codec.layouts import least_stages, name_attachment, tokenizer_header
from vocabula.codec.limits import NO_LIMITS
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel, with_pixels
from vocabula.codec.profiles import profile_attachment, profile_to_keep
from vocabula.codec.writer import CodedSignal, write_signals
from vocabula.data.ahead import cores, default_workers, map_ahead
from vocabula.data.pixels import FILE_CHANNELS, decode, read_header, what_is_lost
from vocabula.data.source import BrokenImageError, DataWarning, picture_error
from vocabula.errors import DataError, OptionError, OutputError
from vocabula.files import (
    LONGEST_NAME,
    check_apart,
    check_new_file,
    cut_name,
    is_stream,
    new_file,
    new_files,
    output_errors,
)
from vocabula.tokenizers import ImageTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics
from vocabula.tokenizers.inference import device_of

SUFFIX = ".vcb"
_SAVERS = 16
"""Threads that save small files: each waits for the disk most of the time."""
_GROUP, _GROUP_PIXELS = 256, 2**22
"""Pictures that are coded and saved together: at most so many, or of so many pixels."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """One file that was written.

    Attributes:
        path: where it is.
        bytes: its size.
        pixels: height times width of its images.
    """

    path: Path
    bytes: int
    pixels: int


@dataclass(frozen=True)
class _Job:
    tokenizer: ImageTokenizer
    models: Sequence[EntropyModel]
    header: Header
    target_bpp: float | None
    overwrite: bool
    profiles: Sequence[bytes]

    def of(self, pictures: slice) -> _Job:
        """The job with the colour profiles of these pictures in its header."""
        attached = {**self.header.attachments, **profile_attachment(self.profiles[pictures])}
        return replace(self, header=replace(self.header, attachments=attached))


def compress_files(
    tokenizer: ImageTokenizer,
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    stages: int | None = None,
    target_bpp: float | None = None,
    lossless: bool = False,
    batch_size: int = 64,
    jobs: int = 1,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Compressed]:
    """Compress picture files, each to a file of its own or all to one.

    Everything that can be checked without decoding is checked before anything is written. Each
    file appears under its name when it is complete; those that are finished stay, whatever happens
    after. Colour profiles go into the files; of lossy ones, those that mean sRGB do not.

    Args:
        tokenizer: a tokenizer with a codebook.
        files: the pictures.
        out: a path ending in ``.vcb`` takes all of them into one file; any other is a folder for
            one file each; None writes each beside its picture.
        entropy: uniform, static, adaptive, or a model.
        statistics: counts of the tokenizer's codes; static needs them, adaptive uses them. None
            takes the tokenizer's own.
        stages: keep the first so many stages of a residual quantizer.
        target_bpp: keep the most stages for which a file has at most so many bits per pixel.
        lossless: store the exact pixels too, which decompression then returns.
        batch_size: most pictures of a batch.
        jobs: threads that code, beside the network.
        overwrite: replace existing files.
        advance: called with the number of pictures finished.

    Returns:
        The files written, in order.

    Raises:
        DataError: a picture is missing, a folder, damaged, of no size, or in colour for a grey
            tokenizer.
        OptionError: an option does not fit the tokenizer, or two pictures would share an output.
        OutputError: an output exists or cannot be written.
    """
    for option, value in (("batch size", batch_size), ("jobs", jobs)):
        if value < 1:
            raise OptionError(f"{option}: expected an integer >= 1, got {value}")
    if stages is not None and target_bpp is not None:
        raise OptionError("compress: expected stages or a target rate, got both; give one of them")
    if target_bpp is not None and not target_bpp > 0:
        raise OptionError(
            f"target rate: expected bits per pixel above 0, got {target_bpp:g}; raise it"
        )
    if lossless and (stages is not None or target_bpp is not None):
        raise OptionError(
            "compress: expected lossless or a choice of stages, got both; give one of them: a "
            "lossless file has all stages, and decompress --stages N decodes the first of them"
        )
    if tokenizer.channels not in FILE_CHANNELS:
        raise OptionError(
            f"compress: expected a tokenizer of 1, 3 or 4 channels for picture files, got "
            f"{tokenizer.channels}; compress arrays in Python with codec.write"
        )
    model = choose_model(entropy, statistics_of(tokenizer, statistics))
    header, models = tokenizer_header(tokenizer, model, stages=stages), [model]
    if lossless:
        models.append(PixelModel(tokenizer))
        header = with_pixels(header, models[1])
    paths = [Path(file) for file in files]
    sizes = [checked_size(path, tokenizer.channels, exact=lossless) for path in paths]
    profiles = [profile_to_keep(path, tokenizer.channels, exact=lossless) for path in paths]
    job = _Job(tokenizer, models, header, target_bpp, overwrite, profiles)
    for path, size in zip(paths, sizes, strict=True):
        reason = model.refusal([stage.grid(size) for stage in header.code_stages])
        if reason:
            raise OptionError(f"{path}: {reason}")
    if out is not None and takes_all(Path(out)):
        check_new_file(Path(out), overwrite=overwrite)
        check_apart([Path(out)], paths)
        written = [_together(job, paths, sizes, Path(out), batch_size, jobs, advance)]
    else:
        targets = targets_of(paths, None if out is None else Path(out), overwrite)
        written = _one_each(job, paths, sizes, targets, batch_size, jobs, advance)
    return written


def checked_size(path: Path, channels: int, *, exact: bool) -> tuple[int, int]:
    """Height and width from a picture's header.

    Args:
        path: the picture.
        channels: what it will be decoded to.
        exact: refuse pictures of which that loses something.

    Raises:
        DataError: it is missing, a folder, no picture, of no size, or does not fit the channels.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected a picture file, got a folder; name the files in it")
    if not path.exists():
        raise DataError(f"{path}: expected a picture file, got nothing there; check the path")
    notes: list[str] = []
    try:
        header = read_header(path, notes)
    except BrokenImageError as reason:
        raise picture_error(path, reason) from None
    for note in notes[:1]:
        warnings.warn(f"{path}: {note}", DataWarning, stacklevel=2)
    if min(header.height, header.width) < 1:
        raise DataError(f"{path}: expected a picture with pixels, got none; leave it out")
    if header.channels > channels:
        raise DataError(
            f"{path}: expected a grey picture, as this run's images have {channels} channel, got "
            f"one of {header.channels}; convert it or give a run for colour"
        )
    lost = what_is_lost(path, channels) if exact else ""
    if lost:
        raise DataError(
            f"{path}: expected a picture that {channels} channels of 8 bits hold without loss, got "
            f"{lost}; convert it first, or compress it without --lossless"
        )
    return header.height, header.width


def takes_all(out: Path) -> bool:
    """Whether an output is one file for all pictures, not a folder for a file each."""
    return out.suffix == SUFFIX or is_stream(out)


def targets_of(paths: Sequence[Path], out: Path | None, overwrite: bool) -> list[Path]:
    """Where each picture's file goes, all new and all different.

    Args:
        paths: the pictures.
        out: a folder; None puts each file beside its picture.
        overwrite: allow existing files.

    Raises:
        OptionError: two pictures would share an output.
        OutputError: an output exists, or `out` is a file.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise OutputError(
            f"{out}: expected a folder or a name ending in {SUFFIX}, got a file; choose another"
        )
    folders = {path.parent: path.parent.resolve() for path in paths}
    owners: dict[Path, Path] = {}
    targets = []
    for path in paths:
        name = f"{cut_name(path.stem, LONGEST_NAME - len(SUFFIX))}{SUFFIX}"
        target = (path.parent if out is None else out) / name
        owner = owners.setdefault((folders[path.parent] if out is None else out) / name, path)
        if owner is not path:
            raise OptionError(
                f"{path}: expected pictures of different names, got {owner} too, which "
                f"both go to {target}; compress them into one file with -o NAME{SUFFIX}"
            )
        targets.append(target)
    for target in targets:
        check_new_file(target, overwrite=overwrite)
    check_apart(targets, paths)
    return targets


def _batches(sizes: Sequence[tuple[int, int]], batch_size: int) -> Iterator[range]:
    """Neighbours of equal size, of at most `BATCH_PIXELS` pixels."""
    first = 0
    for i in range(1, len(sizes) + 1):
        most = max(1, min(batch_size, BATCH_PIXELS // math.prod(sizes[first])))
        if i == len(sizes) or sizes[i] != sizes[first] or i - first == most:
            yield range(first, i)
            first = i


def _signals(
    job: _Job, paths: Sequence[Path], sizes: Sequence[tuple[int, int]], batch_size: int
) -> Iterator[tuple[int, CodedSignal]]:
    """The codes of each picture in order; the next batch is read while the network runs."""
    channels = job.tokenizer.channels

    def load(number: int) -> NDArray[np.uint8]:
        try:
            return decode(paths[number], channels)
        except BrokenImageError as reason:
            raise picture_error(paths[number], reason) from None

    tasks = ((i, math.prod(size)) for i, size in enumerate(sizes))
    overlap = _has_room_beside(job.tokenizer)
    images = map_ahead(load, tasks, workers=default_workers(), overlap=overlap)
    with closing(images):
        for batch in _batches(sizes, batch_size):
            pixels = torch.from_numpy(np.stack([next(images) for _ in batch])).permute(0, 3, 1, 2)
            signals = encode_images(job.tokenizer, pixels, lossless=job.header.lossless)
            yield from zip(batch, signals, strict=True)


def _has_room_beside(tokenizer: ImageTokenizer) -> bool:
    """Whether work beside the network gains time.

    Where the network fills all cores, a thread that takes one makes every thread of it wait.
    """
    return device_of(tokenizer).type != "cpu" or torch.get_num_threads() < cores()


def _one_each(
    job: _Job,
    paths: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    targets: Sequence[Path],
    batch_size: int,
    jobs: int,
    advance: Callable[[int], None],
) -> list[Compressed]:
    waiting: deque[Future[list[Compressed]]] = deque()
    group: list[tuple[int, CodedSignal]] = []
    written: list[Compressed] = []
    overlap = _has_room_beside(job.tokenizer)
    places = {target: place for place, target in enumerate(targets)}

    def save(coded: Sequence[tuple[int, Future[bytes]]]) -> list[Compressed]:
        contents = ((targets[i], content.result()) for i, content in coded)
        new_files(contents, overwrite=job.overwrite)
        return [
            Compressed(targets[i], len(content.result()), math.prod(sizes[i]))
            for i, content in coded
        ]

    def submit() -> None:
        coded = [
            (i, coders.submit(_coded, job.of(slice(i, i + 1)), [signal], targets[i]))
            for i, signal in group
        ]
        group.clear()
        for first in range(min(_SAVERS, len(coded))):
            waiting.append(savers.submit(save, coded[first::_SAVERS]))

    def finish(most: int) -> None:
        while len(waiting) > most:
            done = waiting.popleft().result()
            written.extend(done)
            advance(len(done))

    # Leaving the pools finishes the files whose codes are known, also where a later picture fails.
    with ThreadPoolExecutor(_SAVERS) as savers, ThreadPoolExecutor(jobs) as coders:
        try:
            try:
                for i, signal in _signals(job, paths, sizes, batch_size):
                    group.append((i, signal))
                    if len(group) == _GROUP or len(group) * math.prod(sizes[i]) >= _GROUP_PIXELS:
                        submit()
                        finish(2 * _SAVERS if overlap else 0)
            finally:
                submit()
            finish(0)
        except KeyboardInterrupt:  # who stops it does not want to wait for the rest
            for pool in (coders, savers):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(written, key=lambda one: places[one.path])


def _together(
    job: _Job,
    paths: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    target: Path,
    batch_size: int,
    jobs: int,
    advance: Callable[[int], None],
) -> Compressed:
    def signals() -> Iterator[CodedSignal]:
        for _, signal in _signals(job, paths, sizes, batch_size):
            yield signal
            advance(1)

    names = [path.name for path in paths] if len(paths) > 1 else []
    named = job.of(slice(None))
    attachments = {**named.header.attachments, **name_attachment(names)}
    named = replace(named, header=replace(named.header, attachments=attachments))
    with output_errors(target), new_file(target, overwrite=job.overwrite) as hidden:
        if job.target_bpp is None:
            with open(hidden, "xb") as file:
                size = write_signals(file, named.header, job.models, signals(), jobs=jobs)
        else:
            size = hidden.write_bytes(_coded(named, signals(), target, jobs=jobs))
    return Compressed(target, size, sum(math.prod(size) for size in sizes))


def _coded(job: _Job, signals: Iterable[CodedSignal], target: Path, *, jobs: int = 1) -> bytes:
    """The bytes of one file, of the most stages that the target rate allows."""
    file = io.BytesIO()
    write_signals(file, job.header, job.models, signals, jobs=jobs)
    content = file.getvalue()
    if job.target_bpp is None:
        return content
    least = least_stages(job.tokenizer, joined=job.models[0].joins)
    return _at_rate(content, job.target_bpp, least, target)


def _at_rate(content: bytes, target_bpp: float, least: int, target: Path) -> bytes:
    """The file cut to the most stages that a rate allows."""
    found = inspect(content, limits=NO_LIMITS)
    for stages in range(found.header.kept, least - 1, -1):
        shorter = io.BytesIO()
        cut(content, shorter, stages, limits=NO_LIMITS)
        rate = 8 * len(shorter.getvalue()) / found.pixels
        if rate <= target_bpp:
            return shorter.getvalue()
    raise OptionError(
        f"{target}: expected at most {target_bpp:g} bits per pixel, got {rate:.4g} with the fewest "
        f"stages ({least}); raise the target or use another tokenizer"
    )
