"""The image tokenizer: an encoder, a bottleneck, a decoder and a likelihood made into one model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vocabula.errors import CodeError, OptionError
from vocabula.nn.base import Decoder, Encoder
from vocabula.quantizers.base import Bottleneck, Quantizer
from vocabula.registry import component
from vocabula.tokenizers.analysis import Analysis, BitsPerDim
from vocabula.tokenizers.gaussian import Gaussian
from vocabula.tokenizers.gaussian_bottleneck import GaussianBottleneck
from vocabula.tokenizers.images import as_images
from vocabula.tokenizers.likelihood import Likelihood
from vocabula.tokenizers.saving import Pretrained
from vocabula.types import Reconstruction


@component("tokenizer", "tokenizer")
class Tokenizer(Pretrained, nn.Module):
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
        likelihood: the distribution of the image; None is ``Gaussian()``.

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

    component_kind = "tokenizer"

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Bottleneck,
        decoder: Decoder,
        *,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.likelihood: Likelihood = Gaussian() if likelihood is None else likelihood
        self.channels = encoder.in_channels
        self.stride = encoder.stride
        self._check_parts()

    # ------------------------------------------------------------------ public

    def forward(self, x: Tensor) -> Reconstruction:
        """Reconstruct images and compute the training loss.

        The loss is the likelihood's plus the bottleneck's; `losses` holds ``reconstruction`` and
        the bottleneck's terms under their own names.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1]. Floating-point images are checked for range and
                finiteness, which waits for the device; uint8 images need no check.

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        x = as_images(x, self.channels)
        quantized = self.quantizer(self._vectors(x))
        parameters = self._describe(quantized.values, x.shape[-2:])
        reconstruction = self.likelihood.loss(parameters, x)
        return Reconstruction(
            output=self.likelihood.mean(parameters),
            quantized=quantized,
            loss=reconstruction + quantized.loss,
            losses={"reconstruction": reconstruction, **quantized.losses},
        )

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, h, w, *code_shape), int64, of images (B, C, H, W); h, w as in `grid`.

        Raises:
            DataError: wrong shape, dtype, channels or values.
            OptionError: the bottleneck is continuous; use `reconstruct`.
        """
        quantizer = self._discrete("encode")
        return quantizer.encode(self._vectors(as_images(x, self.channels)))

    def decode(
        self, codes: Tensor, condition: None = None, *, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of codes (B, h, w, *code_shape).

        Args:
            codes: integers.
            condition: reserved for conditional decoders; must be None.
            size: (H, W) to crop to; None keeps h * stride by w * stride.

        Raises:
            CodeError: wrong shape or values.
            OptionError: the bottleneck is continuous, `condition` is given, or `size` is not the
                size of an image with h by w codes.
        """
        quantizer = self._discrete("decode")
        if condition is not None:
            raise OptionError(
                f"decode: expected condition=None, got {type(condition).__name__}; "
                "this tokenizer's decoder takes no condition"
            )
        expected = 3 + len(quantizer.code_shape)
        if codes.ndim != expected:
            books = "".join(f", {n}" for n in quantizer.code_shape)
            raise CodeError(
                f"decode: expected codes (B, h, w{books}), got {tuple(codes.shape)}; "
                "add the missing batch or grid dimension"
            )
        size = self._size(size, codes.shape[1:3])
        return self.likelihood.mean(self._describe(quantizer.decode(codes), size))

    def vectors(self, x: Tensor) -> Tensor:
        """The encoder's vectors (B, h, w, D) of images (B, C, H, W), before the bottleneck.

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        return self._vectors(as_images(x, self.channels))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """What remains of images (B, C, H, W) after the bottleneck, in [0, 1]; changes no state.

        A discrete bottleneck gives ``decode(encode(x))``, a continuous one decodes its mean.

        Raises:
            DataError: wrong shape, dtype, channels or values.
        """
        x = as_images(x, self.channels)
        values = self._bottleneck(self._vectors(x))[1]
        return self.likelihood.mean(self._describe(values, x.shape[-2:]))

    @torch.no_grad()
    def bits_per_dim(self, x: Tensor, *, seed: int = 0) -> BitsPerDim:
        """Bits per channel of a pixel that images cost as latent plus residual.

        Discrete: ``(h w sum_books log2 K - log2 p(x | codes)) / (C H W)``, codes at a fixed
        length: the size a lossless coder reaches. Continuous: ``(KL(q(u|x) || p(u)) - log2
        p(x | u)) / (C H W)`` with one sample u of the posterior, an unbiased estimate of the
        negative evidence lower bound.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1]; counted as 8-bit values.
            seed: of the sample, where the bottleneck is continuous.

        Returns:
            `BitsPerDim`, each part (B,).

        Raises:
            DataError: wrong shape, dtype, channels or values.
            OptionError: the bottleneck is neither a quantizer nor a `GaussianBottleneck`.
        """
        return self.analyse(x, seed=seed).bits

    @torch.no_grad()
    def analyse(self, x: Tensor, *, seed: int = 0) -> Analysis:
        """Codes, reconstruction and bits per dimension of images, from one pass.

        The parts are those of `vectors`, `encode`, `reconstruct` and `bits_per_dim`. A continuous
        bottleneck is decoded twice: its mean for the output, a sample for the bits.

        Args:
            x: (B, C, H, W), uint8 or in [0, 1].
            seed: of the sample, where the bottleneck is continuous.

        Raises:
            DataError: wrong shape, dtype, channels or values.
            OptionError: the bottleneck is neither a quantizer nor a `GaussianBottleneck`.
        """
        x = as_images(x, self.channels)
        vectors, dims, size = self._vectors(x), x.shape[1:].numel(), x.shape[-2:]
        codes, values = self._bottleneck(vectors)
        parameters = self._describe(values, size)
        output = self.likelihood.mean(parameters)
        if isinstance(self.quantizer, GaussianBottleneck):
            latent_bits = self.quantizer.kl_bits(vectors).sum((1, 2))
            generator = torch.Generator().manual_seed(seed)
            sample = self.quantizer.sample(vectors, generator=generator)
            parameters = self._describe(sample, size)
        else:
            self._discrete("analyse")
            positions = vectors.shape[1] * vectors.shape[2]
            latent_bits = torch.full((len(x),), self.bits_per_code * positions, device=x.device)
        bits = BitsPerDim(latent_bits / dims, self.likelihood.bits_per_dim(parameters, x))
        return Analysis(vectors, codes, output, bits)

    @property
    def bits_per_code(self) -> float:
        """Bits of one grid position at a fixed length: sum of log2 K over books; 0 for a VAE."""
        return self.quantizer.bits if isinstance(self.quantizer, Quantizer) else 0.0

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) positions of codes that an image of `height` by `width` pixels gets."""
        return -(-height // self.stride), -(-width // self.stride)

    # --------------------------------------------------------------- internals

    def _vectors(self, x: Tensor) -> Tensor:
        """The encoder's vectors (B, h, w, D) of checked images x."""
        height, width = x.shape[-2:]
        right, below = -width % self.stride, -height % self.stride
        centred = (x - 0.5).to(_dtype(self.encoder, x))
        if right or below:
            centred = pad(centred, (0, right, 0, below), mode="replicate")
        z: Tensor = self.encoder(centred)
        return z.movedim(1, -1)

    def _bottleneck(self, vectors: Tensor) -> tuple[Tensor | None, Tensor]:
        """Codes, if there are any, and the values that the decoder gets in evaluation."""
        if isinstance(self.quantizer, Quantizer):
            codes = self.quantizer.encode(vectors)
            return codes, self.quantizer.decode(codes)
        if isinstance(self.quantizer, GaussianBottleneck):
            return None, self.quantizer.posterior(vectors)[0]
        return None, self.quantizer(vectors).values

    def _describe(self, values: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
        """The likelihood's parameters (B, P, H, W) of vectors (B, h, w, D), cropped to size."""
        decoded: Tensor = self.decoder(values.movedim(-1, 1).to(_dtype(self.decoder, values)))
        return decoded[..., : size[0], : size[1]]

    def _discrete(self, verb: str) -> Quantizer:
        if not isinstance(self.quantizer, Quantizer):
            raise OptionError(
                f"{verb}: expected a discrete quantizer, got the continuous "
                f"{type(self.quantizer).__name__}, which has no codes; use reconstruct(x)"
            )
        return self.quantizer

    def _size(self, size: tuple[int, int] | None, grid: torch.Size) -> tuple[int, int]:
        largest = (grid[0] * self.stride, grid[1] * self.stride)
        if size is None:
            return largest
        if len(size) != 2 or any(
            not top - self.stride < n <= top for n, top in zip(size, largest, strict=True)
        ):
            raise OptionError(
                f"decode: expected a size of {grid[0]} x {grid[1]} codes of {self.stride} pixels, "
                f"at most {largest}, got {tuple(size)}; give the (H, W) of the encoded image"
            )
        return size

    def _check_parts(self) -> None:
        """Check that the parts fit; every message names the option to change."""
        dim, likelihood = self.quantizer.dim, self.likelihood
        parameters = likelihood.parameter_channels(self.channels)
        pairs = (
            ("encoder.dim", self.encoder.dim, "the quantizer's", dim),
            ("decoder.dim", self.decoder.dim, "the quantizer's", dim),
            ("decoder.stride", self.decoder.stride, "the encoder's", self.stride),
            ("decoder.out_channels", self.decoder.out_channels, "the likelihood's", parameters),
            ("quantizer.channel_dim", getattr(self.quantizer, "channel_dim", -1), "last", -1),
        )
        for name, got, whose, expected in pairs:
            if got != expected:
                advice = f"{name}={expected}"
                if name == "decoder.stride":
                    advice = "the same downsample or multipliers in encoder and decoder"
                raise OptionError(
                    f"tokenizer {name}: expected {whose} {expected}, got {got}; set {advice}"
                )


def _dtype(part: nn.Module, fallback: Tensor) -> torch.dtype:
    """The floating-point type of a part's parameters, which its input must have."""
    parameter = next(part.parameters(), None)
    return fallback.dtype if parameter is None else parameter.dtype
