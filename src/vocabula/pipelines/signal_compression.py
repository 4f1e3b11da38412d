"""Turns files of signals into compressed files, each file to one of all its signals."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from vocabula.codec.batching import regrouped
from vocabula.codec.choice import choose_model
from vocabula.codec.header import Header
from vocabula.codec.inspection import inspect
from vocabula.codec.known_models import statistics_of
from vocabula.codec.layouts import to_signals
from vocabula.codec.limits import NO_LIMITS
from vocabula.codec.models import EntropyModel
from vocabula.codec.stages import least_stages, name_attachment, tokenizer_header
from vocabula.codec.writer import CodedSignal, write_signals
from vocabula.data.base import Source
from vocabula.data.kinds import open_data
from vocabula.data.long_signal import LongSignal, Parts
from vocabula.errors import OptionError
from vocabula.evaluation.batches import read_bounded
from vocabula.files import check_apart, check_new_file, new_file, output_errors
from vocabula.pipelines.compress import Closeness, Compressed, Compression, Files, Options
from vocabula.pipelines.picture_targets import takes_all, targets_of
from vocabula.pipelines.rate_search import levels_spending, rate_states, weighing
from vocabula.pipelines.signal_fidelity import SignalFidelity
from vocabula.pipelines.target_rate import at_rate
from vocabula.signals import Signal
from vocabula.tokenizers import SignalTokenizer
from vocabula.tokenizers.inference import device_of
from vocabula.tokenizers.passing import codes_of_parts, takes_parts


class SignalCompression(Compression):
    """Compresses every file to one of all its signals, in memory that depends on a batch alone."""

    def count(self, files: Files) -> int:
        """The number of files."""
        return len(files)

    def closeness(self) -> SignalFidelity:
        """The mean squared error over the variance."""
        return SignalFidelity()

    def write(
        self,
        tokenizer: SignalTokenizer,
        files: Files,
        out: Path | None,
        options: Options,
        closeness: Closeness | None,
    ) -> list[Compressed]:
        """Compress files; see `compress_files`."""
        if options.lossless:
            raise OptionError(
                f"lossless: expected images, got a tokenizer of {tokenizer.signal.plural}; "
                "compress without it"
            )
        model = choose_model(options.entropy, statistics_of(tokenizer, options.statistics))
        header = tokenizer_header(tokenizer, model, stages=options.stages)
        fidelity = cast("SignalFidelity | None", closeness)
        written = []
        for one in self.entries(tokenizer.signal, [Path(file) for file in files], out, options):
            job = _Job(tokenizer, model, header, options, one.source, fidelity)
            written.append(job.write(one.target, one.bytes))
            options.advance(one.count)
        return written

    def entries(
        self, signal: Signal, paths: Sequence[Path], out: Path | None, options: Options
    ) -> Sequence[Entry]:
        """What is written, all checked as far as can be without reading signals.

        Raises:
            DataError: an input is missing, of another kind, or of other channels.
            OptionError: two inputs would share an output.
            OutputError: an output exists.
        """
        sources = [open_data(signal, os.fspath(path), strict=options.strict) for path in paths]
        targets = _targets(paths, out, options.overwrite)
        triples = zip(sources, targets, paths, strict=True)
        return [Entry(source, target, path.stat().st_size) for source, target, path in triples]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file to write.

    Attributes:
        source: its signals; their `Source.keys` are stored as names.
        target: the file.
        bytes: size of the original files.
        count: what it counts for in `Options.advance`.
    """

    source: Source
    target: Path
    bytes: int
    count: int = 1


def _targets(paths: Sequence[Path], out: Path | None, overwrite: bool) -> list[Path]:
    if out is None or not takes_all(out):
        advice = "compress them into different folders with -o"
        return targets_of(paths, out, overwrite, what="files", advice=advice)
    if len(paths) > 1:
        raise OptionError(
            f"{out}: expected one input for the name of a file, got {len(paths)}; give a folder"
        )
    check_new_file(out, overwrite=overwrite)
    check_apart([out], paths)
    return [out]


