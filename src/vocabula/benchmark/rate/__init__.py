"""Rate and distortion of a tokenizer's files beside JPEG and WebP, at as many bytes.

    picture --> codes --> .vcb, cut after each stage --> decoded picture --> PSNR, SSIM
         |                 | bytes
         +--> JPEG, WebP of that size, between two qualities --> PSNR, SSIM

`measure_rates` gives the figures, `write_rates` puts them into a folder, `verdict` is one sentence
that says where the tokenizer wins and where it loses.
"""

from vocabula.benchmark.rate.beside import jpeg_beside
from vocabula.benchmark.rate.figure import rate_figure
from vocabula.benchmark.rate.measure import measure_rates
from vocabula.benchmark.rate.output import FIGURES, write_rates
from vocabula.benchmark.rate.study import Comparison, RatePoint, RateStudy
from vocabula.benchmark.rate.words import rate_tables, verdict

__all__ = [
    "FIGURES",
    "Comparison",
    "RatePoint",
    "RateStudy",
    "jpeg_beside",
    "measure_rates",
    "rate_figure",
    "rate_tables",
    "verdict",
    "write_rates",
]
