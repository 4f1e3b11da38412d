"""Files of codes of any origin."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vocabula.codec.choice import choose_model
from vocabula.codec.header import Header
from vocabula.codec.known_models import known_models
from vocabula.codec.limits import Limits
from vocabula.codec.models import EntropyModel
from vocabula.codec.reader import Reader, Source, opened
from vocabula.codec.signal_reading import read_signals
from vocabula.codec.stages import codes_header
from vocabula.codec.writer import CodedSignal, Target, write_signals
from vocabula.errors import OptionError
from vocabula.levels import array_of
from vocabula.tokenizers.code_statistics import CodeStatistics


@dataclass(frozen=True)
class CodeFile:
    """The codes of a file.

    Attributes:
        header: what the file says about itself.
        codes: for each signal a uint32 array, (h, w) for one book or (h, w, books) for several; for
            several levels a tuple of these, the coarsest first; None for a damaged signal that was
            skipped.
        sizes: (height, width) of each signal, in the same order; see `kinds` for signals of other
            than two axes, of which w is 1.
    """

    header: Header
    codes: list[Any]
    sizes: list[tuple[int, ...] | None]


def write_codes(
    target: Target,
    codes: Iterable[Any],
    codebook_sizes: Sequence[int],
    *,
    entropy: str | EntropyModel = "adaptive",
    statistics: CodeStatistics | None = None,
    jobs: int = 1,
    overwrite: bool = False,
) -> int:
    """Write grids of codes of any origin to one file.

    Args:
        target: a path or a binary stream.
        codes: for each signal an integer grid, (h, w) for one book or (h, w, books): an array, a
            list of rows, or a tensor on any device, such as ``quantizer.encode`` gives.
        codebook_sizes: K of each book.
        entropy: uniform, static, adaptive, or a model.
        statistics: counts of such codes; static needs them, adaptive compresses better with them.
        jobs: threads.
        overwrite: replace an existing file.

    Returns:
        Bytes written.

    Raises:
        OptionError: codes do not fit the books, or there are none.
        OutputError: the file exists or cannot be written.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> size = write_codes(file, [np.zeros((4, 4), np.int64)], [512])
        >>> read_codes(file.getvalue()).codes[0].shape
        (4, 4)
    """
    model = choose_model(entropy, statistics)
    header = codes_header(codebook_sizes, model)
    signals = (_grid_signal(grid, len(codebook_sizes)) for grid in codes)
    return write_signals(target, header, [model], signals, jobs=jobs, overwrite=overwrite)


def _grid_signal(grid: Any, books: int) -> CodedSignal:
    expected = "(h, w)" if books == 1 else f"(h, w, {books})"
    grid = array_of(grid)
    if grid.dtype.kind not in "iu":
        raise OptionError(f"codes: expected integers, got {grid.dtype}; give what encode returned")
    if grid.ndim != 2 + (books > 1) or (books > 1 and grid.shape[-1] != books):
        raise OptionError(
            f"codes: expected a grid {expected}, got shape {grid.shape}; reshape it, a sequence "
            "is one row"
        )
    return CodedSignal(grid.shape[:2], tuple(grid.reshape(*grid.shape[:2], books).T.swapaxes(1, 2)))


def read_codes(
    source: Source,
    *,
    statistics: CodeStatistics | None = None,
    models: Sequence[EntropyModel] = (),
    stages: int | None = None,
    limits: Limits | None = None,
    jobs: int = 1,
    skip_damaged: bool = False,
) -> CodeFile:
    """Read the codes of a file of any kind.

    Args:
        source: a path, bytes or a binary stream.
        statistics: the counts it was written with, if any.
        models: further entropy models that it may have been written with.
        stages: read only this many first stages.
        limits: caps on what the file may hold.
        jobs: threads.
        skip_damaged: give None for signals of a damaged segment, instead of raising.

    Raises:
        CodecError: the file is damaged, foreign, too large, or has another entropy model.
    """
    with opened(source) as (file, name):
        reader = Reader(
            file, name, limits=limits, stages=stages, skip_damaged=skip_damaged, gathers=True
        )
        reader.stages -= reader.header.cut(reader.stages).lossless  # pixels are not codes
        found = CodeFile(reader.header, [], [])
        for signal in read_signals(reader, known_models(name, statistics, models), jobs=jobs):
            found.codes.append(None if signal is None else _grids(reader, signal))
            found.sizes.append(None if signal is None else signal.size)
        return found


def _grids(reader: Reader, signal: CodedSignal) -> Any:
    """Codes (h, w) or (h, w, books) of each level; a single level is not in a tuple."""
    stages = reader.header.stages[: reader.stages]
    streams = iter(signal.streams)
    levels = []
    for _, same in itertools.groupby(stages, key=lambda stage: (stage.strides, stage.factors)):
        grids = [next(streams) for stage in same for _ in stage.symbols]
        levels.append(grids[0] if len(grids) == 1 else np.stack(grids, -1))
    return levels[0] if len(levels) == 1 else tuple(levels)
