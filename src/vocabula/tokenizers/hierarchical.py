"""The image tokenizer of several levels: VQ-VAE-2, with finer codes given coarser ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Annotated, ClassVar, TypeVar

import torch
from annotated_types import MinLen
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate, pad

from vocabula.errors import OptionError
from vocabula.levels import level_name
from vocabula.nn.base import Decoder, Encoder, dtype_of
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.contexts import has_contexts
from vocabula.registry import component
from vocabula.signals import Signal
from vocabula.tokenizers.analysis import evaluated
from vocabula.tokenizers.leveled import LeveledTokenizer
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.masks import WHOLE, Blocks
from vocabula.tokenizers.tokenizer import check_fit

T = TypeVar("T")


@component("level", "level")
class Level(nn.Module):
    """One level of a hierarchy: from the features below and the decoded codes above to codes.

    ::

        features --> encoder --> f ----+--> next coarser level's encoder
                                       v
               context from above --> join --> z --> quantizer --> values, context --> decoder

    `join` is a 1 x 1 convolution. The context, what the level above decoded, has
    ``decoder.dim - quantizer.dim`` channels: the decoder gets values and context side by side.
    Encoder and decoder each have a shortcut without parameters around them, the mean of the pixels
    of a code and its inverse, so that the networks of several levels learn at once and not from
    the finest to the coarsest (He et al. 2016, "Deep Residual Learning", shortcut A).

    Args:
        encoder: the features of the next finer level, or the image, to features.
        quantizer: any discrete quantizer.
        decoder: values and context to the context of the next finer level, or to the
            likelihood's parameters.

    Attributes:
        context: channels that come from above; 0 at the coarsest level.

    Raises:
        OptionError: the quantizer is continuous or wider than the decoder's input.
    """

    component_kind = "level"

    def __init__(self, encoder: Encoder, quantizer: Bottleneck, decoder: Decoder) -> None:
        super().__init__()
        if not isinstance(quantizer, Quantizer):
            raise OptionError(
                f"level quantizer: expected a discrete quantizer, got {type(quantizer).__name__}; "
                "name another, such as vector"
            )
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.context = decoder.dim - quantizer.dim
        if self.context < 0:
            raise OptionError(
                f"level decoder.dim: expected the quantizer's {quantizer.dim} and the channels "
                f"from above, got {decoder.dim}; leave it out"
            )
        layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        self.join = layers[encoder.axes - 1](encoder.dim + self.context, quantizer.dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        """The encoder's features (B, F, h, w) of what lies below (B, in_channels, H, W)."""
        features = features.to(dtype_of(self.encoder, features))
        encoded: Tensor = self.encoder(features)
        stride = self.encoder.stride
        pool = (avg_pool1d, avg_pool2d, avg_pool3d)[features.ndim - 3]
        return encoded + of_channels(pool(features, stride), encoded.shape[1])

    def vectors(self, features: Tensor, context: Tensor | None = None) -> Tensor:
        """The vectors (B, h, w, D) to quantize: features (B, F, h, w) joined with the context."""
        both = features if context is None else torch.cat([features, context], 1)
        z: Tensor = self.join(both.to(dtype_of(self.join, both)))
        return z.movedim(1, -1)

    def decoder_input(self, values: Tensor, context: Tensor | None) -> Tensor:
        """The decoder's input, channel last: values (B, h, w, D) next to the context."""
        return values if context is None else torch.cat([values, context.movedim(1, -1)], -1)

    def decode(self, joined: Tensor) -> Tensor:
        """The context (B, C, h stride, w stride) for the next finer level."""
        joined = joined.movedim(-1, 1).to(dtype_of(self.decoder, joined))
        decoded: Tensor = self.decoder(joined)
        wide = interpolate(joined, scale_factor=float(self.decoder.stride), mode="nearest")
        return decoded + of_channels(wide, decoded.shape[1])


def of_channels(x: Tensor, channels: int) -> Tensor:
    """The first channels of x (B, C, *extent), or all of them followed by zeros."""
    return pad(x, (*(0, 0) * (x.ndim - 2), 0, channels - x.shape[1]))


