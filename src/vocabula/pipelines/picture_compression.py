"""Turns picture files into compressed files, each picture to its own or all to one."""

from __future__ import annotations

import io
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.budgets import BATCH_POSITIONS, GROUP_PICTURES, GROUP_PIXELS
from vocabula.codec.choice import choose_model
from vocabula.codec.header import Header
from vocabula.codec.inspection import inspect
from vocabula.codec.known_models import statistics_of
from vocabula.codec.limits import NO_LIMITS
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel, with_pixels
from vocabula.codec.profiles import profile_attachment, profile_to_keep
from vocabula.codec.stages import least_stages, name_attachment, tokenizer_header
from vocabula.codec.writer import CodedSignal, write_signals
from vocabula.data.ahead import cores, default_workers, map_ahead
from vocabula.data.image_files import find_images
from vocabula.data.image_problems import BrokenImageError, DataWarning, picture_error, summarize
from vocabula.data.pixels import FILE_CHANNELS, decode
from vocabula.errors import DataError, OptionError, plural
from vocabula.files import check_apart, check_new_file, new_file, new_files, output_errors
from vocabula.pipelines.compress import Closeness, Compressed, Compression, Files, Options
from vocabula.pipelines.fidelity import Fidelity
from vocabula.pipelines.gathering import Picture, gather_pictures
from vocabula.pipelines.picture_targets import (
    checked_size,
    takes_all,
    targets_of,
    warn_of_frames,
)
from vocabula.pipelines.rate_search import (
    Spending,
    encode_spending,
    rate_states,
    search_quality,
)
from vocabula.pipelines.target_rate import at_rate
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of

BATCH_SIZE = 64
"""Most pictures of a batch, unless the caller says."""
_SAVERS = 16
"""Threads that save small files: each waits for the disk most of the time."""


@dataclass(frozen=True)
class _Job:
    tokenizer: SignalTokenizer
    models: Sequence[EntropyModel]
    header: Header
    target_bpp: float | None
    spending: Spending
    overwrite: bool
    pictures: Sequence[Picture]
    profiles: Sequence[bytes]
    fidelity: Fidelity | None
    damaged: dict[int, DataError] = field(default_factory=dict)

    def of(self, pictures: slice) -> _Job:
        """The job with the colour profiles of these pictures in its header."""
        attached = {**self.header.attachments, **profile_attachment(self.profiles[pictures])}
        return replace(self, header=replace(self.header, attachments=attached))

    @property
    def cuts(self) -> bool:
        """Whether files are cut to the target rate, and not encoded for it."""
        return self.target_bpp is not None and not rate_states(self.tokenizer)


class PictureCompression(Compression):
    """Compresses picture files, and folders of them, each to its own file or all to one."""

    def count(self, files: Files) -> int:
        """The number of pictures."""
        return sum(len(find_images(Path(f))[0]) if Path(f).is_dir() else 1 for f in files)

    def closeness(self) -> Fidelity:
        """The peak signal-to-noise ratio."""
        return Fidelity()

    def write(
        self,
        tokenizer: SignalTokenizer,
        files: Files,
        out: Path | None,
        options: Options,
        closeness: Closeness | None,
    ) -> list[Compressed]:
        """Compress pictures; see `compress_files`."""
        job = _job(tokenizer, files, options, cast("Fidelity | None", closeness))
        paths = [picture.path for picture in job.pictures]
        batch_size, jobs = options.batch_size or BATCH_SIZE, options.jobs
        if out is not None and takes_all(out):
            check_new_file(out, overwrite=options.overwrite)
            check_apart([out], paths)
            return [_all_in_one(job, out, batch_size, jobs, options.advance)]
        names = [picture.name for picture in job.pictures]
        targets = targets_of(paths, out, options.overwrite, names)
        written = _one_each(job, targets, batch_size, jobs, options.advance)
        _warn_of(job.damaged, of=len(paths))
        return written


