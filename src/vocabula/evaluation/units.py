"""How well codes stand for what an alignment says, such as phones: purity and information."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data import Source
from vocabula.errors import DataError, OptionError
from vocabula.evaluation.alignment import NONE, SILENCE, Alignment
from vocabula.evaluation.batches import read_batches, signal_count
from vocabula.evaluation.counting import counted
from vocabula.evaluation.metrics.base import Row, in_form
from vocabula.functional.mel import frame_count
from vocabula.levels import levels_of
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of, inference


@dataclass(frozen=True, slots=True)
class UnitFigures:
    """Figures of a matrix of counts, unit by label.

    Attributes:
        frames: how many frames were counted.
        phone_purity: accuracy of taking each unit for its most frequent label.
        cluster_purity: the share of frames in the most frequent unit of their label.
        pnmi: information that the unit gives of the label, as a share of the label's entropy; None
            where there is a single label.
    """

    frames: int
    phone_purity: float | None
    cluster_purity: float | None
    pnmi: float | None


@dataclass(frozen=True)
class Units:
    """How codes and labels go together.

    Attributes:
        labels: the labels, in the order of the columns of `counts`.
        counts: (K, labels) int64, how many frames of a label have each code.
        all: the figures of all frames.
        speech: those without silence.
        unlabelled: frames that the alignment does not name.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64] = field(repr=False)
    all: UnitFigures
    speech: UnitFigures
    unlabelled: int = 0

    @classmethod
    def of(cls, counts: NDArray[np.int64], labels: Sequence[str], unlabelled: int = 0) -> Units:
        """The figures of a matrix of counts (K, labels)."""
        spoken = [column for column, label in enumerate(labels) if label not in SILENCE]
        return cls(
            tuple(labels), counts, figures_of(counts), figures_of(counts[:, spoken]), unlabelled
        )

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON, with the matrix."""
        return {
            "codewords": len(self.counts),
            "labels": list(self.labels),
            "unlabelled_frames": self.unlabelled,
            "with_silence": asdict(self.all),
            "without_silence": asdict(self.speech),
            "counts": self.counts.tolist(),
        }

    def rows(self) -> list[Row]:
        """The figures to show, in order, each with its meaning."""
        found = [Row("units", f"{len(self.counts)}", f"K, beside {len(self.labels)} labels")]
        for figures, where in ((self.all, ""), (self.speech, ", no silence")):
            meanings = (
                ("phone purity", figures.phone_purity, "frames, each unit taken for its label"),
                ("cluster purity", figures.cluster_purity, "frames in their label's unit"),
                ("PNMI", figures.pnmi, "information on the label, of its entropy"),
            )
            of = f"of {figures.frames} frames"
            found += [Row(f"{n}{where}", in_form(v, ".3f"), f"{m}; {of}") for n, v, m in meanings]
        return found


def figures_of(counts: NDArray[np.int64]) -> UnitFigures:
    """Purities and normalized information of counts (K, labels).

    ::

        phone purity = sum_k max_l n_kl / n      cluster purity = sum_l max_k n_kl / n
        PNMI = I(unit; label) / H(label)

    Example:
        >>> figures_of(np.array([[3, 0], [0, 3]]))
        UnitFigures(frames=6, phone_purity=1.0, cluster_purity=1.0, pnmi=1.0)

    Source: Hsu et al. 2021, "HuBERT", section IV-C.
    """
    total = int(counts.sum())
    if not total:
        return UnitFigures(0, None, None, None)
    joint = counts / total
    unit, label = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    entropy = -float((label[label > 0] * np.log(label[label > 0])).sum())
    there = joint > 0
    information = float((joint[there] * np.log(joint[there] / (unit * label)[there])).sum())
    return UnitFigures(
        frames=total,
        phone_purity=float(counts.max(1).sum() / total),
        cluster_purity=float(counts.max(0).sum() / total),
        pnmi=information / entropy if entropy > 0 else None,
    )


def count_units(
    codes: NDArray[np.int64], labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> int:
    """Add frames to a matrix of counts.

    Args:
        codes: (n,) the unit of each frame.
        labels: (n,) the number of its label, `NONE` where it has none.
        counts: (K, labels), changed in place.

    Returns:
        The frames without a label.
    """
    inside = labels != NONE
    np.add.at(counts, (codes[inside], labels[inside]), 1)
    return int((~inside).sum())


def frame_centres(samples: int, stride: int, sample_rate: int) -> NDArray[np.float64]:
    """The middle of every frame of a recording, in seconds."""
    return (np.arange(frame_count(samples, stride)) + 0.5) * stride / sample_rate


def evaluate_units(
    tokenizer: SignalTokenizer,
    source: Source,
    alignment: Alignment,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Units:
    """Compare the codes of recordings with an alignment, frame by frame, each by its middle.

    Of several books the first is measured, of several levels the coarsest.

    Args:
        tokenizer: of recordings, with a codebook.
        source: the recordings.
        alignment: see `read_alignment`.
        batch_size: most recordings of a batch.
        limit: measure the first `limit` recordings only.
        workers: threads that read ahead; None takes one for each core.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError: the tokenizer is of another kind of signal, or has no codebook.
        DataError: no recording can be read, or the alignment does not fit one.
    """
    level, rate = tokenizer.levels[0], tokenizer.signal.sample_rate
    if rate is None or len(tokenizer.signal.axes) != 1:
        raise OptionError(
            f"--alignment: expected a tokenizer of recordings, got one of "
            f"{tokenizer.signal.plural}; leave it out"
        )
    if not level.codebook_sizes:
        raise OptionError("--alignment: expected a tokenizer with a codebook, got a continuous one")
    counts = np.zeros((level.codebook_sizes[0], len(alignment.labels)), np.int64)
    unlabelled = 0
    batches = read_batches(
        source, batch_size=batch_size, limit=limit, workers=workers, device=device_of(tokenizer)
    )
    total = signal_count(source, limit)
    with (
        inference(tokenizer) as device,
        counted("units", total, show=progress) as advance,
        closing(batches),
    ):
        for batch in batches:
            codes = levels_of(tokenizer.encode(batch.values.to(device)))[0].cpu().numpy()
            books = codes.reshape(*codes.shape[:2], -1)[..., 0]
            samples = batch.values.shape[2]
            centres = frame_centres(samples, level.strides[0], rate)
            for own, path in zip(books, batch.paths, strict=True):
                said = alignment.at(path, centres, samples / rate)
                unlabelled += count_units(own, said, counts)
            advance(len(batch))
    if not counts.any():
        raise DataError(f"{alignment.name}: expected labels of some frame, got none; check it")
    return Units.of(counts, alignment.labels, unlabelled)
