"""Turns files of signals into compressed files, in the way of each kind of signal."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vocabula.codec.models import EntropyModel
from vocabula.errors import OptionError
from vocabula.pipelines.rate_search import Spending, spending
from vocabula.roles import Role
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics

Files = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class Compressed:
    """One file that was written.

    Attributes:
        path: where it is.
        bytes: its size.
        units: number of units in it, in which rates are counted.
        items: number of signals in it.
        original_bytes: total size of their original files.
        unit: what rates are counted in, such as ``pixel``.
        item: what one signal is called, such as ``picture``.
    """

    path: Path
    bytes: int
    units: float
    items: int
    original_bytes: int
    unit: str
    item: str

    @property
    def rate(self) -> str:
        """Bits per unit in words."""
        return f"{8 * self.bytes / self.units:.4g} bits per {self.unit}"


class Closeness(Protocol):
    """How close compressed signals are to the originals, measured while files are written."""

    @property
    def words(self) -> str:
        """The result in words; empty where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `compress_files` that all kinds of signals have."""

    entropy: str | EntropyModel = "adaptive"
    statistics: CodeStatistics | None = None
    stages: int | None = None
    target_bpp: float | None = None
    spending: Spending = field(default_factory=Spending)
    lossless: bool = False
    batch_size: int | None = None
    jobs: int = 1
    overwrite: bool = False
    strict: bool = False
    advance: Callable[[int], None] = lambda count: None


class Compression(ABC):
    """How files of one kind of signal are compressed."""

    @abstractmethod
    def count(self, files: Files) -> int:
        """How often `Options.advance` counts for these files in all."""

    @abstractmethod
    def closeness(self) -> Closeness:
        """A new measure for `write` to fill in."""

    @abstractmethod
    def write(
        self,
        tokenizer: SignalTokenizer,
        files: Files,
        out: Path | None,
        options: Options,
        closeness: Closeness | None,
    ) -> list[Compressed]:
        """Compress files; see `compress_files`."""


COMPRESSION = Role[type[Compression]](
    "compression",
    {
        "audio": "vocabula.pipelines.sound_compression:SoundCompression",
        "image": "vocabula.pipelines.picture_compression:PictureCompression",
    },
    default="vocabula.pipelines.signal_compression:SignalCompression",
)
"""How each kind of signal is compressed: by default, every file to one of all its signals."""


def compress_files(
    tokenizer: SignalTokenizer,
    files: Files,
    out: str | os.PathLike[str] | None = None,
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    stages: int | None = None,
    target_bpp: float | None = None,
    quality: float | None = None,
    effort: int | None = None,
    lossless: bool = False,
    batch_size: int | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    strict: bool = False,
    fidelity: Closeness | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Compressed]:
    """Compress files of signals: each to a file of its own, or all pictures to one.

    Everything that can be checked without decoding is checked before anything is written. Each
    file appears under its name when it is complete; finished files stay, even if a later one fails.
    Colour profiles of pictures are stored in the files, except sRGB profiles in lossy files.

    Args:
        tokenizer: a tokenizer with a codebook.
        files: for images pictures, for sound recordings, and folders of them, which are read
            recursively; for other kinds files of signals, such as .npy files of vectors, each of
            which becomes one file.
        out: a path ending in ``.vcb`` puts all pictures or recordings, or the signals of one other
            file, into one file; any other is a folder with one file for each of `files`, which
            mirrors folders; None writes each beside its original.
        entropy: uniform, static, adaptive, or a model.
        statistics: counts of the tokenizer's codes; static needs them, adaptive uses them. None
            takes the tokenizer's own.
        stages: keep only this many first stages of a residual quantizer.
        target_bpp: keep the most stages with which a file has at most this many bits per unit: per
            pixel, per vector, per second. For pictures and a rate term, the highest quality for
            which that holds is chosen instead, for each picture.
        quality: 0 to 100; how much bits weigh in the search of a rate term, see `Spending`.
        effort: 0 to 3; see `Spending`.
        lossless: also store the exact pixels of images, which decompression then returns.
        batch_size: most signals of a batch; None takes what suits the kind.
        jobs: threads that code, in addition to the network.
        overwrite: replace existing files.
        strict: also refuse files in a folder that are not pictures, and broken signals, instead of
            warning about them.
        fidelity: measures how close the signals are to the originals; `Compression.closeness` of
            the kind makes it.
        advance: called with the number of pictures, or of other files, finished.

    Returns:
        The files written, in order.

    Raises:
        DataError: an input is missing, damaged, empty, of another kind, or of other channels.
        OptionError: an option does not fit the tokenizer, or two inputs would share an output.
        OutputError: an output exists or cannot be written.
    """
    for option, value in (("batch size", batch_size), ("jobs", jobs)):
        if value is not None and value < 1:
            raise OptionError(f"{option}: expected an integer >= 1, got {value}")
    tokenizer.refuse_condition("compress")
    spent = spending(tokenizer, quality, effort)
    if stages is not None and target_bpp is not None:
        raise OptionError("compress: expected stages or a target rate, got both; give one of them")
    if target_bpp is not None and not 0 < target_bpp < float("inf"):
        raise OptionError(
            f"target rate: expected bits per {tokenizer.signal.unit} above 0, got {target_bpp:g}; "
            "give a number such as 0.5"
        )
    if quality is not None and target_bpp is not None:
        raise OptionError(
            "compress: expected quality or a target rate, got both; give one of them: the target "
            "chooses the quality"
        )
    if lossless and (stages is not None or target_bpp is not None):
        raise OptionError(
            "compress: expected lossless or a choice of stages, got both; give one of them: a "
            "lossless file has all stages, and decompress --stages N decodes the first of them"
        )
    options = Options(
        entropy=entropy,
        statistics=statistics,
        stages=stages,
        target_bpp=target_bpp,
        spending=spent,
        lossless=lossless,
        batch_size=batch_size,
        jobs=jobs,
        overwrite=overwrite,
        strict=strict,
        advance=advance,
    )
    place = None if out is None else Path(out)
    compression = COMPRESSION.of(tokenizer.signal.kind)()
    return compression.write(tokenizer, files, place, options, fidelity)