@dataclass
class _Job:
    """The work on one file."""

    tokenizer: SignalTokenizer
    model: EntropyModel
    header: Header
    options: Options
    source: Source
    fidelity: SignalFidelity | None

    def write(self, target: Path, before: int) -> Compressed:
        """Write the file. A second pass leaves out the names of signals that are broken."""
        names: list[str] = list(self.source.keys or ())
        with output_errors(target), new_file(target, overwrite=self.options.overwrite) as hidden:
            kept = self._write_to(hidden, names, target)
            if names and len(kept) < len(names):
                hidden.unlink()
                kept = self._write_to(hidden, kept, target)
            found = inspect(hidden, limits=NO_LIMITS)
            if self.fidelity is not None:
                self.fidelity.finish(len(found.header.symbols))
        kind = found.header.signal
        return Compressed(
            target, found.file_bytes, found.units, found.signals, before, kind.unit, kind.thing
        )

    def _write_to(self, hidden: Path, names: Sequence[str], target: Path) -> list[str]:
        """Write the file with these names; gives the names of the signals that were read."""
        attachments = {**self.header.attachments, **name_attachment(names, self.header.signal)}
        header, read = replace(self.header, attachments=attachments), list[str]()
        signals = self._signals(read if names else None)
        with open(hidden, "xb") as file:
            if self.options.target_bpp is None:
                self._code(file, header, signals)
            else:
                whole = io.BytesIO()
                self._code(whole, header, signals)
                least = least_stages(self.tokenizer, joined=self.model.joins)
                file.write(at_rate(whole.getvalue(), self.options.target_bpp, least, target))
        return read

    def _code(self, file: BinaryIO, header: Header, signals: Iterator[CodedSignal]) -> None:
        write_signals(file, header, [self.model], signals, jobs=self.options.jobs)

    def _signals(self, names: list[str] | None) -> Iterator[CodedSignal]:
        """The coded signals of the source, whose names are added to `names`."""
        tokenizer, fidelity = self.tokenizer, self.fidelity
        if fidelity is not None:
            fidelity.begin(tokenizer, len(self.source))
        for x in self._regrouped(self._values(names)):
            if isinstance(x, Parts):
                yield self._long(x)
                continue
            levels = levels_spending(tokenizer, x, self.options.spending, self.model)
            if fidelity is not None:
                fidelity.look(x, levels)
            for signal in to_signals(levels, x.shape[2:]):
                self._check(signal)
                yield signal

    def _regrouped(self, values: Iterator[Tensor | Parts]) -> Iterator[Tensor | Parts]:
        """Signals without axes in the batches that files have; others as they come."""
        if self.tokenizer.strides:
            return values
        return regrouped((x for x in values if isinstance(x, Tensor)), self.tokenizer)

    def _long(self, x: Parts) -> CodedSignal:
        """The codes of a long signal."""
        tokenizer, fidelity = self.tokenizer, self.fidelity
        heard = x if fidelity is None else fidelity.listening(x)
        with weighing(tokenizer, self.options.spending.scale):
            levels = [torch.from_numpy(codes) for codes in codes_of_parts(tokenizer, heard)]
        if fidelity is not None:
            fidelity.look_at_parts(levels)
        (signal,) = to_signals(levels, (x.length,))
        self._check(signal)
        return signal

    def _check(self, signal: CodedSignal) -> None:
        """Refuse signals that the entropy model cannot code."""
        grids = [stage.grid(signal.size) for stage in self.header.code_stages]
        reason = self.model.refusal(grids)
        if reason:
            raise OptionError(f"{self.source.name}: {reason}")

    def _values(self, names: list[str] | None) -> Iterator[Tensor | Parts]:
        tokenizer, options = self.tokenizer, self.options
        searched = options.spending.effort > 0 and bool(rate_states(tokenizer))  # as a whole
        batches = read_bounded(
            self.source,
            batch_size=options.batch_size,
            device=device_of(tokenizer),
            parts=takes_parts(tokenizer) and not searched,
        )
        with closing(batches):
            for batch in batches:
                if names is not None:
                    names += batch.paths
                yield batch.parts if isinstance(batch, LongSignal) else batch.values
