"""Measures a tokenizer on a source of images: fidelity, bits, and how the codebook is used."""

from __future__ import annotations

import time
from contextlib import closing

import torch
from torch import Tensor

from vocabula.data import ImageSource
from vocabula.evaluation.batches import as_unit, counted, image_count, read_batches
from vocabula.evaluation.level_meter import LevelMeter
from vocabula.evaluation.metrics import moments, mse, psnr, ssim, ssim_window
from vocabula.evaluation.result import Evaluation
from vocabula.tokenizers import Analysis, GaussianBottleneck, SignalTokenizer
from vocabula.tokenizers.inference import device_of, inference
from vocabula.tokenizers.posterior import PosteriorStatistics


def evaluate(
    tokenizer: SignalTokenizer,
    source: ImageSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Reconstruct every image of a source through its codes and measure the result.

    The tokenizer runs in evaluation mode, on the device it is on, without gradients, and is left
    in the mode it was in. Images keep their size; those that cannot be decoded are left out.

    Args:
        tokenizer: the tokenizer, discrete or continuous (a VAE).
        source: the images, with the tokenizer's number of channels.
        batch_size: most images of a batch.
        limit: measure the first `limit` images only.
        workers: threads that decode ahead; None takes one for each core, 0 decodes in this one.
        progress: show a progress bar on a terminal.

    Returns:
        The figures; see `Evaluation` for what each means.

    Raises:
        DataError: no image can be read, or the channels differ from the tokenizer's.
        OptionError: `batch_size` or `limit` is below 1, or `workers` is below 0.

    Example:
        >>> from vocabula import load, open_source
        >>> figures = evaluate(load("runs/photos"), open_source("sample:photos/test"))
        >>> figures.images, 0 < figures.psnr < 100
        (1, True)
    """
    meter = Meter(tokenizer)
    started = time.perf_counter()
    total = image_count(source, limit)
    batches = read_batches(
        source, batch_size=batch_size, limit=limit, workers=workers, device=device_of(tokenizer)
    )
    with (
        inference(tokenizer),
        counted("evaluating", total, show=progress) as advance,
        closing(batches),
    ):
        for batch in batches:
            meter.add(batch.images)
            advance(len(batch.paths))
    return meter.result(
        data=source.name,
        skipped=total - meter.images,
        seconds=time.perf_counter() - started,
    )


class Meter:
    """Gathers the figures of an `Evaluation`, batch by batch, in float64.

    Args:
        tokenizer: the tokenizer that is measured, in evaluation mode.

    Attributes:
        images: images measured so far.
    """

    def __init__(self, tokenizer: SignalTokenizer) -> None:
        self.images = 0
        self._tokenizer = tokenizer
        self._levels = [LevelMeter(level) for level in tokenizer.levels]
        first = tokenizer.levels[0].quantizer
        continuous = isinstance(first, GaussianBottleneck)
        self._posterior = PosteriorStatistics(first.dim) if continuous else None
        self._window = 0
        names = ("error", "psnr", "ssim", "latent_bits", "likelihood_bits")
        self._sums = dict.fromkeys((*names, "dims", "pixels", "value", "square"), 0.0)

    def add(self, images: Tensor) -> None:
        """Measure images (B, C, H, W), uint8 or float in [0, 1]."""
        x = as_unit(images.to(device_of(self._tokenizer)))
        found = self._tokenizer.analyse(x)
        self._count_latent(found)
        output, bits, dims = found.output, found.bits, x[0].numel()
        error = mse(output, x).cpu()
        self._count("error", error.sum() * dims)
        self._count("psnr", psnr(error).sum())
        self._count("ssim", ssim(output, x).sum())
        self._count("latent_bits", bits.codes.double().sum() * dims)
        self._count("likelihood_bits", bits.likelihood.double().sum() * dims)
        self._count("dims", x.numel())
        self._count("pixels", x[:, 0].numel())
        value, square = moments(x)
        self._count("value", value)
        self._count("square", square)
        self.images += len(x)
        window = ssim_window(x.shape[-2], x.shape[-1])
        self._window = min(self._window or window, window)

    def _count(self, name: str, value: Tensor | float) -> None:
        self._sums[name] += float(value)

    def _count_latent(self, found: Analysis) -> None:
        """Count the codes of every level, and the posterior of a VAE."""
        for meter, level in zip(self._levels, found.levels, strict=True):
            meter.add(level)
            if self._posterior is not None and isinstance(meter.quantizer, GaussianBottleneck):
                self._posterior.add(*meter.quantizer.posterior(level.vectors))

    def result(self, *, data: str, skipped: int = 0, seconds: float = 0.0) -> Evaluation:
        """The figures of everything added.

        Args:
            data: name of the source.
            skipped: images that could not be read.
            seconds: time it took.
        """
        s = self._sums
        error = s["error"] / s["dims"]
        variance = s["square"] / s["dims"] - (s["value"] / s["dims"]) ** 2
        books = [book for level in self._levels for book in level.books()]
        levels = [level.result(s["pixels"]) for level in self._levels]
        posterior = self._posterior
        return Evaluation(
            data=data,
            images=self.images,
            skipped=skipped,
            seconds=seconds,
            mse=error,
            mse_over_variance=error / variance if variance > 0 else None,
            psnr=s["psnr"] / self.images,
            psnr_all_pixels=float(psnr(torch.tensor(error))),
            ssim=s["ssim"] / self.images,
            ssim_window=self._window,
            bits_per_dim_latent=s["latent_bits"] / s["dims"],
            bits_per_dim_likelihood=s["likelihood_bits"] / s["dims"],
            bits_per_dim=(s["latent_bits"] + s["likelihood_bits"]) / s["dims"],
            code_bits_per_pixel=sum(level.bits for level in self._levels) / s["pixels"]
            if books
            else None,
            usage=sum(b.usage for b in books) / len(books) if books else None,
            perplexity=sum(b.perplexity for b in books) / len(books) if books else None,
            books=books,
            kl_per_dimension=posterior.kl_per_dimension.tolist() if posterior else None,
            variance_per_dimension=posterior.mean_variance.tolist() if posterior else None,
            active_units=posterior.active_units if posterior else None,
            levels=levels if len(levels) > 1 else [],
            histograms=tuple(h for level in self._levels for h in level.histograms),
            mean_values=tuple(level.mean_values() for level in self._levels),
        )
