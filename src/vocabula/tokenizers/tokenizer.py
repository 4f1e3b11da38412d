"""The image tokenizer of one level: an encoder, a bottleneck, a decoder and a likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.nn.base import Decoder, Encoder
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.multi_scale import MultiScaleQuantizer
from vocabula.registry import component
from vocabula.signals import Condition, Image, Signal
from vocabula.tokenizers.base import SignalTokenizer
from vocabula.tokenizers.code_level import CodeLevel
from vocabula.tokenizers.gaussian import Gaussian
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.masks import WHOLE, Blocks
from vocabula.tokenizers.scaling import Scaling
from vocabula.tokenizers.streams import Stream

T = TypeVar("T")


@component("tokenizer", "tokenizer")
class Tokenizer(SignalTokenizer):
    """Turns images of any size into codes and codes into images.

    ::

        x --pad--> encoder --> z --> quantizer --> values --> decoder --crop--> likelihood --> image
                                        |
                                      codes (B, h, w, *code_shape)

    Images are (B, C, H, W), uint8 or floating point in [0, 1], of any H and W from 1: they are
    padded with their last row and column to multiples of `stride`, so h = ceil(H / stride), and
    the result is cropped back. The encoder sees x - 1/2.

    Args:
        encoder: images to vectors.
        quantizer: the bottleneck; any quantizer, or a `GaussianBottleneck` for a VAE.
        decoder: vectors to the likelihood's parameters.
        likelihood: the distribution of the signal; None is ``Gaussian()``.
        signal: the kind of signal; None is ``Image(encoder.in_channels)``.
        scaling: maps real values to the scale of the networks; None shows them as they are.

    Attributes:
        channels: C.
        stride: pixels per code along each axis.

    Raises:
        OptionError: if widths, strides or channels of the parts do not fit one another.

    Example:
        >>> from vocabula.nn import VQVAEDecoder, VQVAEEncoder
        >>> from vocabula.quantizers import VectorQuantizer
        >>> tokenizer = Tokenizer(
        ...     VQVAEEncoder(3, 64), VectorQuantizer(64, 512), VQVAEDecoder(64, 3)).eval()
        >>> codes = tokenizer.encode(torch.rand(2, 3, 30, 32))
        >>> codes.shape, tokenizer.decode(codes, size=(30, 32)).shape
        (torch.Size([2, 8, 8]), torch.Size([2, 3, 30, 32]))

    Source: van den Oord et al. 2017, "Neural Discrete Representation Learning".
    """

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Bottleneck,
        decoder: Decoder,
        *,
        likelihood: Likelihood | None = None,
        signal: Signal | None = None,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.likelihood: Likelihood = Gaussian() if likelihood is None else likelihood
        self.signal: Signal = Image(encoder.in_channels) if signal is None else signal
        self.scaling = scaling
        self.channels = encoder.in_channels
        self.strides = (encoder.stride,) * len(self.signal.axes)
        self._check_parts()

    # ------------------------------------------------------------------ public

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Codes (B, h, w, *code_shape), int64, of images (B, C, H, W); h, w as in `grid`.

        Args:
            x: images.
            mask: (B, H, W) bool, True where an image is; codes outside are -1.

        Raises:
            DataError: wrong shape, dtype, channels or values, also of the mask.
            OptionError: the bottleneck is continuous; use `reconstruct`.
        """
        return self._encode_all(x, mask)[0]

    def vectors(self, x: Tensor) -> Tensor:
        """The encoder's vectors (B, h, w, D) of images (B, C, H, W), before the bottleneck.

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        return self._vectors(self._scaled(self.signal.check(x)))

    def stream(self, condition: Condition | None = None) -> Stream:
        """A stream: signals in parts of any length, with the codes and values of the whole.

        Args:
            condition: what is known of the signals, for a decoder that takes it.

        Raises:
            OptionError: the networks are not causal.

        Example:
            >>> from vocabula.nn import SEANetDecoder, SEANetEncoder
            >>> from vocabula.quantizers import VectorQuantizer
            >>> from vocabula.signals import Audio
            >>> networks = SEANetEncoder(1, 4, ratios=(2, 5)), SEANetDecoder(4, 1, ratios=(2, 5))
            >>> tokenizer = Tokenizer(
            ...     networks[0], VectorQuantizer(4, 8), networks[1], signal=Audio(1000)).eval()
            >>> stream = tokenizer.stream()
            >>> first, last = stream.encoder.push(torch.zeros(1, 1, 25)), stream.encoder.flush()
            >>> first.shape, last.shape, stream.latency
            (torch.Size([1, 2]), torch.Size([1, 1]), 0.01)
            >>> stream.decoder.push(torch.cat([first, last], 1), total=25).shape
            torch.Size([1, 1, 25])
        """
        return Stream(self, condition)

    @property
    def levels(self) -> tuple[CodeLevel, ...]:
        """The only level of codes."""
        return (CodeLevel("", self.quantizer, self.strides),)

    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules by role: encoder, quantizer, decoder, likelihood."""
        return {
            "encoder": [self.encoder],
            "quantizer": [self.quantizer],
            "decoder": [self.decoder],
            "likelihood": [self.likelihood],
        }

    @property
    def bits_per_code(self) -> float:
        """Bits of one grid position at a fixed length: sum of log2 K over books; 0 for a VAE."""
        return self.levels[0].bits

    def grid(self, *extent: int) -> tuple[int, ...]:
        """The grid of codes, one number per axis, for a signal of an extent."""
        return self.grids(*extent)[0]

    @property
    def encode_context(self) -> int | None:
        """See `SignalTokenizer`: the encoder's context."""
        context = self.encoder.context
        return context if context is None else context * self.stride

    @property
    def decode_context(self) -> int | None:
        """See `SignalTokenizer`: the decoder's context."""
        context = self.decoder.context
        return context if context is None else context * self.stride

    # --------------------------------------------------------------- internals

    def _codes(self, x: Tensor) -> list[Tensor]:
        (quantizer,) = self._discrete("encode")
        return [quantizer.encode(self._vectors(x))]

    def _vectors(self, x: Tensor, blocks: Blocks = WHOLE) -> Tensor:
        """The encoder's vectors (B, h, w, D) of checked images x."""
        z = blocks.each(self.encoder, self._centred(x, self.encoder, blocks))
        return z.movedim(1, -1)

    def _descend(
        self,
        x: Tensor,
        narrow: Callable[[Bottleneck, Tensor], tuple[T, Tensor]],
        blocks: Blocks = WHOLE,
    ) -> tuple[list[T], Tensor]:
        found, values = narrow(self.quantizer, self._vectors(x, blocks))
        return [found], values

    def _ascend(self, values: Sequence[Tensor]) -> Tensor:
        return values[0]

    @property
    def _last_decoder(self) -> Decoder:
        return self.decoder

    def _check_parts(self) -> None:
        """Check that the parts fit; every message names the option to change."""
        if isinstance(self.quantizer, MultiScaleQuantizer) and len(self.levels) == 1:
            raise OptionError(
                "tokenizer quantizer: expected codes on one grid, got those of several scales; "
                "use MultiScaleTokenizer"
            )
        dim, likelihood = self.quantizer.dim, self.likelihood
        parameters = likelihood.parameter_channels(self.channels)
        pairs = (
            ("encoder.axes", self.encoder.axes, "the signal's", len(self.signal.axes)),
            ("decoder.axes", self.decoder.axes, "the signal's", len(self.signal.axes)),
            ("encoder.dim", self.encoder.dim, "the quantizer's", dim),
            ("decoder.dim", self.decoder.dim, "the quantizer's", dim),
            ("decoder.stride", self.decoder.stride, "the encoder's", self.encoder.stride),
            ("decoder.out_channels", self.decoder.out_channels, "the likelihood's", parameters),
            ("quantizer.channel_dim", getattr(self.quantizer, "channel_dim", -1), "last", -1),
            ("signal.channels", self.signal.channels, "the encoder's", self.channels),
        )
        for name, got, whose, expected in pairs:
            check_fit("tokenizer", name, got, whose, expected)


def check_fit(owner: str, name: str, got: int, whose: str, expected: int) -> None:
    """Check that a part's size is what another part needs.

    Args:
        owner: the beginning of the message.
        name: the option, such as ``decoder.stride``.
        got: its value.
        whose: what sets the value that is expected.
        expected: that value.

    Raises:
        OptionError: the two differ.
    """
    if got == expected:
        return
    advice = f"{name}={expected}"
    if name.endswith("decoder.stride"):
        advice = "the same downsample or multipliers in encoder and decoder"
    raise OptionError(f"{owner} {name}: expected {whose} {expected}, got {got}; set {advice}")
