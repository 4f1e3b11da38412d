"""Rate and distortion of a tokenizer's files against classical codecs, by the kind of signal.

    picture --> codes --> .vcb, cut after each stage --> decoded picture --> PSNR, SSIM
         |                 | bytes
         +--> JPEG, WebP, AVIF, JPEG XL of that size, between two qualities --> PSNR, SSIM

`measure_rates` gives the figures, `write_rates` writes them to a folder, and `verdict` says in one
sentence where the tokenizer wins and where it loses.
"""

from vocabula.benchmark.rate.base import RATES, Rates
from vocabula.benchmark.rate.beside import jpeg_beside
from vocabula.benchmark.rate.bjontegaard import bd_rate
from vocabula.benchmark.rate.figure import rate_figure
from vocabula.benchmark.rate.measure import measure_rates
from vocabula.benchmark.rate.output import FIGURES, write_rates
from vocabula.benchmark.rate.study import Comparison, RatePoint, RateStudy
from vocabula.benchmark.rate.words import rate_tables, verdict

__all__ = [
    "FIGURES",
    "RATES",
    "Comparison",
    "RatePoint",
    "RateStudy",
    "Rates",
    "bd_rate",
    "jpeg_beside",
    "measure_rates",
    "rate_figure",
    "rate_tables",
    "verdict",
    "write_rates",
]
