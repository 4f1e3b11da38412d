"""How `vocabula rate` measures sound: beside Opus and Codec2, where they are installed.

::

    recordings --> codes --> one .vcb file, cut after each stage --> decoded, joined --+
         |                                                                             +--> figures
         +--> joined --> opusenc, c2enc --> opusdec, c2dec --> delay taken away -------+
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.benchmark.rate.base import Rates
from vocabula.benchmark.rate.sound_codecs import SOUND_CODECS, SoundCodec
from vocabula.benchmark.rate.sound_output import write_sounds
from vocabula.benchmark.rate.sound_study import SoundPoint, SoundStudy
from vocabula.benchmark.rate.sound_words import sound_tables, sound_verdict
from vocabula.benchmark.tables import Table
from vocabula.codec import CodeStatistics, EntropyModel, choose_model, cut, inspect, read
from vocabula.codec.batching import encode_batch
from vocabula.codec.known_models import statistics_of
from vocabula.codec.limits import NO_LIMITS
from vocabula.codec.stages import least_stages, tokenizer_header
from vocabula.codec.writer import CodedSignal, write_signals
from vocabula.data import Source
from vocabula.evaluation.batches import read_batches, signal_count
from vocabula.evaluation.counting import counted
from vocabula.evaluation.metrics.audio import AudioFidelity
from vocabula.evaluation.metrics.spectra import BANDS, SECONDS, Resolution
from vocabula.signals.audio import Audio
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of

LONGEST_DELAY, DELAY_SECONDS = 0.06, 10
"""Seconds by which a codec may be late, and sound that the delay is found on."""
_STEP = 0.001


class SoundRates(Rates):
    """See `measure_sounds`."""

    files: ClassVar[str] = "RECORDINGS"
    reader: ClassVar[str] = "soundfile"

    def measure(self, tokenizer: SignalTokenizer, source: Source, **options: Any) -> SoundStudy:
        """See `measure_sounds`."""
        return measure_sounds(tokenizer, source, **options)

    def tables(self, study: SoundStudy) -> Sequence[Table]:
        """See `sound_tables`."""
        return sound_tables(study)

    def verdict(self, study: SoundStudy) -> str:
        """See `sound_verdict`."""
        return sound_verdict(study)

    def write(self, folder: Path, study: SoundStudy, about: Mapping[str, Any]) -> None:
        """See `write_sounds`."""
        write_sounds(folder, study, about)


def measure_sounds(
    tokenizer: SignalTokenizer,
    source: Source,
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    jobs: int = 1,
    rivals: Sequence[SoundCodec] = SOUND_CODECS,
    progress: bool = False,
) -> SoundStudy:
    """Measure bits per second and fidelity of recordings against classical codecs.

    All recordings go into one file, with each number of stages that the tokenizer can decode. Other
    codecs get all recordings joined, of several channels their mean; what they decode to is moved
    by the delay with which its log-mel distance is least. Everything is measured on the joined
    sound, at the tokenizer's rate.

    Args:
        tokenizer: of sound, with a codebook.
        source: the recordings.
        entropy: the entropy model; see `codec.write`.
        statistics: counts of the tokenizer's codes; static needs them, adaptive uses them.
        limit: measure the first `limit` recordings only.
        batch_size: most recordings that are read at a time.
        jobs: threads that code.
        rivals: what to compare with; those that are not installed are named.
        progress: show a progress bar on a terminal.

    Raises:
        DataError: no recording can be read, or a program fails.
        OptionError: the tokenizer is continuous, or an option is out of range.
    """
    signal = tokenizer.signal
    assert isinstance(signal, Audio), "the kind of signal chose this"
    model = choose_model(entropy, statistics_of(tokenizer, statistics))
    header = tokenizer_header(tokenizer, model, stages=None)
    total, originals = signal_count(source, limit), list[torch.Tensor]()

    def signals() -> Iterator[CodedSignal]:
        batches = read_batches(
            source, batch_size=batch_size, limit=limit, device=device_of(tokenizer)
        )
        with counted("measuring", total, show=progress) as advance, closing(batches):
            for batch in batches:
                x = signal.to_values(batch.values)
                originals.extend(x)
                yield from encode_batch(tokenizer, x)
                advance(len(x))

    file = io.BytesIO()
    write_signals(file, header, [model], signals(), jobs=jobs)
    recordings, joined = len(originals), torch.cat(originals, 1)
    originals.clear()  # a second copy
    least = least_stages(tokenizer, joined=model.joins)
    points = [
        _own(file.getvalue(), stages, tokenizer, model, joined, jobs)
        for stages in range(least, header.kept + 1)
    ]
    mono = joined.mean(0).float().numpy()
    reasons = {rival.name: rival.absent(signal.sample_rate, signal.channels) for rival in rivals}
    return SoundStudy(
        data=source.name,
        entropy=entropy if isinstance(entropy, str) else model.id.name.lower(),
        recordings=recordings,
        skipped=total - recordings,
        seconds=signal.units(joined.shape[1:]),
        points=tuple(points),
        curves={
            rival.name: tuple(_theirs(rival, mono, signal, each) for each in rival.settings)
            for rival in rivals
            if not reasons[rival.name]
        },
        absent={name: reason for name, reason in reasons.items() if reason},
    )


def _own(
    content: bytes,
    stages: int,
    tokenizer: SignalTokenizer,
    model: EntropyModel,
    joined: torch.Tensor,
    jobs: int,
) -> SoundPoint:
    """Our file with its first stages."""
    shorter = io.BytesIO()
    cut(content, shorter, stages, limits=NO_LIMITS)
    found = inspect(shorter.getvalue(), limits=NO_LIMITS)
    back = read(shorter.getvalue(), tokenizer, models=[model], limits=NO_LIMITS, jobs=jobs)
    return _point(
        str(stages),
        sum(found.stage_bytes),
        found.file_bytes,
        torch.cat(list(back), 1),
        joined,
        tokenizer.signal,
    )


def _theirs(
    rival: SoundCodec, mono: NDArray[np.float32], signal: Audio, setting: str
) -> SoundPoint:
    """A codec's file of all recordings."""
    coded = rival.code(mono, signal.sample_rate, setting)
    delay = find_delay(coded.wave, mono, signal.sample_rate)
    wave = moved(coded.wave, delay, len(mono))
    pair = (torch.from_numpy(wave)[None], torch.from_numpy(mono)[None])
    return _point(setting, coded.payload, coded.bytes, *pair, signal, delay)


