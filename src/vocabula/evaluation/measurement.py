"""Measures a tokenizer on a source of signals: fidelity, bits, and how the codebook is used."""

from __future__ import annotations

import time
from contextlib import closing

from torch import Tensor

from vocabula.data import Source
from vocabula.data.long_signal import LongSignal, Parts
from vocabula.evaluation.batches import read_bounded, signal_count
from vocabula.evaluation.code_reference import CodeReference, computes_otherwise
from vocabula.evaluation.counting import counted
from vocabula.evaluation.level_meter import LevelMeter
from vocabula.evaluation.metrics import METRICS
from vocabula.evaluation.result import Evaluation
from vocabula.signals import Condition
from vocabula.signals.codes import code_rates
from vocabula.tokenizers import Analysis, SignalTokenizer
from vocabula.tokenizers.analysis import without_loss
from vocabula.tokenizers.inference import device_of, inference
from vocabula.tokenizers.passing import takes_parts, windows
from vocabula.tokenizers.posterior import PosteriorStatistics


def evaluate(
    tokenizer: SignalTokenizer,
    source: Source,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
    compare_codes: bool | None = None,
) -> Evaluation:
    """Reconstruct every signal of a source through its codes and measure the result.

    The tokenizer runs in evaluation mode, on the device it is on, without gradients, and is left
    in the mode it was in. Signals keep their size; those that cannot be read are left out.

    Args:
        tokenizer: the tokenizer, discrete or continuous (a VAE).
        source: signals of the tokenizer's kind, with its number of channels.
        batch_size: most signals of a batch; None takes the source's own.
        limit: measure the first `limit` signals only.
        workers: threads that read ahead; None takes one for each core, 0 reads in this one.
        progress: show a progress bar on a terminal.
        compare_codes: encode up to 256 of the signals again on the CPU in float32, each in a batch
            of its own, and count the codes that differ; None does so if the tokenizer is on another
            device or computes in another precision.

    Returns:
        The figures; see `Evaluation` for what each means.

    Raises:
        DataError: no signal can be read, or the channels differ from the tokenizer's.
        OptionError: `batch_size` or `limit` is below 1, or `workers` is below 0.

    Example:
        >>> from vocabula import load, open_source
        >>> figures = evaluate(load("runs/photos"), open_source("sample:photos/test"))
        >>> figures.images, 0 < figures.psnr < 100
        (1, True)
    """
    started = time.perf_counter()
    total = signal_count(source, limit)
    compares = computes_otherwise(tokenizer) if compare_codes is None else compare_codes
    meter = Meter(tokenizer, compare=total if compares else 0)
    batches = read_bounded(
        source,
        batch_size=batch_size,
        limit=limit,
        workers=workers,
        device=device_of(tokenizer),
        parts=takes_parts(tokenizer),
    )
    with (
        inference(tokenizer),
        counted("evaluating", total, show=progress) as advance,
        closing(batches),
    ):
        for batch in batches:
            known = tokenizer.known(batch.attributes, source.names)
            if isinstance(batch, LongSignal):
                meter.add_parts(batch.parts, known)
            else:
                meter.add(batch.values, known)
            advance(len(batch.paths))
    return meter.result(
        data=source.name,
        skipped=total - meter.count,
        seconds=time.perf_counter() - started,
    )


