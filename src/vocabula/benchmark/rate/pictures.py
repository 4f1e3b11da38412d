"""How `vocabula rate` measures pictures: beside JPEG, WebP, AVIF and JPEG XL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from vocabula.benchmark.rate.base import Rates
from vocabula.benchmark.rate.measure import measure_rates
from vocabula.benchmark.rate.output import write_rates
from vocabula.benchmark.rate.study import RateStudy
from vocabula.benchmark.rate.words import code_bits_sentence, rate_tables, verdict
from vocabula.benchmark.tables import Table
from vocabula.data import ImageSource, Source
from vocabula.tokenizers import SignalTokenizer


class PictureRates(Rates):
    """See `measure_rates`."""

    files: ClassVar[str] = "PICTURES"
    reader: ClassVar[str] = "pillow"

    def measure(self, tokenizer: SignalTokenizer, source: Source, **options: Any) -> RateStudy:
        """See `measure_rates`."""
        assert isinstance(source, ImageSource), "images have image sources"
        return measure_rates(tokenizer, source, **options)

    def tables(self, study: RateStudy) -> Sequence[Table]:
        """See `rate_tables`."""
        return rate_tables(study)

    def verdict(self, study: RateStudy) -> str:
        """See `words.verdict` and `words.code_bits_sentence`."""
        return " ".join(filter(None, [verdict(study), code_bits_sentence(study)]))

    def write(self, folder: Path, study: RateStudy, about: Mapping[str, Any]) -> None:
        """See `write_rates`."""
        write_rates(folder, study, about)