def _point(
    setting: str,
    payload: int,
    size: int,
    output: torch.Tensor,
    wanted: torch.Tensor,
    signal: Any,
    delay: int = 0,
) -> SoundPoint:
    meter = AudioFidelity(signal.sample_rate)
    meter.add(output[None], wanted[None])
    figures, seconds = meter.figures(), signal.units(wanted.shape[1:])
    return SoundPoint(
        setting,
        8 * payload / seconds,
        8 * size / seconds,
        float(figures["log_mel_distance"] or 0),
        figures["stoi"],
        figures["si_sdr"],
        delay,
    )


def moved(wave: NDArray[np.float32], delay: int, length: int) -> NDArray[np.float32]:
    """A sound that begins `delay` samples later, cut or filled up with silence to a length."""
    early = wave[max(0, delay) :]
    early = np.pad(early, (max(0, -delay), 0))[:length]
    return np.ascontiguousarray(np.pad(early, (0, length - len(early))), np.float32)


def find_delay(wave: NDArray[np.float32], wanted: NDArray[np.float32], rate: int) -> int:
    """Samples by which a sound is late: those with the least log-mel distance, of one window.

    It is looked for in steps of a millisecond, up to `LONGEST_DELAY` to both sides, on the first
    `DELAY_SECONDS`. So codecs that keep no phases are found too.
    """
    length, step = min(len(wanted), DELAY_SECONDS * rate), max(1, round(_STEP * rate))
    most = round(LONGEST_DELAY * rate / step)
    one = Resolution.of(rate, SECONDS[0], BANDS[0])

    def decibels(x: NDArray[np.float32]) -> torch.Tensor:
        frames = one.frames(torch.from_numpy(np.ascontiguousarray(x))[None].double())
        return torch.cat([one.decibels(part) for part in frames], -1)

    original = decibels(wanted[:length])
    best, least = 0, math.inf
    for number in sorted(range(-most, most + 1), key=abs):
        apart = float((decibels(moved(wave, number * step, length)) - original).abs().mean())
        if apart < least:
            best, least = number * step, apart
    return best
