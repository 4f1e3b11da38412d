"""How `vocabula rate` measures signals of a kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from vocabula.benchmark.tables import Table
from vocabula.codec import EntropyModel
from vocabula.data import Source
from vocabula.roles import Role
from vocabula.tokenizers import SignalTokenizer


class Rates(ABC):
    """Measures the files of a tokenizer beside those of classical codecs.

    Attributes:
        files: what a command to copy calls the inputs.
        reader: distribution whose version belongs to the figures.
    """

    files: ClassVar[str]
    reader: ClassVar[str]

    @abstractmethod
    def measure(
        self,
        tokenizer: SignalTokenizer,
        source: Source,
        *,
        entropy: str | EntropyModel = "adaptive",
        limit: int | None = None,
        batch_size: int | None = None,
        jobs: int = 1,
        progress: bool = False,
    ) -> Any:
        """The figures of a source; the other methods take them."""

    @abstractmethod
    def tables(self, study: Any) -> Sequence[Table]:
        """The figures as tables."""

    @abstractmethod
    def verdict(self, study: Any) -> str:
        """Where the tokenizer wins and where it loses, in one sentence."""

    @abstractmethod
    def write(self, folder: Path, study: Any, about: Mapping[str, Any]) -> None:
        """Write the figures as JSON, rows and a plot."""


RATES = Role[type[Rates]](
    "rate",
    {
        "audio": "vocabula.benchmark.rate.sounds:SoundRates",
        "image": "vocabula.benchmark.rate.pictures:PictureRates",
    },
)
"""The kinds of signals that have classical codecs to be measured beside."""