def _job(
    tokenizer: SignalTokenizer, files: Files, options: Options, fidelity: Fidelity | None
) -> _Job:
    """Everything that can be checked before the first picture is decoded."""
    if tokenizer.channels not in FILE_CHANNELS:
        raise OptionError(
            f"compress: expected a tokenizer of 1, 3 or 4 channels for picture files, got "
            f"{tokenizer.channels}; compress arrays in Python with codec.write"
        )
    model = choose_model(options.entropy, statistics_of(tokenizer, options.statistics))
    header, models = tokenizer_header(tokenizer, model, stages=options.stages), [model]
    lossless = options.lossless
    if lossless:
        models.append(PixelModel(tokenizer))
        header = with_pixels(header, models[1])
    pictures = gather_pictures(
        files,
        lambda path: checked_size(path, tokenizer.channels, exact=lossless),
        strict=options.strict,
    )
    for picture in pictures:
        reason = model.refusal([stage.grid(picture.size) for stage in header.code_stages])
        if reason:
            raise OptionError(f"{picture.path}: {reason}")
    paths = [picture.path for picture in pictures]
    if not lossless:  # which refuses them
        warn_of_frames(paths)
    profiles = [profile_to_keep(path, tokenizer.channels, exact=lossless) for path in paths]
    return _Job(
        tokenizer,
        models,
        header,
        options.target_bpp,
        options.spending,
        options.overwrite,
        pictures,
        profiles,
        fidelity,
    )


def _warn_of(damaged: Mapping[int, DataError], *, of: int) -> None:
    """Warn about pictures in folders that were left out because they are damaged.

    Raises:
        DataError: all of them are.
    """
    if not damaged:
        return
    reasons = [str(error).rsplit("; ", 1)[0] for error in damaged.values()]
    count = plural(len(reasons), "damaged picture")
    if len(damaged) == of:
        raise DataError(
            f"compress: expected pictures, got only {count}: {summarize(reasons)}; "
            "copy or download them again"
        )
    text = f"compress: left out {count}: {summarize(reasons)}"
    warnings.warn(text, DataWarning, stacklevel=3)


