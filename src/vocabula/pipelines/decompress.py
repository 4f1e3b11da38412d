"""Turns compressed files back into files of signals, in the way of each kind of signal."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import Tensor

from vocabula.codec.batching import decoded_bounded
from vocabula.codec.blocks import check_needs_none, holds_blocks
from vocabula.codec.inspection import Inspection, inspect
from vocabula.codec.kinds import IMAGE, KINDS
from vocabula.codec.known_models import known_models, statistics_of
from vocabula.codec.layouts import check_kind, check_tokenizer
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.pixels import PixelModel
from vocabula.codec.reader import Reader, opened
from vocabula.data.long_signal import Parts
from vocabula.errors import CodecError
from vocabula.files import check_apart, output_errors
from vocabula.pipelines.targets import list_files
from vocabula.roles import Role
from vocabula.signals.code_names import CodeNames
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.code_statistics import CodeStatistics

Listed = Sequence[tuple[Path, Path]]
"""Compressed files with their places in the folders that the user named."""


class Decompression(ABC):
    """How signals of one kind from compressed files are written.

    Attributes:
        thing: what one output is called; several have an s more.
    """

    thing: str

    @abstractmethod
    def targets(
        self, listed: Listed, found: Sequence[Inspection], out: Path | None, overwrite: bool
    ) -> list[Path]:
        """The output of each file, all new and all different.

        Raises:
            OptionError: `out` is no place for them.
            OutputError: an output exists, or two files share one.
        """

    @abstractmethod
    def write(
        self, signals: Iterator[Tensor | Parts], found: Inspection, target: Path, overwrite: bool
    ) -> Iterator[Path]:
        """Write the signals of a file, which is read to its end; gives the files written."""


DECOMPRESSION = Role[type[Decompression]](
    "decompression",
    {
        "audio": "vocabula.pipelines.sound_decompression:SoundDecompression",
        "image": "vocabula.pipelines.picture_decompression:PictureDecompression",
    },
    default="vocabula.pipelines.signal_decompression:SignalDecompression",
)
"""How each kind of signal is written: by default, all signals of a file to one file of arrays."""


def decompression_for(tokenizer: SignalTokenizer | None) -> Decompression:
    """How files of a tokenizer are decompressed; without one, files of blocks."""
    kind = KINDS[IMAGE].name if tokenizer is None else tokenizer.signal.kind
    return DECOMPRESSION.of(kind)()


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
    """Decompress files: to PNG pictures, recordings, or .npy or parquet files of other signals.

    A file of one image becomes one picture of its name; a file of several becomes a folder of its
    name, with pictures named as the originals or numbered; likewise recordings, as .wav files. A
    file of vectors becomes one file. The structure of every compressed file is checked before the
    first is decoded; each output appears when it is complete, and finished ones stay, even if a
    later file fails.

    Args:
        tokenizer: the one that compressed them; None if all are files of blocks.
        files: compressed files, and folders of them, whose structure `out` mirrors.
        out: for one file a path ending in ``.png`` (one image), ``.wav`` or ``.flac`` (one
            recording), ``.npy`` or ``.parquet``, otherwise a folder, of recordings also
            ``folder/*.flac``; None writes beside each file.
        statistics: the counts of codes that the files were compressed with, if any; None takes the
            tokenizer's own.
        models: further entropy models that they may have been compressed with.
        stages: decode only this many first stages.
        limits: caps on what a file may hold.
        jobs: threads that decode codes.
        overwrite: replace existing outputs.
        advance: called with the number of files finished.

    Returns:
        The files written, in order.

    Raises:
        CodecError: a file is damaged, foreign, too large, of another kind, or needs another
            tokenizer or model.
        OptionError: `out` does not suit the files, or the tokenizer's images have a number of
            channels that PNG cannot hold.
        OutputError: an output exists or cannot be written.
    """
    listed = list_files(files)
    paths = [path for path, _ in listed]
    found = [inspect(path, stages=stages, limits=limits) for path in paths]
    if tokenizer is not None:
        statistics = statistics_of(tokenizer, statistics)
    offered = _checked(tokenizer, paths, found, statistics, models)
    how = decompression_for(tokenizer)
    targets = how.targets(listed, found, None if out is None else Path(out), overwrite)
    check_apart(targets, paths)
    written: list[Path] = []
    for path, one, target in zip(paths, found, targets, strict=True):
        with opened(path) as (file, name), output_errors(target):
            reader = Reader(file, name, limits=limits, stages=stages)
            if reader.header.cut(reader.stages) != one.header:
                raise CodecError(f"{path}: expected the file as it was, got another; run again")
            known = known_models(name, statistics, offered)
            signals = decoded_bounded(reader, tokenizer, known, jobs=jobs)
            written += how.write(signals, one, target, overwrite)
        advance(1)
    return written


def _checked(
    tokenizer: SignalTokenizer | None,
    paths: Sequence[Path],
    found: Sequence[Inspection],
    statistics: CodeStatistics | None,
    models: Sequence[EntropyModel],
) -> list[EntropyModel]:
    """Entropy models besides the usual ones, after a check that every file can be decoded."""
    more = list(models)
    names = CodeNames("")
    if tokenizer is not None:
        names = tokenizer.code_names()
        more.append(PixelModel(tokenizer))
    for path, one in zip(paths, found, strict=True):
        if tokenizer is None:
            check_needs_none(one.header, str(path))
        elif holds_blocks(one.header):
            check_kind(one.header, tokenizer, str(path))
        else:
            check_tokenizer(one.header, tokenizer, str(path), names)
        for wanted in one.header.needed.values():
            known_models(str(path), statistics, more)(one.header, wanted)
    return more
