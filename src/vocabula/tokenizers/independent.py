"""The tokenizer of independent levels: each has its own encoder, book and decoder to the signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

from annotated_types import MinLen
from torch import Tensor, nn

from vocabula.errors import CodeError, OptionError, plural
from vocabula.levels import level_name, levels_of
from vocabula.nn.base import Decoder, Encoder
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.registry import component
from vocabula.signals import Condition, Signal
from vocabula.tokenizers.base import Codes
from vocabula.tokenizers.code_checks import check_codes, signal_size
from vocabula.tokenizers.leveled import LeveledTokenizer
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.masks import WHOLE, Blocks
from vocabula.tokenizers.tokenizer import Tokenizer
from vocabula.types import Reconstruction

T = TypeVar("T")


@component("level", "independent")
class IndependentLevel(nn.Module):
    """One level that sees nothing of the others: from the signal to codes and back.

    Args:
        encoder: the signal to vectors.
        quantizer: any discrete quantizer.
        decoder: its values to the likelihood's parameters.

    Raises:
        OptionError: the quantizer is continuous.
    """

    component_kind = "level"

    def __init__(self, encoder: Encoder, quantizer: Bottleneck, decoder: Decoder) -> None:
        super().__init__()
        if not isinstance(quantizer, Quantizer):
            raise OptionError(
                f"level quantizer: expected a discrete quantizer, got {type(quantizer).__name__}; "
                "name another, such as vector"
            )
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder


@component("tokenizer", "independent")
class IndependentTokenizer(LeveledTokenizer):
    """Turns signals into codes of several levels, each of which describes the whole signal.

    ::

        x --> encoder 1 --> quantizer 1 --> codes 1 --> decoder 1 --> signal (coarse)
        x --> encoder 2 --> quantizer 2 --> codes 2 --> decoder 2 --> signal (fine)

    The losses of all levels are summed; those of coarse levels have names of their own, such as
    ``level1.reconstruction``. As no level depends on another, a fine level cannot take
    over what a coarse one should hold, which lets the coarse codes collapse in a dependent
    hierarchy (`HierarchicalTokenizer`). A prior draws the coarse codes, and another the fine ones
    given these; decoding uses the finest level that is given.

    Args:
        levels: the parts of each level, the coarsest first; each stride divides the one before.
        likelihood: the distribution of the signal; None is ``Gaussian()``.
        signal: the kind of signal; None is an image with the encoders' channels.

    Attributes:
        channels: C.

    Raises:
        OptionError: if widths, strides or channels of the parts do not fit one another.

    Example:
        >>> from vocabula.nn import SEANetDecoder, SEANetEncoder
        >>> from vocabula.quantizers import VectorQuantizer
        >>> from vocabula.signals import Audio
        >>> def level(*ratios):
        ...     return IndependentLevel(
        ...         SEANetEncoder(1, 8, ratios=ratios, hidden=4), VectorQuantizer(8, 16),
        ...         SEANetDecoder(8, 1, ratios=ratios, hidden=4))
        >>> tokenizer = IndependentTokenizer([level(4, 4), level(4)], signal=Audio(8000)).eval()
        >>> coarse, fine = tokenizer.encode(torch.zeros(1, 1, 40))
        >>> coarse.shape, fine.shape
        (torch.Size([1, 3]), torch.Size([1, 12]))
        >>> tokenizer.decode((coarse, fine), size=(40,)).shape, tokenizer.decode(coarse).shape
        (torch.Size([1, 1, 40]), torch.Size([1, 1, 48]))

    Source: Dhariwal et al. 2020, "Jukebox: A Generative Model for Music", section 3.
    """

    def __init__(
        self,
        levels: Annotated[Sequence[IndependentLevel], MinLen(2)],
        *,
        likelihood: Likelihood | None = None,
        signal: Signal | None = None,
    ) -> None:
        super().__init__()
        strides = [level.encoder.stride for level in levels]
        self._hold(levels, strides, likelihood, signal, "independent")
        self._check_levels()

    # ------------------------------------------------------------------ public

    def level(self, number: int) -> Tokenizer:
        """The tokenizer of one level, 0 for the coarsest; it shares the level's parameters."""
        level = self._levels[number]
        alone = Tokenizer(
            level.encoder,
            level.quantizer,
            level.decoder,
            likelihood=self.likelihood,
            signal=self.signal,
        )
        alone.training = self.training  # its parts are in their own mode
        return alone

    def _trained(
        self, x: Tensor, blocks: Blocks, condition: Condition | None, heard: Tensor
    ) -> Reconstruction:
        """The training pass, with the reconstruction of every level."""
        found = super()._trained(x, blocks, condition, heard)
        x, loss, losses = found.target, found.loss, dict(found.losses)
        for i, result in enumerate(found.levels[:-1]):
            parameters = self.level(i)._describe(result.values, x.shape[2:], condition, blocks)
            own = self.likelihood.loss_inside(parameters, x, blocks)
            losses[f"{level_name(i)}.reconstruction"] = own
            loss = loss + own
        return replace(found, loss=loss, losses=losses)

    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules of all levels by what they are: encoder, quantizer, decoder, likelihood."""
        return {
            "encoder": [level.encoder for level in self._levels],
            "quantizer": [level.quantizer for level in self._levels],
            "decoder": [level.decoder for level in self._levels],
            "likelihood": [self.likelihood],
        }

    @property
    def encode_context(self) -> int | None:
        """See `SignalTokenizer`: that of the encoder that sees farthest."""
        found = [(level.encoder.context, level.encoder.stride) for level in self._levels]
        if any(context is None for context, _ in found):
            return None
        return max((context or 0) * stride for context, stride in found)

    @property
    def decode_context(self) -> int | None:
        """See `SignalTokenizer`: that of the finest level's decoder."""
        context = self._last_decoder.context
        return context if context is None else context * self._strides[-1]

    # --------------------------------------------------------------- internals

    @property
    def _levels(self) -> list[IndependentLevel]:
        return list(self.hierarchy)  # type: ignore[arg-type]

    def _codes(self, x: Tensor) -> list[Tensor]:
        found = []
        for level, quantizer in zip(self._levels, self._discrete("encode"), strict=True):
            z: Tensor = level.encoder(self._centred(x, level.encoder, WHOLE))
            found.append(quantizer.encode(z.movedim(1, -1)))
        return found

    def _descend(
        self,
        x: Tensor,
        narrow: Callable[[Bottleneck, Tensor], tuple[T, Tensor]],
        blocks: Blocks = WHOLE,
    ) -> tuple[list[T], Tensor]:
        found = []
        values = x
        for level in self._levels:
            z = blocks.each(level.encoder, self._centred(x, level.encoder, blocks))
            one, values = narrow(level.quantizer, z.movedim(1, -1))
            found.append(one)
        return found, values

    def _ascend(self, values: Sequence[Tensor]) -> Tensor:
        return values[-1]

    def _decode_all(
        self,
        codes: Codes,
        condition: Condition | None,
        size: Sequence[int] | None,
        finish: Callable[[Tensor], Tensor],
        mask: Tensor | None = None,
    ) -> Tensor:
        """Signals of the finest of the levels that are given, by its own tokenizer."""
        levels = levels_of(codes)
        if not 1 <= len(levels) <= len(self._levels):
            raise CodeError(
                f"decode: expected codes of at most {plural(len(self._levels), 'level')}, the "
                f"coarsest first, got {len(levels)}; give what encode returned"
            )
        check_codes(self.levels[: len(levels)], levels)
        own, alone = levels[-1], self.level(len(levels) - 1)
        size = mask.shape[1:] if mask is not None and size is None else size
        if size is not None:  # the grid covers whole codes of the coarsest level, and may be longer
            grid = levels[0].shape[1 : 1 + len(self.strides)]
            size = signal_size(self.strides, size, grid, self.signal.unit)
            own = own[:, *(slice(n) for n in alone.grid(*size))]
        return alone._decode_all(own, condition, size, finish, mask)

    def _check_levels(self) -> None:
        """Check that the parts fit; every message names the option to change."""
        for i, (stride, finer) in enumerate(zip(self._strides, self._strides[1:], strict=False)):
            if finer >= stride or stride % finer:
                raise OptionError(
                    f"tokenizer {level_name(i + 1)}: expected a stride that divides that of "
                    f"{level_name(i)}, {stride}, got {finer}; change the encoders' strides"
                )
        for i in range(len(self._levels)):
            try:
                self.level(i)
            except OptionError as error:
                text = str(error).removeprefix("tokenizer ")
                raise OptionError(f"tokenizer {level_name(i)}.{text}") from None
