"""The conditions that a prior accepts: attributes, a caption, a vector, codes of coarser levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor
from torch.nn.functional import pad

from vocabula.errors import DataError, OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.registry import component
from vocabula.signals.attributes import CLASS, NOT_GIVEN, TAKEN, in_order, is_further
from vocabula.signals.condition import (
    PADDING,
    Condition,
    check_attribute,
    check_integers,
    check_range,
    described,
)


@component("conditioning", "conditioning")
@dataclass(frozen=True)
class Conditioning:
    """The conditions that a prior accepts.

    Args:
        classes: number of classes, the values of the attribute ``class``; 0 takes no labels.
        text_tokens: size of the text vocabulary; 0 takes no text.
        text_length: longest caption, in tokens.
        upper: the grids of codes of the coarser levels, coarsest first.
        dropout: probability in training that all of a signal's condition but coarser codes is
            withheld, so that the model learns the unconditional distribution as well, which
            guidance needs.
        attributes: number of values of each further attribute, such as ``{"speaker": 40}``.
        vectors: width of the vector that is a condition; 0 takes none.
        timing: positions of the longest signal; the model is told where in its signal the codes
            are and how long it is, for codes of one axis. 0: it is not told.

    Raises:
        OptionError: one of `text_tokens` and `text_length` is 0 and the other is not, or an
            attribute has no proper name.

    Source: Ho and Salimans 2022, "Classifier-Free Diffusion Guidance" (dropout of conditions);
    Dhariwal et al. 2020, "Jukebox", section 4.2 (timing).
    """

    component_kind = "conditioning"
    added_options: ClassVar[tuple[str, ...]] = ("attributes", "vectors", "timing")

    classes: Annotated[int, Ge(0)] = 0
    text_tokens: Annotated[int, Ge(0)] = 0
    text_length: Annotated[int, Ge(0)] = 0
    upper: Sequence[CodeGrid] = ()
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    attributes: Mapping[str, Annotated[int, Ge(1)]] | None = None
    vectors: Annotated[int, Ge(0)] = 0
    timing: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "upper", tuple(self.upper))
        if (self.text_tokens == 0) != (self.text_length == 0):
            raise OptionError(
                "conditioning.text_length: expected a length and a vocabulary or neither, got "
                f"{self.text_length} of {self.text_tokens} tokens; set both, or both to 0"
            )
        for name in self.attributes or ():
            if not is_further(name):
                raise OptionError(
                    f"conditioning.attributes: expected names of letters, digits and _ other than "
                    f"{', '.join(TAKEN)}, got {name!r}; rename it"
                )

    @property
    def values(self) -> dict[str, int]:
        """Number of values of each attribute, the class first, then by name."""
        first = {CLASS: self.classes} if self.classes else {}
        return in_order({**first, **(self.attributes or {})})

    @property
    def withholdable(self) -> bool:
        """Whether there is an attribute, a text or a vector, which can be withheld."""
        return bool(self.values or self.text_tokens or self.vectors)

    def known(self, condition: Condition, upper: Sequence[Tensor] = ()) -> Condition:
        """The parts of a condition that the prior knows, with coarser codes if it knows them."""
        given = condition.attributes
        return Condition(
            {name: given[name] for name in self.values if name in given},
            condition.text if self.text_tokens else None,
            condition.vectors if self.vectors else None,
            tuple(upper) if self.upper else (),
            condition.timing if self.timing else None,
        )

    def complete(
        self,
        condition: Condition | None,
        batch: int,
        device: torch.device,
        counts: Tensor | int = 1,
    ) -> Condition:
        """A checked condition with every part; missing parts are marked as not given.

        Without times the codes are those of whole signals.

        Args:
            condition: the known parts, or None.
            batch: signals in the batch.
            device: the model's device.
            counts: positions of each signal (B,), or of all.

        Raises:
            DataError: a part has the wrong shape or values, or the prior does not know it.
            CodeError: coarser codes lie outside their books.
        """
        condition = condition or Condition()
        self._refuse_unknown(condition)
        if len(condition.upper) != len(self.upper):
            raise DataError(
                f"condition.upper: expected the codes of {len(self.upper)} coarser levels, got "
                f"{len(condition.upper)}; give one tensor per level, coarsest first"
            )
        condition.check_batch(batch)
        for codes, grid in zip(condition.upper, self.upper, strict=True):
            grid.check(grid.filled(codes)[0])
        return Condition(
            {
                name: _attribute(name, size, condition.attributes.get(name), batch, device)
                for name, size in self.values.items()
            },
            self._text(condition.text, batch, device) if self.text_tokens else None,
            self._vectors(condition.vectors, batch, device) if self.vectors else None,
            tuple(codes.to(device) for codes in condition.upper),
            _timing(condition.timing, batch, counts, device) if self.timing else None,
        )

    def _refuse_unknown(self, condition: Condition) -> None:
        unknown = [name for name in condition.attributes if name not in self.values]
        unknown += ["text"] * (condition.text is not None and not self.text_tokens)
        unknown += ["vectors"] * (condition.vectors is not None and not self.vectors)
        for name in unknown:
            raise DataError(
                f"condition.{name}: expected none, got some; this prior was made without "
                f"{name}: leave it out, or train one with it"
            )

    def _text(self, text: Tensor | None, batch: int, device: torch.device) -> Tensor:
        if text is None:
            return torch.full((batch, self.text_length), PADDING, device=device)
        check_integers("text", text, 2)
        check_range("text", text, 0, self.text_tokens)
        if text.shape[1] > self.text_length:
            raise DataError(
                f"condition.text: expected at most {self.text_length} tokens, got "
                f"{text.shape[1]}; shorten the text"
            )
        return pad(text.to(device).long(), (0, self.text_length - text.shape[1]), value=PADDING)

    def _vectors(self, vectors: Tensor | None, batch: int, device: torch.device) -> Tensor:
        if vectors is None:
            return torch.full((batch, self.vectors), torch.nan, device=device)
        if vectors.shape[1:] != (self.vectors,) or not vectors.is_floating_point():
            raise DataError(
                f"condition.vectors: expected floating point of shape ({batch}, {self.vectors}), "
                f"got {described(vectors)}; give vectors like those of the training data"
            )
        if bool(vectors.isinf().any()):
            raise DataError(
                "condition.vectors: expected finite numbers, or a row of NaN for none, got an "
                "infinity; drop or repair the vectors that contain it"
            )
        return vectors.to(device)


def _attribute(
    name: str, size: int, values: Tensor | None, batch: int, device: torch.device
) -> Tensor:
    if values is None:
        return torch.full((batch,), NOT_GIVEN, device=device)
    check_attribute(name, values, size)
    return values.to(device).long()


def _timing(
    timing: Tensor | None, batch: int, counts: Tensor | int, device: torch.device
) -> Tensor:
    """Start and total (B, 2); by default those of whole signals."""
    if timing is None:
        totals = torch.as_tensor(counts, device=device).expand(batch)
        return torch.stack([torch.zeros_like(totals), totals], 1)
    check_integers("timing", timing, 2)
    if timing.shape[1] != 2 or bool(((timing[:, 0] < 0) | (timing[:, 1] < 1)).any()):
        raise DataError(
            f"condition.timing: expected a start >= 0 and a total >= 1 of each signal, got "
            f"{described(timing)}; count positions of codes"
        )
    return timing.to(device).long()
