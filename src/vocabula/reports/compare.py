"""Several tokenizers on the same signals: one table, and one page that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vocabula.data import Source
from vocabula.errors import OptionError, plural
from vocabula.evaluation.measurement import evaluate
from vocabula.evaluation.metrics import METRICS
from vocabula.evaluation.metrics.base import in_form
from vocabula.evaluation.result import Evaluation
from vocabula.tokenizers import SignalTokenizer

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Compared:
    """One of several tokenizers.

    Attributes:
        name: how it is called, such as its folder.
        figures: its measured figures.
        parameters: number of values that it learned.
        fingerprint: the hash that identifies it.
    """

    name: str
    figures: Evaluation
    parameters: int
    fingerprint: str

    def cells(self) -> tuple[str, ...]:
        """The row of the table, in the order of `columns`; a VAE has no codes."""
        found = self.figures
        chosen = METRICS.of(found.signal.kind).columns
        return (
            self.name,
            f"{self.parameters:,}",
            in_form(found.code_bits, ".3f"),
            *(in_form(found.fidelity[key], form) for key, _, form in chosen),
            in_form(found.usage, ".1%"),
            in_form(found.perplexity, ".1f"),
        )

    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        signal = self.figures.signal
        close = (label for _, label, _ in METRICS.of(signal.kind).columns)
        return ("run", "parameters", f"code bits/{signal.unit}", *close, "usage", "perplexity")

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        about = {
            "run": self.name,
            "fingerprint": self.fingerprint,
            "parameters": self.parameters,
        }
        return {**about, **self.figures.to_dict()}


def compare_tokenizers(
    tokenizers: Mapping[str, SignalTokenizer],
    source: Source,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> list[Compared]:
    """Measure several tokenizers on the same signals.

    Args:
        tokenizers: at least two, by name.
        source: signals of the tokenizers' kind, with their number of channels.
        batch_size: most signals of a batch; None takes the source's own.
        limit: measure the first `limit` signals only.
        workers: threads that read ahead; None takes one for each core, 0 reads in this one.
        progress: show a progress bar on a terminal.

    Raises:
        OptionError: there are fewer than two, or their channels differ.
        DataError: no image can be read, or the channels differ from the tokenizers'.
    """
    if len(tokenizers) < 2:
        raise OptionError(
            f"compare: expected two or more tokenizers, got {len(tokenizers)}; use evaluate for one"
        )
    channels = {
        name: f"{plural(tokenizer.channels, 'channel')} of {tokenizer.signal.plural}"
        for name, tokenizer in tokenizers.items()
    }
    if len(set(channels.values())) > 1:
        each = ", ".join(f"{count} in {name}" for name, count in channels.items())
        raise OptionError(
            f"compare: expected tokenizers of equal channels, got {each}; compare those that take "
            "the same data"
        )
    return [
        Compared(
            name,
            evaluate(
                tokenizer,
                source,
                batch_size=batch_size,
                limit=limit,
                workers=workers,
                progress=progress,
            ),
            sum(parameter.numel() for parameter in tokenizer.parameters()),
            tokenizer.fingerprint(),
        )
        for name, tokenizer in tokenizers.items()
    ]
