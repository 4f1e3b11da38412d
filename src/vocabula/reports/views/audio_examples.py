"""Some recordings of a source beside what they decode to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vocabula.codec.stages import least_stages, tokenizer_stages
from vocabula.data.audio import AudioSource
from vocabula.evaluation.batches import read_batches
from vocabula.evaluation.metrics import METRICS
from vocabula.levels import levels_of
from vocabula.pipelines.fidelity import without
from vocabula.reports.pictures import code_colours, data_uri
from vocabula.reports.sounds import PLAYER_BYTES, Sound, sound_of
from vocabula.signals import Condition
from vocabula.signals.audio import Audio
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import inference

MOST_SECONDS = 60
"""Sound that stages are compared on, the first of the source."""
MOST_BOOKS = 8
"""Books whose codes are drawn."""
_ROW = 6  # pixels of a book in a code map


@dataclass(frozen=True, slots=True)
class Example:
    """One recording on the page.

    Attributes:
        path: where it came from.
        caption: its length and how close the reconstruction is.
        sounds: the original, the first stage alone where there are more, and the reconstruction.
        codes: the ``data:`` URI of the code map; empty without codes.
    """

    path: str
    caption: str
    sounds: list[Sound]
    codes: str


def make_examples(tokenizer: SignalTokenizer, source: AudioSource, count: int) -> list[Example]:
    """Evenly spaced examples, those that can be read."""
    wanted = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round())
    numbers = dict.fromkeys(source.readable(int(place)) for place in wanted)
    return [_example(tokenizer, source, number) for number in numbers]


def _example(tokenizer: SignalTokenizer, source: AudioSource, number: int) -> Example:
    rate = _signal(tokenizer).sample_rate
    longest = PLAYER_BYTES // (2 * source.channels)
    batch = source.batch_of([(number, source.read_span(number, 0, longest))], named=True)
    condition = tokenizer.known(batch.attributes, source.names)
    levels, outputs = _decoded(tokenizer, batch.values, condition)
    x = tokenizer.signal.to_values(batch.values)
    fidelity = METRICS.of(tokenizer.signal.kind)
    meter = fidelity.measuring(tokenizer.signal)
    meter.add(outputs[-1], x)
    found = ", ".join(f"{row.name} {row.value}" for row in fidelity.rows(meter.figures())[:3])
    sounds = [sound_of(x[0], rate, "original")]
    if len(outputs) > 1:
        sounds.append(sound_of(outputs[0][0], rate, "first stage"))
    sounds.append(sound_of(outputs[-1][0], rate, "decoded"))
    seconds = tokenizer.signal.units(x.shape[2:])
    return Example(batch.paths[0], f"{seconds:.2f} s; {found}", sounds, _code_map(levels))


def distances_by_stage(tokenizer: SignalTokenizer, source: AudioSource) -> list[float]:
    """The log-mel distance of the first recordings decoded with 1, 2, ... stages.

    Empty where codes cannot be decoded in part.
    """
    if len(_stage_books(tokenizer)) <= 1:
        return []
    metrics = METRICS.of(tokenizer.signal.kind)
    meters = [metrics.measuring(tokenizer.signal) for _ in _stage_books(tokenizer)]
    heard = 0.0
    for batch in read_batches(source, batch_size=16):
        condition = tokenizer.known(batch.attributes, source.names)
        _, outputs = _decoded(tokenizer, batch.values, condition, every=True)
        x = tokenizer.signal.to_values(batch.values)
        for meter, output in zip(meters, outputs, strict=True):
            meter.add(output, x)
        heard += len(batch) * tokenizer.signal.units(x.shape[2:])
        if heard >= MOST_SECONDS:
            break
    return [float(meter.figures()["log_mel_distance"] or 0) for meter in meters]


def _stage_books(tokenizer: SignalTokenizer) -> list[int]:
    """Books of all levels together with the first stages that can be decoded, to all."""
    if not all(level.codebook_sizes for level in tokenizer.levels):
        return []
    books = np.cumsum([len(stage.symbols) for stage in tokenizer_stages(tokenizer)])
    return [int(n) for n in books[least_stages(tokenizer) - 1 :]]


def _decoded(
    tokenizer: SignalTokenizer, values: Tensor, condition: Condition | None, *, every: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """The codes of a batch, and what they decode to with the fewest stages and with all.

    Args:
        tokenizer: the tokenizer.
        values: (B, C, T).
        condition: what is known of the recordings.
        every: decode with every number of stages between too.
    """
    with inference(tokenizer) as device:
        x = tokenizer.signal.to_values(values.to(device))
        books = _stage_books(tokenizer)
        if not books:
            return [], [tokenizer.reconstruct(x, condition=condition).cpu()]
        levels = list(levels_of(tokenizer.encode(x)))
        chosen = books if every else sorted({books[0], books[-1]})
        outputs = []
        for left in chosen:
            codes = without([level.clone() for level in levels], left, tokenizer)
            outputs.append(tokenizer.decode(codes, condition, size=x.shape[2:]).cpu())
        return [level.cpu() for level in levels], outputs


def _code_map(levels: list[Tensor]) -> str:
    """The codes of one recording: time to the right, the books of all levels below one another."""
    if not levels:
        return ""
    rows = [book for level in levels for book in level[0].reshape(level.shape[1], -1).T.numpy()]
    longest = max(map(len, rows))
    # a coarser level has fewer, wider codes
    wide = [row[np.arange(longest) * len(row) // longest] for row in rows[:MOST_BOOKS]]
    return data_uri(np.repeat(code_colours(np.stack(wide)), _ROW, axis=0))


def _signal(tokenizer: SignalTokenizer) -> Audio:
    signal = tokenizer.signal
    assert isinstance(signal, Audio), "the kind of signal chose this view"
    return signal