def _batches(sizes: Sequence[tuple[int, int]], batch_size: int) -> Iterator[range]:
    """Neighbours of equal size, with at most `BATCH_POSITIONS` pixels together."""
    first = 0
    for i in range(1, len(sizes) + 1):
        most = max(1, min(batch_size, BATCH_POSITIONS // math.prod(sizes[first])))
        if i == len(sizes) or sizes[i] != sizes[first] or i - first == most:
            yield range(first, i)
            first = i


def _signals(job: _Job, batch_size: int) -> Iterator[tuple[int, CodedSignal]]:
    """The codes of each picture in order; the next batch is read while the network runs.

    A damaged picture of a folder is noted and left out.
    """
    channels = job.tokenizer.channels
    fidelity = None if job.header.lossless else job.fidelity
    sizes = [picture.size for picture in job.pictures]

    def load(number: int) -> NDArray[np.uint8] | None:
        picture = job.pictures[number]
        try:
            return decode(picture.path, channels)
        except BrokenImageError as reason:
            error = picture_error(picture.path, reason)
            if picture.folder is None:
                raise error from None
            job.damaged[number] = error
            return None

    if fidelity is not None:
        fidelity.begin(job.tokenizer, sizes)
    tasks = ((i, math.prod(size)) for i, size in enumerate(sizes))
    overlap = _has_room_beside(job.tokenizer)
    images = map_ahead(load, tasks, workers=default_workers(), overlap=overlap)
    with closing(images):
        for batch in _batches(sizes, batch_size):
            decoded = {i: image for i in batch if (image := next(images)) is not None}
            if not decoded:
                continue
            pixels = torch.from_numpy(np.stack([*decoded.values()])).permute(0, 3, 1, 2)
            numbers = [*decoded]
            decoded.clear()
            signals = _encoded(job, numbers, pixels)
            for i, image, signal in zip(numbers, pixels, signals, strict=True):
                if fidelity is not None:
                    fidelity.look(i, image, signal)
                yield i, signal
            del pixels, image, signal, signals  # nothing else keeps it alive


def _encoded(job: _Job, numbers: Sequence[int], pixels: Tensor) -> list[CodedSignal]:
    """The codes of a batch of pictures, with the quality that the target rate allows each."""
    tokenizer, exact = job.tokenizer, job.header.lossless
    if job.target_bpp is None or job.cuts:
        model = job.models[0]
        return encode_spending(tokenizer, pixels, job.spending, lossless=exact, model=model)
    found = []
    for number, image in zip(numbers, pixels.split(1), strict=True):
        alone = job.of(slice(number, number + 1))
        most = job.target_bpp * math.prod(job.pictures[number].size) / 8
        tries: dict[float, list[CodedSignal]] = {}

        def make(quality: float, image=image, alone=alone, tries=tries) -> int:  # type: ignore[no-untyped-def]
            spent = replace(alone.spending, quality=quality)
            tries[quality] = encode_spending(tokenizer, image, spent, model=alone.models[0])
            return write_signals(io.BytesIO(), alone.header, alone.models, tries[quality])

        quality = search_quality(make, most, job.pictures[number].path)
        found += tries[quality]
    return found


def _has_room_beside(tokenizer: SignalTokenizer) -> bool:
    """Whether work in parallel with the network saves time.

    If the network uses all cores, a thread that takes one makes all its threads wait.
    """
    return device_of(tokenizer).type != "cpu" or torch.get_num_threads() < cores()


def _one_each(
    job: _Job,
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
        return [_compressed(targets[i], len(one.result()), [job.pictures[i]]) for i, one in coded]

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

    # Leaving the pools finishes the files whose codes are known, even if a later picture fails.
    with ThreadPoolExecutor(_SAVERS) as savers, ThreadPoolExecutor(jobs) as coders:
        try:
            try:
                for i, signal in _signals(job, batch_size):
                    group.append((i, signal))
                    if (
                        len(group) == GROUP_PICTURES
                        or len(group) * math.prod(signal.size) >= GROUP_PIXELS
                    ):
                        submit()
                        finish(2 * _SAVERS if overlap else 0)
            finally:
                submit()
            finish(0)
        except KeyboardInterrupt:  # a user who stops it does not want to wait for the rest
            for pool in (coders, savers):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
    _measure(job, lambda i: targets[i])
    return sorted(written, key=lambda one: places[one.path])


def _compressed(path: Path, size: int, pictures: Sequence[Picture]) -> Compressed:
    pixels = sum(math.prod(picture.size) for picture in pictures)
    before = sum(picture.path.stat().st_size for picture in pictures)
    return Compressed(path, size, pixels, len(pictures), before, "pixel", "picture")


def _measure(job: _Job, file_of: Callable[[int], Path | bytes]) -> None:
    """Measure the requested fidelity with as many streams as each file holds."""

    def kept(number: int) -> int:
        header = job.header
        if job.cuts:
            header = inspect(file_of(number), limits=NO_LIMITS).header
        return sum(len(stage.symbols) for stage in header.stages[: header.kept])

    if job.fidelity is not None and job.header.lossless:
        job.fidelity.exact()
    elif job.fidelity is not None:
        job.fidelity.finish(kept)


def _all_in_one(
    job: _Job, target: Path, batch_size: int, jobs: int, advance: Callable[[int], None]
) -> Compressed:
    """One file of all pictures; a second pass leaves out damaged ones."""
    try:
        return _together(job, target, batch_size, jobs, advance)
    except _DamagedError:
        whole = [i for i in range(len(job.pictures)) if i not in job.damaged]
        _warn_of(job.damaged, of=len(job.pictures))
        pictures = [job.pictures[i] for i in whole]
        profiles = [job.profiles[i] for i in whole]
        again = replace(job, pictures=pictures, profiles=profiles, damaged={})
        return _together(again, target, batch_size, jobs, lambda count: None)


class _DamagedError(Exception):
    """Some pictures whose names are in the file being written are damaged."""


def _together(
    job: _Job, target: Path, batch_size: int, jobs: int, advance: Callable[[int], None]
) -> Compressed:
    def signals() -> Iterator[CodedSignal]:
        for _, signal in _signals(job, batch_size):
            yield signal
            advance(1)
        if job.damaged:
            raise _DamagedError

    several = len(job.pictures) > 1
    names = [picture.name.as_posix() for picture in job.pictures] if several else []
    named = job.of(slice(None))
    attachments = {**named.header.attachments, **name_attachment(names)}
    named = replace(named, header=replace(named.header, attachments=attachments))
    with output_errors(target), new_file(target, overwrite=job.overwrite) as hidden:
        if not job.cuts:
            with open(hidden, "xb") as file:
                size = write_signals(file, named.header, job.models, signals(), jobs=jobs)
        else:
            size = hidden.write_bytes(_coded(named, signals(), target, jobs=jobs))
        _measure(job, lambda i: hidden)
    return _compressed(target, size, job.pictures)


def _coded(job: _Job, signals: Iterable[CodedSignal], target: Path, *, jobs: int = 1) -> bytes:
    """The bytes of one file, with the most stages that the target rate allows."""
    file = io.BytesIO()
    write_signals(file, job.header, job.models, signals, jobs=jobs)
    content = file.getvalue()
    if job.target_bpp is None or not job.cuts:
        return content
    least = least_stages(job.tokenizer, joined=job.models[0].joins)
    return at_rate(content, job.target_bpp, least, target)
