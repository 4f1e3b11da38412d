"""The Gumbel quantizer: codes are drawn from a categorical distribution, differentiably."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor, nn

from vocabula.functional import masked_mean, readable
from vocabula.functional.joined_draws import joined_noise
from vocabula.quantizers.base import Quantizer
from vocabula.quantizers.fitting import FittedStart
from vocabula.quantizers.initialization import Initialization, Normal
from vocabula.quantizers.posterior import posterior, principal
from vocabula.quantizers.projection import Projection
from vocabula.quantizers.shards import OwnParameters
from vocabula.registry import component
from vocabula.types import Quantized


@component("annealing", "annealing")
@dataclass(frozen=True)
class Annealing:
    """A value that goes from `start` to `end` in a number of updates, and stays there.

    With t = min(update / steps, 1)::

        exponential  start (end / start)^t
        linear       start + (end - start) t
        cosine       end + (start - end)(1 + cos(pi t)) / 2

    Args:
        start: the value before the first update.
        end: the value from update `steps` on.
        steps: updates in between.
        shape: the course.

    Source:
        exponential: Jang et al. 2017, section 4.2.1; cosine: Ramesh et al. 2021 (DALL-E),
        appendix A.2, which goes from 1 to 1/16 in 150,000 updates.
    """

    component_kind: ClassVar[str] = "annealing"

    start: Annotated[float, Gt(0)]
    end: Annotated[float, Gt(0)]
    steps: Annotated[int, Ge(1)]
    shape: Literal["exponential", "linear", "cosine"] = "exponential"

    def at(self, update: Tensor) -> Tensor:
        """The value () float32 after `update` () updates, an integer tensor."""
        t = (update.float() / self.steps).clamp(0, 1)
        if self.shape == "exponential":
            return self.start * torch.exp(t * math.log(self.end / self.start))
        if self.shape == "linear":
            return self.start + (self.end - self.start) * t
        return self.end + (self.start - self.end) * (1 + torch.cos(math.pi * t)) / 2


@component("quantizer", "gumbel")
class GumbelQuantizer(OwnParameters, FittedStart, Quantizer):
    """Gumbel-softmax quantization: the encoder's vector gives the probabilities of the codes.

    ::

        l = W z + b (K,)      q = softmax(l)      g ~ Gumbel(0, 1) (K,)
        training:    code = argmax(l + g), a draw from q        y = softmax((l + g) / T) E
        evaluation:  code = argmax(l), ties to the lowest       y = softmax(l / T) E
        values = E[code], with the gradient of y
        kl = mean_n sum_k q_k log(q_k K)                        nats, to the uniform distribution
        loss = kl_weight kl

    The codebook E is a parameter that learns from the gradient of y. Evaluation and `encode` are
    deterministic. With ``hard=False`` training returns y itself, so that only there values differ
    from ``decode(codes)``.

    With ``initialization=KMeans()`` or `FromData` the first batches set E, W and b: q is then the
    posterior of equal normal distributions about codewords on the data, and the argmax the nearest
    one. Vectors with a strong mean or unequal scales need it; see `posterior`.

    Args:
        dim: D, width of the vectors.
        codebook_size: K, number of codewords.
        temperature: T, a number or an `Annealing` over updates; see `update`.
        hard: return codewords in training too, not their mixtures.
        kl_weight: weight of the KL term.
        codebook_dim: width of the codewords; they are projected to D. None: D.
        initialization: where codewords and logits start: `Normal` or `Uniform`, which leave the
            logits random, or on the data with `KMeans` or `FromData`.
        channel_dim: where the vectors' components are.
        auto_update: count an update at the end of each training forward pass; if False, call
            `update` once per optimizer step.

    Shape:
        z (*batch, D) to values (*batch, D) and codes (*batch). Logits take (N, K) memory.

    Raises:
        OptionError: a size, weight or temperature out of range.

    Example:
        >>> quantizer = GumbelQuantizer(8, 32, temperature=Annealing(1.0, 0.1, steps=1000))
        >>> quantizer(torch.randn(4, 8)).codes.shape
        torch.Size([4])

    Source:
        Jang, Gu & Poole 2017, "Categorical Reparameterization with Gumbel-Softmax", equation 2
        and section 2.2 (straight-through); the KL to uniform as in Ramesh et al. 2021 (DALL-E).
        kl_weight = 5e-4 is VQ-GAN's (Esser et al. 2021, GumbelQuantize).
    """

    updates: Tensor
    pending: Tensor

    def __init__(
        self,
        dim: Annotated[int, Ge(1)],
        codebook_size: Annotated[int, Ge(1)],
        *,
        temperature: Annotated[float, Gt(0)] | Annealing = 1.0,
        hard: bool = True,
        kl_weight: Annotated[float, Ge(0)] = 5e-4,
        codebook_dim: Annotated[int, Ge(1)] | None = None,
        initialization: Initialization = Normal(),  # noqa: B008 - frozen
        channel_dim: int = -1,
        auto_update: bool = True,
    ) -> None:
        super().__init__(
            dim, (codebook_size,), (), channel_dim=channel_dim, auto_update=auto_update
        )
        width = codebook_dim or dim
        self.to_logits = Projection(dim, codebook_size)
        self.project_out: nn.Module = Projection(width, dim) if width != dim else nn.Identity()
        self.codebook = nn.Parameter(initialization.start(codebook_size, width))
        self.temperature = temperature
        self.hard = hard
        self.kl_weight = kl_weight
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.keep_local("pending", torch.zeros((), dtype=torch.int64), persistent=False)
        self.initialization = initialization
        if initialization.last_fit >= 0:
            self.keep_fits(initialization)

    @property
    def current_temperature(self) -> Tensor:
        """The temperature () that the next forward pass uses."""
        if isinstance(self.temperature, Annealing):
            return self.temperature.at(self.updates)
        return torch.full((), self.temperature, dtype=self.compute_dtype, device=self.anchor.device)

    def _codewords(self) -> Tensor:
        return self._kept(self.codebook).to(self.compute_dtype)

    def _logits(self, z: Tensor) -> Tensor:
        linear = self.to_logits
        return F.linear(z, self._kept(linear.weight).to(z), self._kept(linear.bias).to(z))

    def _widened(self, codewords: Tensor) -> Tensor:
        """Codewords (N, codebook_dim) as vectors (N, D)."""
        if not isinstance(self.project_out, Projection):
            return codewords
        weight, bias = self._kept(self.project_out.weight), self._kept(self.project_out.bias)
        return F.linear(codewords, weight.to(codewords), bias.to(codewords))

    def _kept(self, parameter: Tensor) -> Tensor:
        """A parameter; a copy where a later fit may change it before the gradient is asked for."""
        return parameter.clone() if self.training and self._fitting() else parameter

    @torch.no_grad()
    def _fit(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """Set codewords and logits from the batch where that is due ()."""
        vectors, _, due = self._found(z, mask, self.codebook_sizes[0])
        known = readable(due)
        if known is None or bool(known):
            self._start(z, mask, vectors, due)
        self._note(due)
        return due

    def _start(self, z: Tensor, mask: Tensor | None, vectors: Tensor, due: Tensor) -> None:
        """Take the codewords (K, D) where `due` (), and the logits of the nearest ones."""
        codewords = vectors
        if isinstance(self.project_out, Projection):
            codewords, weight, bias = principal(vectors, self.codebook.shape[1])
            vectors = F.linear(codewords, weight, bias)
            self.project_out.set_parameter("weight", weight, due)
            self.project_out.set_parameter("bias", bias, due)
        self.set_parameter("codebook", codewords, due)
        weight, bias = posterior(z, mask, vectors)
        self.to_logits.set_parameter("weight", weight, due)
        self.to_logits.set_parameter("bias", bias, due)

    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        fitted = self._fit(z.detach(), mask) if self.learning_active and self._fitting() else None
        logits, codebook = self._logits(z), self._codewords()
        if codes is not None and fitted is not None:  # they may belong to the previous codebook
            codes = torch.where(fitted, self._scores(logits, None).detach().argmax(-1), codes)
        scores = self._scores(logits, codes)
        codes = scores.detach().argmax(-1) if codes is None else codes
        mixed = torch.softmax(scores / self.current_temperature.to(scores), -1) @ codebook
        chosen = F.embedding(codes, codebook.detach())
        if self.learning_active:
            self.pending.fill_(1)
            self._track(codes, mask, mixed, chosen)
        # Adding an exact zero keeps the codeword's bits and brings the mixture's gradient.
        soft = self.training and not self.hard
        values = self._widened(mixed if soft else chosen + (mixed - mixed.detach()))
        kl = self._kl(logits, mask)
        return Quantized(values, codes, self.kl_weight * kl, {"kl": kl})

    def _scores(self, logits: Tensor, codes: Tensor | None) -> Tensor:
        """Logits (N, K), in training with Gumbel noise; given codes are then the largest."""
        if not self.training:
            return logits
        noisy = logits + _gumbel(logits)
        if codes is None:
            return noisy
        # The largest of the noisy logits is independent of where it is: draw it there, and the
        # others from Gumbel distributions truncated below it (Maddison et al. 2014, A* sampling).
        top = torch.logsumexp(logits, -1, keepdim=True) + _gumbel(logits[:, :1])
        below = -torch.logaddexp(-top, -noisy)
        here = torch.zeros_like(logits, dtype=torch.bool).scatter(1, codes[:, None], True)
        return torch.where(here, top, below)

    def _kl(self, logits: Tensor, mask: Tensor | None) -> Tensor:
        log_q = torch.log_softmax(logits, -1)
        return masked_mean((log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(-1), mask)

    def _update(self) -> None:
        # Replaced, not changed in place: a compiled backward pass recomputes the temperature.
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            self.updates += self.pending  # a new tensor would stay an inference tensor
        else:
            self.updates = self.updates + self.pending
        self.pending.zero_()
        if "fits" in self._buffers:
            self.begun.zero_()

    def _encode(self, z: Tensor) -> Tensor:
        codes: Tensor = self.to_logits(z).argmax(-1)
        return codes

    def _decode(self, codes: Tensor) -> Tensor:
        values: Tensor = self.project_out(F.embedding(codes, self._codewords()))
        return values

    @property
    def prunable(self) -> bool:
        """The codebook is a table."""
        return True

    def _select(self, kept: Tensor) -> None:
        learns = self.codebook.requires_grad
        self.codebook = nn.Parameter(self.codebook.detach()[kept], learns)
        old, size = self.to_logits, len(kept)
        new = Projection(self.dim, size, device=old.weight.device, dtype=old.weight.dtype)
        new.weight = nn.Parameter(old.weight.detach()[kept], old.weight.requires_grad)
        new.bias = nn.Parameter(old.bias.detach()[kept], old.bias.requires_grad)
        self.to_logits = new
        self._end_fits()

    def distances(self, z: Tensor, codes: Tensor) -> Tensor:
        """-log q(code | z) in nats (N, c) of codes (N, c) for z (N, D)."""
        self._check_codes(codes)
        return -torch.log_softmax(self.to_logits(z), -1).gather(1, codes)

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """The `count` most probable codes of each row, the most probable first."""
        count = min(count, self.codebook_sizes[0])
        return self.to_logits(z).sort(dim=-1, descending=True, stable=True).indices[:, :count]


def _gumbel(like: Tensor) -> Tensor:
    """Standard Gumbel noise: -log of exponential draws, none of which is taken as 0."""
    draws = joined_noise(like, "exponential")
    return -draws.clamp_min(torch.finfo(draws.dtype).tiny).log()