class Meter:
    """Gathers the figures of an `Evaluation`, batch by batch, in float64.

    Args:
        tokenizer: the tokenizer that is measured, in evaluation mode.
        compare: how many signals there will be, if some are to be compared with the codes of the
            CPU in float32; see `CodeReference`. 0 compares none.

    Attributes:
        count: signals measured so far.
    """

    def __init__(self, tokenizer: SignalTokenizer, *, compare: int = 0) -> None:
        self.count = 0
        self._tokenizer = tokenizer
        self._signal = tokenizer.signal
        self._fidelity = METRICS.of(self._signal.kind).measuring(self._signal)
        self._levels = [LevelMeter(level) for level in tokenizer.levels]
        self._posterior: PosteriorStatistics | None = None
        compares = compare > 0 and any(level.codebook_sizes for level in tokenizer.levels)
        self._reference = CodeReference(tokenizer, compare) if compares else None
        self._sums = dict.fromkeys(("latent", "likelihood", "dims", "units"), 0.0)

    def add(self, signals: Tensor, condition: Condition | None = None) -> None:
        """Measure signals (B, C, *extent), as `Signal.check` accepts them.

        Args:
            signals: the originals.
            condition: what is known of them, for a decoder that takes it.
        """
        x = self._signal.to_values(signals.to(device_of(self._tokenizer)))
        found = self._tokenizer.analyse(x, condition=condition)
        self._count_latent(found)
        if self._reference is not None:
            self._reference.add(x, [level.codes for level in found.levels])
        self._fidelity.add(found.output, x)
        dims = x[0].numel()
        self._sums["latent"] += float(found.bits.codes.double().sum() * dims)
        self._sums["likelihood"] += float(found.bits.likelihood.double().sum() * dims)
        self._sums["dims"] += x.numel()
        self._sums["units"] += len(x) * self._signal.units(x.shape[2:])
        self.count += len(x)

    def add_parts(self, parts: Parts, condition: Condition | None = None) -> None:
        """Measure a long signal, whose memory does not depend on its length; see `takes_parts`.

        Bits per dimension are not counted: no kind of such signals states them.
        """
        tokenizer, device = self._tokenizer, device_of(self._tokenizer)
        contexts = tokenizer.encode_context, tokenizer.decode_context
        with self._fidelity.following(parts.length) as add:
            for number, (tile, seen) in enumerate(windows(tokenizer, parts, *contexts)):
                x = self._signal.to_values(seen.to(device))
                found = tokenizer.analyse(x, condition=condition)
                if self._reference is not None and number == 0:  # it counts signals, not parts
                    self._reference.add(x, [level.codes for level in found.levels])
                add(found.output[:, :, *tile.kept()], x[:, :, *tile.kept()])
                for meter, own, one in zip(
                    self._levels, tokenizer.levels, found.levels, strict=True
                ):
                    place = tile.kept(own.stride)
                    meter.add(without_loss(one.values[:, *place], one.codes[:, *place]))
        self._sums["dims"] += parts.length * tokenizer.channels
        self._sums["units"] += self._signal.units((parts.length,))
        self.count += 1

    def _count_latent(self, found: Analysis) -> None:
        """Count the codes of every level, and the posterior of a VAE."""
        for meter, level, vectors in zip(self._levels, found.levels, found.vectors, strict=True):
            meter.add(level)
            posterior = meter.quantizer.posterior(vectors)
            if posterior is not None:
                self._posterior = self._posterior or PosteriorStatistics(meter.quantizer.dim)
                self._posterior.add(*posterior)

    def result(self, *, data: str, skipped: int = 0, seconds: float = 0.0) -> Evaluation:
        """The figures of everything added.

        Args:
            data: name of the source.
            skipped: signals that could not be read.
            seconds: time it took.
        """
        s, posterior, reference = self._sums, self._posterior, self._reference
        books = [book for level in self._levels for book in level.books()]
        levels = [level.result(s["units"]) for level in self._levels]
        stored = self._signal.depth is not None
        return Evaluation(
            signal=self._signal,
            data=data,
            count=self.count,
            skipped=skipped,
            seconds=seconds,
            fidelity=self._fidelity.figures(),
            bits_per_dim_latent=s["latent"] / s["dims"] if stored else None,
            bits_per_dim_likelihood=s["likelihood"] / s["dims"] if stored else None,
            rates=code_rates(self._signal, [level.spec for level in self._tokenizer.levels]),
            code_bits=sum(level.bits for level in self._levels) / s["units"] if books else None,
            usage=sum(b.usage for b in books) / len(books) if books else None,
            perplexity=sum(b.perplexity for b in books) / len(books) if books else None,
            books=books,
            kl_per_dimension=posterior.kl_per_dimension.tolist() if posterior else None,
            variance_per_dimension=posterior.mean_variance.tolist() if posterior else None,
            active_units=posterior.active_units if posterior else None,
            levels=levels if len(levels) > 1 else [],
            codes_differ=reference.share if reference else None,
            codes_compared=reference.compared if reference else None,
            histograms=tuple(h for level in self._levels for h in level.histograms),
            mean_values=tuple(level.mean_values() for level in self._levels),
        )
