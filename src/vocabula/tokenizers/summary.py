"""The summary of a tokenizer, also read from a saved tokenizer without building it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # a summary is read without torch
    from torch import nn

    from vocabula.signals import Signal
    from vocabula.signals.code_names import CodeNames
    from vocabula.tokenizers.code_level import CodeLevel

KEY = "summary"
"""Where ``config.json`` has it."""


@dataclass(frozen=True, slots=True)
class LevelSummary:
    """The summary of a level of codes.

    Attributes:
        title: ``level 1`` and so on; empty for the only one.
        quantizer: the class of its bottleneck.
        stride: elements of the signal per position along each axis.
        codebook_sizes: K of each book; empty for a continuous bottleneck.
    """

    title: str
    quantizer: str
    stride: int | Fraction
    codebook_sizes: tuple[int, ...]

    @property
    def bits(self) -> float:
        """Bits of one position at a fixed length; 0 for a continuous bottleneck."""
        return float(sum(math.log2(size) for size in self.codebook_sizes))


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say about a tokenizer.

    Attributes:
        levels: the coarsest first.
        encoders: the distinct classes of its encoders.
        decoders: the distinct classes of its decoders.
        likelihood: the class of its likelihood.
        channels: of its signals.
        parameters: numbers that training can change.
        fingerprint: its hash.
        signal: the kind of its signals; what is saved leaves it out for images.
        unit: the unit of its rate.
        axes: number of axes of its signals.
        element: what positions along them are; empty for the unit.
        per_unit: elements of a unit: samples of a second.
        plural: what several signals are called; empty if that is the kind and an s.
        codes: the digest of what its codes depend on; not saved, as it follows from the weights.
        look_of: the fingerprint under which files know its codes, if that is another tokenizer's;
            not saved here.
    """

    levels: tuple[LevelSummary, ...]
    encoders: tuple[str, ...]
    decoders: tuple[str, ...]
    likelihood: str
    channels: int
    parameters: int
    fingerprint: str
    signal: str = "image"
    unit: str = "pixel"
    axes: int = 2
    element: str = ""
    per_unit: float = 1.0
    plural: str = ""
    codes: str = ""
    look_of: str = ""

    def rate(self, level: LevelSummary) -> float:
        """Bits of a level's codes at a fixed length, per unit of the signal."""
        return level.bits * self.frames(level)

    def frames(self, level: LevelSummary) -> float:
        """Positions of a level per unit of the signal."""
        return self.per_unit / float(level.stride) ** self.axes

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain data for JSON, without what has its default."""
        defaults = {option.name: option.default for option in fields(self)}
        levels = [asdict(level) | {"stride": _number(level.stride)} for level in self.levels]
        found = asdict(self) | {"levels": levels, "codes": "", "look_of": ""}
        return {k: v for k, v in found.items() if v != defaults[k]}


class Summarized(Protocol):
    """The parts of a tokenizer that a summary needs."""

    channels: int

    @property
    def signal(self) -> Signal:
        """The kind of signal."""

    @property
    def likelihood(self) -> nn.Module:
        """The distribution of the signal."""

    @property
    def levels(self) -> Sequence[CodeLevel]:
        """The levels of codes, the coarsest first."""

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """The modules by what they are."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that training can change."""

    def codes_digest(self) -> str:
        """The identity of what its codes depend on."""

    def code_names(self) -> CodeNames:
        """The names of its codes."""


def summarize(tokenizer: Summarized) -> Summary:
    """What there is to say about a tokenizer."""
    parts, signal = tokenizer.parts(), tokenizer.signal
    known = tokenizer.code_names()
    names = {
        kind: tuple(
            dict.fromkeys(
                type(part).__name__
                for part in parts[kind]
                if getattr(part, "component_kind", None) == kind
            )
        )
        for kind in ("encoder", "decoder")
    }
    return Summary(
        tuple(
            LevelSummary(
                level.title, type(level.quantizer).__name__, level.stride, level.codebook_sizes
            )
            for level in tokenizer.levels
        ),
        names["encoder"],
        names["decoder"],
        type(tokenizer.likelihood).__name__,
        tokenizer.channels,
        sum(parameter.numel() for parameter in tokenizer.parameters()),
        known.own,
        signal.kind,
        signal.unit,
        len(signal.axes),
        signal.element,
        signal.per_unit,
        "" if signal.plural == f"{signal.kind}s" else signal.plural,
        tokenizer.codes_digest(),
        known.written if known.others else "",
    )


def _number(stride: int | Fraction) -> int | str:
    """A stride as JSON has it: a fraction is a text."""
    return stride if isinstance(stride, int) else str(stride)
