"""The conditions of codes: a class, a caption, the codes of coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor
from torch.nn.functional import pad

from vocabula.errors import DataError, OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.registry import component

NO_LABEL = -1
"""The label that says: no class given."""
PADDING = 0
"""The text token that fills a caption up; a caption of nothing else says: no text given."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The known facts about a batch of signals.

    Attributes:
        labels: (B,) integer classes; -1 for none.
        text: (B, T) integer tokens of captions, padded with 0; all 0 for none.
        upper: codes (B, *grid, *code_shape) of the coarser levels, coarsest first.
    """

    labels: Tensor | None = None
    text: Tensor | None = None
    upper: tuple[Tensor, ...] = ()

    def to(self, device: torch.device | str) -> Condition:
        """The same condition on a device."""
        return Condition(
            None if self.labels is None else self.labels.to(device),
            None if self.text is None else self.text.to(device),
            tuple(codes.to(device) for codes in self.upper),
        )

    def rows(self, which: slice) -> Condition:
        """The condition of some of the signals."""
        return Condition(
            None if self.labels is None else self.labels[which],
            None if self.text is None else self.text[which],
            tuple(codes[which] for codes in self.upper),
        )

    def without(self, dropped: Tensor | None = None) -> Condition:
        """The condition without class and text where `dropped` (B,) is true; None: everywhere.

        Coarser codes stay: finer codes have no meaning without them.
        """
        labels, text = self.labels, self.text
        if labels is not None:
            every = torch.ones_like(labels, dtype=torch.bool)
            labels = labels.masked_fill(every if dropped is None else dropped, NO_LABEL)
        if text is not None:
            every = torch.ones_like(text[:, 0], dtype=torch.bool)
            text = text.masked_fill((every if dropped is None else dropped)[:, None], PADDING)
        return Condition(labels, text, self.upper)

    def beside(self, other: Condition) -> Condition:
        """Two batches joined: this batch's signals, then the other's."""
        pairs = [(self.labels, other.labels), (self.text, other.text)]
        labels, text = (None if a is None or b is None else torch.cat([a, b]) for a, b in pairs)
        upper = (torch.cat([a, b]) for a, b in zip(self.upper, other.upper, strict=True))
        return Condition(labels, text, tuple(upper))


@component("conditioning", "conditioning")
@dataclass(frozen=True)
class Conditioning:
    """The conditions that a prior accepts.

    Args:
        classes: number of classes; 0 takes no labels.
        text_tokens: size of the text vocabulary; 0 takes no text.
        text_length: longest caption, in tokens.
        upper: the grids of codes of the coarser levels, coarsest first.
        dropout: probability in training that a signal's class and text are withheld, so that
            the model learns the unconditional distribution as well, which guidance needs.

    Raises:
        OptionError: one of `text_tokens` and `text_length` is 0 and the other is not.

    Source: Ho and Salimans 2022, "Classifier-Free Diffusion Guidance" (dropout of conditions).
    """

    component_kind = "conditioning"

    classes: Annotated[int, Ge(0)] = 0
    text_tokens: Annotated[int, Ge(0)] = 0
    text_length: Annotated[int, Ge(0)] = 0
    upper: Sequence[CodeGrid] = ()
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "upper", tuple(self.upper))
        if (self.text_tokens == 0) != (self.text_length == 0):
            raise OptionError(
                "conditioning.text_length: expected a length and a vocabulary or neither, got "
                f"{self.text_length} of {self.text_tokens} tokens; set both, or both to 0"
            )

    @property
    def withholdable(self) -> bool:
        """Whether there is a class or a text, which can be withheld."""
        return bool(self.classes or self.text_tokens)

    def complete(self, condition: Condition | None, batch: int, device: torch.device) -> Condition:
        """A checked condition with every part; missing parts are marked as not given.

        Args:
            condition: the known parts, or None.
            batch: signals in the batch.
            device: the model's device.

        Raises:
            DataError: a part has the wrong shape or values, or the prior does not know it.
            CodeError: coarser codes lie outside their books.
        """
        condition = condition or Condition()
        self._refuse_unknown(condition)
        labels = text = None
        if self.classes:
            labels = self._labels(condition.labels, batch, device)
        if self.text_tokens:
            text = self._text(condition.text, batch, device)
        if len(condition.upper) != len(self.upper):
            raise DataError(
                f"condition.upper: expected the codes of {len(self.upper)} coarser levels, got "
                f"{len(condition.upper)}; give one tensor per level, coarsest first"
            )
        for codes, grid in zip(condition.upper, self.upper, strict=True):
            grid.check(codes)
            _same_batch("upper", len(codes), batch)
        upper = tuple(codes.to(device) for codes in condition.upper)
        return Condition(labels, text, upper)

    def _refuse_unknown(self, condition: Condition) -> None:
        for name, given, known in (
            ("labels", condition.labels, self.classes),
            ("text", condition.text, self.text_tokens),
        ):
            if given is not None and not known:
                raise DataError(
                    f"condition.{name}: expected none, got some; this prior was made without "
                    f"{name}: leave them out, or train one with them"
                )

    def _labels(self, labels: Tensor | None, batch: int, device: torch.device) -> Tensor:
        if labels is None:
            return torch.full((batch,), NO_LABEL, device=device)
        _integers("labels", labels, 1)
        _same_batch("labels", len(labels), batch)
        _within("labels", labels, NO_LABEL, self.classes)
        return labels.to(device).long()

    def _text(self, text: Tensor | None, batch: int, device: torch.device) -> Tensor:
        if text is None:
            return torch.full((batch, self.text_length), PADDING, device=device)
        _integers("text", text, 2)
        _same_batch("text", len(text), batch)
        _within("text", text, 0, self.text_tokens)
        if text.shape[1] > self.text_length:
            raise DataError(
                f"condition.text: expected at most {self.text_length} tokens, got "
                f"{text.shape[1]}; shorten the text"
            )
        return pad(text.to(device).long(), (0, self.text_length - text.shape[1]), value=PADDING)


def _integers(name: str, values: Tensor, axes: int) -> None:
    if values.ndim != axes or values.is_floating_point() or values.dtype == torch.bool:
        raise DataError(
            f"condition.{name}: expected integers of {axes} axes, batch first, got "
            f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}; "
            "give a tensor of int64"
        )


def _same_batch(name: str, got: int, batch: int) -> None:
    if got != batch:
        raise DataError(
            f"condition.{name}: expected {batch}, one per signal, got {got}; repeat or cut them"
        )


def _within(name: str, values: Tensor, lowest: int, end: int) -> None:
    wrong = (values < lowest) | (values >= end)
    if bool(wrong.any()):
        raise DataError(
            f"condition.{name}: expected values in [{lowest}, {end}), got "
            f"{int(values[wrong][0])}; use those of the data that the prior was trained on"
        )