@component("tokenizer", "hierarchical")
class HierarchicalTokenizer(LeveledTokenizer):
    """Turns images into codes of several levels: coarse ones for the whole, fine ones for detail.

    ::

        x --> encoder 2 --> f2 --------------+
                            |                v
                            |       +--> join 2 --> quantizer 2 --> values 2 --> decoder 2 --> image
                            v       |                    |                          ^
                        encoder 1   |           codes 2 (B, h, w, ...)              |
                            |       |                                               |
                            v       +--------------- decoder 1 ---------------------+
                          join 1 --> quantizer 1 --> values 1 --^
                                         |
                                codes 1 (B, h / 2, w / 2, ...)

    Level 1 is the coarsest; codes are passed as one tensor per level, from level 1 on. The finer
    level's vectors see the decoded coarser codes, so that its codes only need to hold what is still
    missing. Any number of levels is allowed, with any quantizer at each.

    Args:
        levels: the parts of each level, the coarsest first.
        likelihood: the distribution of the image; None is ``Gaussian()``.
        signal: the kind of signal; None is an image with the encoders' channels.

    Attributes:
        channels: C.
        stride: pixels per code along each axis, at the coarsest level.

    Raises:
        OptionError: if widths, strides or channels of the parts do not fit one another.

    Example:
        >>> from vocabula.tokenizers import build_tokenizer
        >>> nets = {"encoder": {"name": "vqvae", "downsample": 2},
        ...         "decoder": {"name": "vqvae", "downsample": 2}}
        >>> tokenizer = build_tokenizer({
        ...     "level1": nets | {"quantizer": {"name": "vector", "dim": 16, "codebook_size": 64}},
        ...     "level2": nets | {"quantizer": {"name": "finite_scalar", "levels": [8, 5, 5]}},
        ... }, channels=3).eval()
        >>> coarse, fine = tokenizer.encode(torch.rand(2, 3, 32, 30))
        >>> coarse.shape, fine.shape
        (torch.Size([2, 8, 8]), torch.Size([2, 16, 16]))
        >>> tokenizer.decode((coarse, fine), size=(32, 30)).shape
        torch.Size([2, 3, 32, 30])

    Source: Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", algorithm
    1. There the last decoder gets the coarse codes upsampled, here what the coarse level decoded:
    the same that conditions the fine codes.
    """

    added_options: ClassVar[tuple[str, ...]] = ("signal",)

    def __init__(
        self,
        levels: Annotated[Sequence[Level], MinLen(2)],
        *,
        likelihood: Likelihood | None = None,
        signal: Signal | None = None,
    ) -> None:
        super().__init__()
        factors = list(accumulate((level.encoder.stride for level in reversed(levels)), mul))
        self._hold(levels, factors[::-1], likelihood, signal, "hierarchical")
        self._check_levels()

    # ------------------------------------------------------------------ public

    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules of all levels by what they are: encoder, quantizer, decoder, likelihood."""
        return {
            "encoder": [part for level in self._levels for part in (level.encoder, level.join)],
            "quantizer": [level.quantizer for level in self._levels],
            "decoder": [level.decoder for level in self._levels],
            "likelihood": [self.likelihood],
        }

    @property
    def encode_context(self) -> int | None:
        """See `SignalTokenizer`: for all networks that finer codes depend on, in sequence."""
        above = [level.decoder.context for level in self._levels[:-1]]
        encoders = [level.encoder.context for level in self._levels]
        return _in_elements([*above, *encoders], [*self._strides[:-1], *self._strides])

    @property
    def decode_context(self) -> int | None:
        """See `SignalTokenizer`: for all decoders, in sequence."""
        return _in_elements([level.decoder.context for level in self._levels], self._strides)

    # --------------------------------------------------------------- internals

    def _codes(self, x: Tensor) -> list[Tensor]:
        found, _ = self._descend(x, evaluated)
        return [level.codes for _, level in found]

    @property
    def _levels(self) -> list[Level]:
        return list(self.hierarchy)  # type: ignore[arg-type]

    def _descend(
        self,
        x: Tensor,
        narrow: Callable[[Bottleneck, Tensor], tuple[T, Tensor]],
        blocks: Blocks = WHOLE,
    ) -> tuple[list[T], Tensor]:
        features = [self._centred(x, self._levels[-1].encoder, blocks)]
        for level in reversed(self._levels):
            features.append(blocks.each(level, features[-1]))
        found: list[T] = []

        def values_of(level: Level, context: Tensor | None) -> Tensor:
            seen = [features.pop()] if context is None else [features.pop(), context]
            z = blocks.each(lambda *parts: level.vectors(*parts).movedim(-1, 1), *seen)
            level.quantizer.activity = self._activity(level, context)
            one, values = narrow(level.quantizer, z.movedim(1, -1))
            level.quantizer.activity = None
            found.append(one)
            return values

        return found, self._through(values_of, blocks)

    def _activity(self, level: Level, context: Tensor | None) -> Tensor | None:
        """How much what coarser levels decoded varies within each position of theirs: (B h w,).

        None unless the level has a rate term whose tables follow from it.
        """
        if context is None or not has_contexts(level.quantizer):
            return None
        above = self._levels[self._levels.index(level) - 1]
        stride, detached = above.decoder.stride, context.detach()
        pool = (avg_pool1d, avg_pool2d, avg_pool3d)[context.ndim - 3]
        varied = pool(detached.square(), stride) - pool(detached, stride).square()
        each = varied.clamp_min(0).sum(1, keepdim=True)
        return interpolate(each, scale_factor=float(stride), mode="nearest").flatten()

    def _ascend(self, values: Sequence[Tensor]) -> Tensor:
        left = list(values)
        return self._through(lambda level, context: left.pop(0))

    def _through(
        self, values_of: Callable[[Level, Tensor | None], Tensor], blocks: Blocks = WHOLE
    ) -> Tensor:
        """The last decoder's input; the values of each level are requested in turn."""
        context: Tensor | None = None
        for level in self._levels[:-1]:
            values = values_of(level, context)
            joined = level.decoder_input(values, context).movedim(-1, 1)
            context = blocks.each(lambda z, of=level: of.decode(z.movedim(1, -1)), joined)
        last = self._levels[-1]
        return last.decoder_input(values_of(last, context), context)

    def _check_levels(self) -> None:
        """Check that the parts fit; every message names the option to change."""
        out, whose = self.likelihood.parameter_channels(self.channels), "the likelihood's"
        below, source = self.channels, "the images'"
        for i in reversed(range(len(self._levels))):
            level, name = self._levels[i], level_name(i)
            above = self._levels[i - 1].decoder.out_channels if i else 0
            both = "the quantizer's" + (f" and {level_name(i - 1)}'s, together" if i else "")
            axes = len(self.signal.axes)
            checks = (
                ("encoder.axes", level.encoder.axes, "the signal's", axes),
                ("decoder.axes", level.decoder.axes, "the signal's", axes),
                ("encoder.in_channels", level.encoder.in_channels, source, below),
                ("quantizer.channel_dim", level.quantizer.channel_dim, "last", -1),
                ("decoder.stride", level.decoder.stride, "the encoder's", level.encoder.stride),
                ("decoder.dim", level.decoder.dim, both, level.quantizer.dim + above),
                ("decoder.out_channels", level.decoder.out_channels, whose, out),
            )
            for option, got, what, expected in checks:
                check_fit("tokenizer", f"{name}.{option}", got, what, expected)
            if level.decoder.conditional and i + 1 < len(self._levels):
                raise OptionError(
                    f"tokenizer {name}.decoder: expected a condition at the finest level only, got "
                    f"a {type(level.decoder).__name__}; name another decoder there"
                )
            below, source = level.encoder.dim, f"{name}.encoder.dim"
            out, whose = level.context, f"{name}'s"


def _in_elements(contexts: Sequence[int | None], strides: Sequence[int]) -> int | None:
    """The total context of networks in sequence, each given in positions of its own stride."""
    total = 0
    for context, stride in zip(contexts, strides, strict=True):
        if context is None:
            return None
        total += context * stride
    return total
