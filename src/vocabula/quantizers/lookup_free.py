"""The lookup-free quantizer: the signs of the coordinates are the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import (
    MAX_BITS,
    binary_entropies,
    masked_mean,
    pack_bits,
    straight_through,
    unpack_bits,
)
from vocabula.functional._checks import mask_and_weights
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.foreign import FOREIGN_OPTIONS
from vocabula.quantizers.projection import Projection, unit
from vocabula.registry import component
from vocabula.types import Quantized

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "hardtanh": F.hardtanh,
}

MAX_ENTROPY_BITS = 24  # the batch distribution of a book has 2^bits entries


@component("quantizer", "lookup_free")
class LookupFreeQuantizer(Quantizer):
    """Lookup-free quantization (LFQ), and on the sphere binary spherical quantization (BSQ).

    Each coordinate becomes its sign, and the signs of a book are its code, the first coordinate
    being the most significant bit::

        q_i = +s if z_i > 0 else -s                       code = sum_i [z_i > 0] 2^(bits - 1 - i)
        commitment = mean((z - sg(q))^2)                  over elements
        entropy_sample = mean_n H(p(.|z_n))               nats, per book
        entropy_batch = H(mean_n p(.|z_n))                nats, per book
        loss = commitment_weight commitment
               + entropy_weight sum_books (entropy_sample - diversity_gamma entropy_batch)

    where p(j|z) = softmax_j(2 tau z.c_j) over the codewords c in {-s, +s}^bits. Both entropies are
    exact and differentiable, and no (N, 2^bits) tensor is built. The gradient of the values is
    passed straight through to z.

    Spherical: each book's part of z is scaled to norm 1 first, and s = scale / sqrt(bits), so that
    codewords have norm `scale`.

    Args:
        dim: D, width of the vectors, projected to bits x books coordinates and back where it
            differs.
        bits: bits per book, so that a book has 2^bits codes. None: dim / books.
        books: number of books, each with a code of its own.
        scale: s, the magnitude of the codewords' coordinates (their norm where spherical).
        inverse_temperature: tau, per unit of z.c.
        entropy_weight: weight of the entropy terms; at 0 they are not computed.
        diversity_gamma: weight of the batch entropy relative to the sample entropy.
        commitment_weight: weight of the commitment term.
        activation: applied to the coordinates first: a name or a function, elementwise.
        spherical: scale each book's coordinates to norm 1 (after the activation).
        channel_dim: where the vectors' components are.
        auto_update: has no effect, since nothing is learned outside the gradient.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch), or (*batch, books) for several.

    Raises:
        OptionError: if books do not divide dim, a book has more than 62 bits, or more than 24
            with an entropy term.

    Example:
        >>> quantizer = LookupFreeQuantizer(dim=18)
        >>> quantizer.codebook_sizes
        (262144,)

    Source:
        Yu et al. 2023, "Language Model Beats Diffusion" (MAGVIT-v2), section 3.1, equations 3 to
        5; Zhao, Xiong & Krähenbühl 2024, "Image and Video Tokenization with Binary Spherical
        Quantization", section 3.2. The sum over books is the entropy of all codes of a vector,
        were its books independent. BSQ's published loss has no commitment term: set
        commitment_weight=0 for it.
    """

    foreign_options: ClassVar[Mapping[str, str]] = {
        **FOREIGN_OPTIONS,
        "codebook_dim": "bits",
        "codebook_scale": "scale",
        "codebook_size": "bits, or dim without it: a book has 2^bits codes",
        "num_codebooks": "books",
        "orthogonal_rotation": "nothing: turn the vectors first, and the values back",
    }

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        *,
        bits: Annotated[int, Ge(1), Le(MAX_BITS)] | None = None,
        books: Annotated[int, Ge(1)] = 1,
        scale: Annotated[float, Gt(0)] = 1.0,
        inverse_temperature: Annotated[float, Gt(0)] = 100.0,
        entropy_weight: Annotated[float, Ge(0)] = 0.1,
        diversity_gamma: Annotated[float, Ge(0)] = 1.0,
        commitment_weight: Annotated[float, Ge(0)] = 0.25,
        activation: Literal["tanh", "softsign", "hardtanh"] | Activation | None = None,
        spherical: bool = False,
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        bits = _bits_per_book(dim, bits, books, entropy_weight)
        super().__init__(
            dim,
            (2**bits,) * books,
            () if books == 1 else (books,),
            channel_dim=channel_dim,
            auto_update=auto_update,
        )
        width = bits * books
        self.project_in: nn.Module = Projection(dim, width) if width != dim else nn.Identity()
        self.project_out: nn.Module = Projection(width, dim) if width != dim else nn.Identity()
        self.bits_per_book = bits
        self.scale = scale
        self.magnitude = scale / bits**0.5 if spherical else scale
        self.inverse_temperature = inverse_temperature
        self.entropy_weight = entropy_weight
        self.diversity_gamma = diversity_gamma
        self.commitment_weight = commitment_weight
        self.activation = ACTIVATIONS[activation] if isinstance(activation, str) else activation
        self.spherical = spherical

    def _inner(self, z: Tensor) -> Tensor:
        """The coordinates (N, books, bits) whose signs are the codes."""
        inner: Tensor = self.project_in(z)
        inner = inner if self.activation is None else self.activation(inner)
        inner = inner.unflatten(-1, (self.books, self.bits_per_book))
        return unit(inner) if self.spherical else inner

    def _pack(self, inner: Tensor) -> Tensor:
        return pack_bits(inner.detach() > 0).reshape(-1, *self.code_shape)

    def _corners(self, codes: Tensor) -> Tensor:
        """The codewords (N, books, bits) of codes (N, *code_shape)."""
        signs = unpack_bits(codes.reshape(-1, self.books), self.bits_per_book)
        magnitude = torch.full((), self.magnitude, dtype=self.compute_dtype, device=codes.device)
        return torch.where(signs, magnitude, -magnitude)

    def _quantize(
        self,
        z: Tensor,
        mask: Tensor | None,
        codes: Tensor | None = None,
        *,
        unit: Tensor | None = None,
    ) -> Quantized:
        inner = self._inner(z)
        codes = self._pack(inner) if codes is None else codes
        corners = self._corners(codes)
        if self.learning_active:
            self._track(codes, mask, inner.flatten(1), corners.flatten(1))
        losses, loss = self._losses(inner, corners, mask, unit)
        values = self.project_out(straight_through(inner, corners).flatten(1))
        return Quantized(values, codes, loss, losses)

    def _losses(
        self, inner: Tensor, corners: Tensor, mask: Tensor | None, unit: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The terms by name, and their weighted sum; distances count in units of (1,) or (D,)."""
        distance = (inner - corners).flatten(1)
        distance = distance if unit is None else distance * unit
        commitment = masked_mean(distance.square(), mask)
        losses = {"commitment": commitment}
        loss = self.commitment_weight * commitment
        if self.entropy_weight > 0:
            kept, weights = mask_and_weights(mask)
            sample, batch = binary_entropies(
                inner,
                scale=self.magnitude,
                inverse_temperature=self.inverse_temperature,
                mask=kept,
                weights=weights,
            )
            losses |= {"entropy_sample": sample, "entropy_batch": batch}
            loss = loss + self.entropy_weight * (sample - self.diversity_gamma * batch).sum()
        return losses, loss

    def _encode(self, z: Tensor) -> Tensor:
        return self._pack(self._inner(z))

    def _decode(self, codes: Tensor) -> Tensor:
        values: Tensor = self.project_out(self._corners(codes).flatten(1))
        return values


def _bits_per_book(dim: int, bits: int | None, books: int, entropy_weight: float) -> int:
    """The bits of each book, checked."""
    if bits is None and dim % books:
        raise OptionError(
            f"LookupFreeQuantizer.books: expected a divisor of dim={dim}, got {books}; set bits"
        )
    bits = dim // books if bits is None else bits
    limit = MAX_ENTROPY_BITS if entropy_weight > 0 else MAX_BITS
    if bits > limit:
        raise OptionError(
            f"LookupFreeQuantizer.bits: expected at most {limit} in a book, got {bits}; use more "
            "books, or set bits" + ("" if limit == MAX_BITS else ", or entropy_weight=0")
        )
    return bits
