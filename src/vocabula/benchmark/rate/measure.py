"""Compresses and decodes pictures at every rate of a tokenizer, and likewise with rivals."""

from __future__ import annotations

import io
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.benchmark.rate.code_bits import CodeCounter
from vocabula.benchmark.rate.matching import Fidelity, RivalPicture, fidelity
from vocabula.benchmark.rate.picture_codecs import PictureCodec, check_channels, picture_codecs
from vocabula.benchmark.rate.speed import TIMED, measure_speeds
from vocabula.benchmark.rate.study import Picture, RateStudy, summarize
from vocabula.codec import CodeStatistics, EntropyModel, choose_model, cut, read
from vocabula.codec.batching import encode_batch
from vocabula.codec.header import Header
from vocabula.codec.known_models import statistics_of
from vocabula.codec.stages import least_stages, tokenizer_header
from vocabula.codec.writer import CodedSignal, write_signals
from vocabula.data import ImageSource
from vocabula.data.png import to_bytes
from vocabula.errors import OptionError
from vocabula.evaluation.batches import read_batches, signal_count
from vocabula.evaluation.counting import counted
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of


def measure_rates(
    tokenizer: SignalTokenizer,
    source: ImageSource,
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    jobs: int = 1,
    rivals: Sequence[PictureCodec] | None = None,
    progress: bool = False,
) -> RateStudy:
    """Measure the size of whole files and the fidelity of their pictures against classical codecs.

    Every picture is written to its own file with each number of stages that the tokenizer can
    decode, and all pictures together to one file. Rivals get as many bytes per picture as our file
    takes. Values in [0, 1] are first rounded to 8 bits for all codecs.

    Args:
        tokenizer: with a codebook, of 1 or 3 channels.
        source: the pictures, with the same number of channels.
        entropy: the entropy model; see `codec.write`.
        statistics: counts of the tokenizer's codes; static needs them, adaptive uses them.
        limit: measure the first `limit` pictures only.
        batch_size: most pictures that are encoded at a time; None takes 64.
        jobs: threads that measure the rivals.
        rivals: what to compare with; None: `picture_codecs`, all that are there.
        progress: show a progress bar on a terminal.

    Returns:
        The figures; see `RateStudy`.

    Raises:
        DataError: no picture can be read, or the channels differ from the tokenizer's.
        OptionError: the tokenizer is continuous or of other channels, or an option is out of range.
    """
    _check(tokenizer.channels, jobs)
    rivals = picture_codecs() if rivals is None else rivals
    known = statistics_of(tokenizer, statistics)
    model = choose_model(entropy, known)
    header = tokenizer_header(tokenizer, model, stages=None)
    work = _Work(tokenizer, model, header, rivals)
    total = signal_count(source, limit)
    batches = read_batches(source, batch_size=batch_size, limit=limit, device=device_of(tokenizer))
    pictures: list[Picture] = []
    counter, timed = CodeCounter(header.symbols), list[NDArray[np.uint8]]()
    with (
        tempfile.TemporaryFile() as together,
        ThreadPoolExecutor(jobs) as pool,
        counted("measuring", total, show=progress) as advance,
        closing(batches),
    ):

        def signals() -> Iterator[CodedSignal]:
            waiting: deque[Future[Picture]] = deque()

            def finish(most: int) -> None:
                while len(waiting) > most:
                    pictures.append(waiting.popleft().result())
                    advance(1)

            for batch in batches:
                pixels = to_bytes(tokenizer.signal.to_values(batch.values))
                planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2))
                for i, signal in enumerate(encode_batch(tokenizer, planes)):
                    own = work.own(signal, pixels[i])
                    counter.add(signal)
                    timed.extend([pixels[i].copy()] * (len(timed) < TIMED))
                    waiting.append(pool.submit(work.beside, batch.paths[i], pixels[i], own))
                    finish(2 * jobs)
                    yield signal
            finish(0)

        write_signals(together, header, [model], signals())
        one_file = [_cut_size(together, n) for n in work.stages] if len(pictures) > 1 else []
    return summarize(
        pictures,
        data=source.name,
        entropy=entropy if isinstance(entropy, str) else model.id.name.lower(),
        skipped=total - len(pictures),
        stages=work.stages,
        qualities={rival.name: rival.qualities for rival in rivals},
        one_file_bytes=one_file,
        speeds=measure_speeds(tokenizer, model, rivals, timed, [p.qualities for p in pictures]),
        code_bits=None if known is None else counter.bits(known),
    )


def _check(channels: int, jobs: int) -> None:
    if jobs < 1:
        raise OptionError(f"jobs: expected an integer >= 1, got {jobs}")
    check_channels(channels)


@dataclass(frozen=True)
class _Work:
    """The work on one picture."""

    tokenizer: SignalTokenizer
    model: EntropyModel
    header: Header
    rivals: Sequence[PictureCodec]

    @property
    def stages(self) -> range:
        """The numbers of stages that can be decoded."""
        least = least_stages(self.tokenizer, joined=self.model.joins)
        return range(least, self.header.kept + 1)

    def own(
        self, signal: CodedSignal, pixels: NDArray[np.uint8]
    ) -> tuple[tuple[int, Fidelity], ...]:
        """Our files of a picture and how close they come to it."""
        whole = io.BytesIO()
        write_signals(whole, self.header, [self.model], [signal])
        found = []
        for stages in self.stages:
            file = io.BytesIO()
            cut(whole.getvalue(), file, stages)
            content = file.getvalue()
            (output,) = read(content, self.tokenizer, models=[self.model])
            decoded = output.permute(1, 2, 0).numpy()
            found.append((len(content), fidelity(decoded, pixels)))
        return tuple(found)

    def beside(
        self, path: str, pixels: NDArray[np.uint8], own: tuple[tuple[int, Fidelity], ...]
    ) -> Picture:
        """The rivals' files of a picture, on their curves and at our file sizes."""
        curves, matched, qualities = {}, {}, {}
        for rival in self.rivals:
            files = RivalPicture(rival, pixels)
            curves[rival.name] = tuple((files.size(q), files.fidelity(q)) for q in rival.qualities)
            matched[rival.name] = tuple(files.at(size) for size, _ in own)
            qualities[rival.name] = files.quality_for(own[-1][0])
        return Picture(path, pixels.shape[0] * pixels.shape[1], own, curves, matched, qualities)


def _cut_size(file: BinaryIO, stages: int) -> int:
    """Size in bytes of a file with its first stages alone."""
    file.seek(0)
    with open(os.devnull, "wb") as nowhere:
        return cut(file, nowhere, stages)
