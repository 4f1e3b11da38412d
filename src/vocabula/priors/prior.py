"""The base of all priors: a distribution of codes that can be evaluated, trained and sampled."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vocabula.errors import DataError, OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.decoding import Decoding
from vocabula.priors.drawing import Drawing
from vocabula.priors.origin import Origin
from vocabula.priors.sampling import (
    Known,
    Progress,
    Request,
    check_known,
    draw_codes,
    uniform_numbers,
)
from vocabula.priors.text import TextTokenizer
from vocabula.signals.attributes import index_of
from vocabula.signals.condition import Condition
from vocabula.tokenizers.weights import fingerprint

MOST_NAMES = 12
"""Names of an attribute's values that an error message lists."""
Values = int | str | Sequence[int | str]
"""An attribute's value for a whole batch, or one for each of its signals: an index or a name."""


class Prior(nn.Module, ABC):
    """A distribution p(codes | condition) over grids of codes, one symbol after the other.

    ``p(codes) = prod_i p(symbol_i | symbols before i)``, with the order of `CodeGrid`.

    Subclasses give `symbol_logits` for training and `decoding` for sampling, where each position is
    computed once.

    Args:
        codes: what the codes look like.
        conditioning: what they can be conditioned on.

    Attributes:
        origin: where the codes come from; saved with the prior.
        text_tokenizer: the tokenizer of captions, saved with the prior, or None.
    """

    component_kind = "prior"
    conditional: ClassVar[bool] = True
    """Whether the kind of prior can learn classes and texts."""
    any_grid: ClassVar[bool] = True
    """Whether it computes grids of any size, whatever it was trained on."""

    def __init__(self, codes: CodeGrid, conditioning: Conditioning) -> None:
        super().__init__()
        self.codes, self.conditioning = codes, conditioning
        self.origin = Origin()
        self._text_tokenizer: TextTokenizer | None = None

    # ------------------------------------------------------------------ public

    def log_probs(self, codes: Tensor, condition: Condition | None = None) -> Tensor:
        """Log-probability in nats of every code, given the condition and the codes before it.

        Args:
            codes: (B, *grid, *code_shape) integers; on grids of one axis -1 after the end of
                signals that are shorter.
            condition: the condition of the signals; missing parts count as not given.

        Returns:
            The same shape as `codes`, <= 0; 0 after the end of a signal.

        Raises:
            CodeError, DataError: codes or condition do not fit the prior.
        """
        symbols, condition, inside = self._checked(codes, condition)
        found = self._log_probs(symbols, condition)
        return found if inside is None else found.masked_fill(~_wide(inside, found), 0)

    def log_prob(self, codes: Tensor, condition: Condition | None = None) -> Tensor:
        """Log-probability (B,) in nats of the codes of every signal: the sum of `log_probs`."""
        return self.log_probs(codes, condition).flatten(1).sum(1)

    def forward(self, codes: Tensor, condition: Condition | None = None) -> Tensor:
        """The training loss (see `loss`), as a call that multi-process wrappers see."""
        return self.loss(codes, condition)

    def loss(self, codes: Tensor, condition: Condition | None = None) -> Tensor:
        """The training loss (): nats per code, the mean of ``-log_probs`` over all codes inside.

        In training mode attributes, text and vector of a signal are withheld together with
        probability ``conditioning.dropout``.

        Raises:
            CodeError, DataError: see `log_probs`.
        """
        symbols, condition, inside = self._checked(codes, condition)
        return self._loss(symbols, self._withheld(condition, len(codes)), inside)

    @torch.no_grad()
    def sample(
        self,
        shape: Sequence[int],
        condition: Condition | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        known: Known | None = None,
        numbers: Tensor | None = None,
        cache: bool = True,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw codes.

        Args:
            shape: (B, *grid).
            condition: the condition of the signals; missing parts are drawn from all.
            temperature: > 0; below 1, probable values become more probable.
            top_k: draw from the k most probable values of each symbol only; None: from all.
            top_p: draw from the fewest values whose probabilities reach p, in (0, 1], only.
            guidance: g >= 0: draw from p(codes | condition)^g p(codes)^(1 - g), symbol by symbol.
            seed: of the draws; None takes torch's own state, or `generator`.
            generator: a generator of the CPU; rows are taken from it signal by signal, so that
                results do not depend on how many are drawn at once.
            known: codes (B, *grid, *code_shape) and a mask (*grid) or (B, *grid), true where the
                code is given; the others are drawn in order, each given all before it.
            numbers: (B, draws or more) in [0, 1), which make the draws in place of a seed or a
                generator.
            cache: False recomputes everything for every symbol, for comparison.
            progress: called after every position with (positions done, positions in all).

        Returns:
            Codes (B, *grid, *code_shape), int64.

        Raises:
            OptionError: an option is out of range, or the prior cannot make such a grid.
            CodeError, DataError: `condition` or `known` do not fit the prior.
        """
        drawing = Drawing(temperature, top_k, top_p, guidance)
        batch, grid = self._shape(shape)
        complete = self.conditioning.complete(condition, batch, self.device, grid[0])
        if guidance != 1:
            self.check_guidance(condition)
        draws = math.prod(grid) * len(self.codes.slots)
        if numbers is None:
            numbers = uniform_numbers((batch, draws), seed, generator)
        uniform = numbers[:, :draws].to(self.device)
        given = None if known is None else check_known(self, known, batch, grid)
        training = self.training
        self.eval()
        try:
            request = Request(batch, grid, complete, drawing, uniform, given)
            return draw_codes(self, request, cache=cache, progress=progress)
        finally:
            self.train(training)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of settings and weights."""
        return fingerprint(self)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def text_tokenizer(self) -> TextTokenizer | None:
        """The tokenizer of captions, or None."""
        return self._text_tokenizer

    @text_tokenizer.setter
    def text_tokenizer(self, tokenizer: TextTokenizer | None) -> None:
        if tokenizer is not None and tokenizer.size > self.conditioning.text_tokens:
            raise OptionError(
                f"conditioning.text_tokens: expected at least {tokenizer.size}, the size of the "
                f"text tokenizer, got {self.conditioning.text_tokens}; make the prior with "
                f"text_tokens={tokenizer.size}"
            )
        self._text_tokenizer = tokenizer

    def condition(
        self,
        batch: int,
        *,
        attributes: Mapping[str, Values] | None = None,
        text: str | Sequence[str] | None = None,
        upper: Sequence[Tensor] = (),
    ) -> Condition:
        """A condition from words, for a whole batch or for each of its signals.

        Args:
            batch: number of signals B.
            attributes: values by the attribute's name: an index or one of ``origin.names``, or a
                sequence of B, such as ``{"class": "cat"}``.
            text: a caption; or a sequence of B.
            upper: codes of the coarser levels, coarsest first, B each.

        Raises:
            DataError: an attribute or a value does not exist, a text is empty, too long or has
                unknown characters, or there are not B of them.
        """
        found: dict[str, Tensor] = {}
        for name, given in (attributes or {}).items():
            several = [given] * batch if isinstance(given, (int, str)) else list(given)
            index = {value: self.value_index(name, value) for value in dict.fromkeys(several)}
            found[name] = torch.tensor([index[value] for value in several], dtype=torch.long)
        tokens = None
        if text is not None:
            tokens = self._tokens([text] * batch if isinstance(text, str) else list(text))
        made = Condition(found, tokens)
        for name, part in made.parts():
            if len(part) != batch:
                raise DataError(f"{name}: expected one, or {batch}, got {len(part)}; repeat some")
        return replace(made, upper=tuple(upper))

    def value_index(self, attribute: str, value: int | str) -> int:
        """The index of an attribute's value, given by its index or its name.

        Raises:
            DataError: there is no such attribute or value.
        """
        return index_of(attribute, value, self.conditioning.values, self.origin.names, "this prior")

    def check_guidance(self, condition: Condition | None) -> None:
        """Refuse guidance without a condition, or by a prior that has not learned it.

        Raises:
            OptionError: the prior cannot tell the condition from none.
        """
        given = condition is not None and condition.given
        if not given or not self.conditioning.dropout:
            why = "no class or text" if not given else "a prior trained with dropout=0"
            raise OptionError(
                f"sample.guidance: expected a class or text, and a prior trained with "
                f"conditioning.dropout > 0, got {why}; leave guidance at 1"
            )

    # -------------------------------------------------------- what a model gives

    @abstractmethod
    def symbol_logits(self, symbols: Tensor, condition: Condition) -> list[Tensor]:
        """Logits of every symbol given all before it, for all positions at once.

        Args:
            symbols: (B, *grid, S), checked.
            condition: complete.

        Returns:
            (B, *grid, V_s) for every symbol s of a position.
        """

    @abstractmethod
    def decoding(self, batch: int, grid: Sequence[int], condition: Condition) -> Decoding:
        """Start cached decoding of B signals, so that each position is computed once."""

    @abstractmethod
    def embeddings(self) -> list[list[Tensor]]:
        """The parameters (V_s, C) that embed each symbol of a position, then of coarser levels.

        One list for the prior's own codes and one for each of ``conditioning.upper``.
        """

    @abstractmethod
    def decoding_bytes(self, grid: Sequence[int]) -> int:
        """Approximate memory that `decoding` takes for each signal of a grid."""

    def visits(self, grid: Sequence[int]) -> list[tuple[int, int]]:
        """The order of decoding a grid: positions in raster order, and the symbol of each."""
        slots = range(len(self.codes.slots))
        return [(position, slot) for position in range(math.prod(grid)) for slot in slots]

    def check_grid(self, grid: Sequence[int]) -> None:
        """Refuse a grid that the model cannot compute; any grid is fine unless overridden.

        Raises:
            OptionError: the model cannot compute such a grid.
        """

    @classmethod
    def surround(cls, settings: Mapping[str, Any]) -> int:
        """How many positions around a crop a prior of some settings needs in training.

        With 0 it learns a crop as if it were a whole signal. Otherwise `loss` takes codes with a
        margin, see `Condition`.
        """
        return 0

    def foreign_config(self) -> Mapping[str, Any]:
        """Entries of config.json that another library needs; none unless overridden."""
        return {}

    def saved_module(self) -> nn.Module:
        """The module whose tensors are saved, under the names it gives them."""
        return self

    # --------------------------------------------------------------- internals

    def _loss(self, symbols: Tensor, condition: Condition, inside: Tensor | None) -> Tensor:
        """The loss of checked symbols; `inside` (B, n) is None where all of them count."""
        found = self._log_probs(symbols, condition)
        return -(found if inside is None else found[inside]).mean()

    def _log_probs(self, symbols: Tensor, condition: Condition) -> Tensor:
        books = [torch.zeros(())] * len(self.codes.codebook_sizes)
        all_logits = self.symbol_logits(symbols, condition)
        for index, (slot, logits) in enumerate(zip(self.codes.slots, all_logits, strict=True)):
            wide = logits if logits.dtype == torch.float64 else logits.float()
            log_probs = self.codes.forbid(wide, index, symbols).log_softmax(-1)
            chosen = log_probs.gather(-1, symbols[..., index, None])[..., 0]
            books[slot.book] = books[slot.book] + chosen
        stacked = torch.stack(books, -1)
        return stacked.reshape(*symbols.shape[:-1], *self.codes.shape_of_code)

    def _checked(
        self, codes: Tensor, condition: Condition | None
    ) -> tuple[Tensor, Condition, Tensor | None]:
        codes, inside = self.codes.filled(codes)
        self.codes.check(codes)
        symbols = self.codes.split(codes).to(self.device)
        self.check_grid(symbols.shape[1:-1])
        counts = symbols.shape[1] if inside is None else inside.sum(1)
        complete = self.conditioning.complete(condition, len(codes), self.device, counts)
        return symbols, complete, None if inside is None else inside.to(self.device)

    def _withheld(self, condition: Condition, batch: int) -> Condition:
        dropout = self.conditioning.dropout
        if not (self.training and dropout and self.conditioning.withholdable):
            return condition
        return condition.without(torch.rand(batch, device=self.device) < dropout)

    def _shape(self, shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        axes = len(self.codes.grid)
        if len(shape) != 1 + axes or any(int(n) != n or n < 1 for n in shape):
            raise OptionError(
                f"sample.shape: expected (batch, {', '.join('n' * axes)}), all >= 1, got "
                f"{tuple(shape)}; the prior was trained on grids of {self.codes.grid}"
            )
        batch, *grid = (int(n) for n in shape)
        self.check_grid(grid)
        return batch, tuple(grid)

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        if self.text_tokenizer is None:
            raise DataError(
                "text: expected none, got some; this prior was trained without captions"
            )
        length = self.conditioning.text_length
        index = {text: self.text_tokenizer.encode([text], length) for text in dict.fromkeys(texts)}
        return torch.cat([index[text] for text in texts])


def _wide(inside: Tensor, like: Tensor) -> Tensor:
    """Booleans (B, n) for every book of codes (B, n, *code_shape)."""
    return inside.reshape(*inside.shape, *(1 for _ in like.shape[2:])).expand_as(like)
