"""The layers of a language model over a few new tokens, with cached keys and values.

The arithmetic and weights are those of the transformers library's modules, with less overhead: keys
and values are written into memory reserved once, whereas the library copies all of them for every
token; projections of the same input are one product; the activation is one operation.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import (
    gelu,
    layer_norm,
    linear,
    rms_norm,
    scaled_dot_product_attention,
    silu,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Sight:
    """The view of the new tokens in one layer.

    Attributes:
        places: (n,) where they stand.
        kept: (2, B, heads, t, d) keys and values of all tokens; those of new tokens are filled in.
        mask: (n, t), true where a new token looks; None: everywhere.
        last: whether the new tokens are the last of the t; else only `places` says.
    """

    places: Tensor
    kept: Tensor
    mask: Tensor | None
    last: bool

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of the new tokens (B, heads, n, d) onto all; gives (B, n, heads x d)."""
        keys, values = self.kept
        count = key.shape[2]
        for kept, fresh in ((keys, key), (values, value)):
            if self.last:
                kept[:, :, -count:] = fresh
            else:
                kept.index_copy_(2, self.places, fresh)
        out = scaled_dot_product_attention(query, keys, values, attn_mask=self.mask)
        return out.transpose(1, 2).flatten(2)


class CachedLayers(ABC):
    """A causal language model without its head, token by token.

    Args:
        model: the model of the transformers library.
        batch: number of sequences B.
        room: the largest number of tokens.
        compiled: compile the pass of a single token. Its shapes must not change, so it looks at the
            whole buffer, with empty places masked.

    Attributes:
        length: tokens so far.
        places: (room,) 0, 1, 2, ...
    """

    def __init__(
        self, model: PreTrainedModel, batch: int, room: int, *, compiled: bool = False
    ) -> None:
        config = model.config
        self.heads = int(config.num_attention_heads)
        width, layers = int(config.hidden_size), int(config.num_hidden_layers)
        table: Any = model.get_input_embeddings()
        self.embedding: Tensor = table.weight
        shape = (layers, 2, batch, self.heads, room, width // self.heads)
        # masked values must be finite, too
        self._kept = self.embedding.new_zeros(shape)
        self.places = torch.arange(room, device=self.embedding.device)
        self._compiled = compiled
        if compiled:
            torch._dynamo.mark_static_address(self._kept)  # so that it can be part of a CUDA graph
        self.length = 0

    def run(self, tokens: Tensor) -> Tensor:
        """The states (B, C) at the last of new tokens (B, n), after all before them."""
        start, self.length = self.length, self.length + tokens.shape[1]
        places = self.places[start : self.length]
        if self._compiled and len(places) == 1:
            compiled = _compiler(tokens.is_cuda)
            return compiled(self, tokens, places.clone(), self._kept).clone()
        mask = None
        if len(places) > 1:
            mask = self.places[: self.length] <= places[:, None]
        return self.forward(tokens, places, self._kept[..., : self.length, :], mask, last=True)

    def forward(
        self, tokens: Tensor, places: Tensor, kept: Tensor, mask: Tensor | None, *, last: bool
    ) -> Tensor:
        """The states (B, C) at the last of new tokens.

        Args:
            tokens: (B, n).
            places: (n,) where they stand.
            kept: (layers, 2, B, heads, t, d) keys and values; those of new tokens are filled in.
            mask: (n, t), true where a new token looks; None: everywhere.
            last: whether the new tokens are the last of the t.
        """
        x = self.embed(self.embedding[tokens], places)
        for number, own in enumerate(kept.unbind()):
            x = self.layer(x, number, Sight(places, own, mask, last))
        return self.norm(x[:, -1])

    def split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Projections (B, n, parts x C) as `parts` tensors (B, heads, n, d)."""
        whole = x.unflatten(-1, (parts, self.heads, -1))
        return tuple(part.transpose(1, 2) for part in whole.unbind(2))

    @abstractmethod
    def embed(self, x: Tensor, places: Tensor) -> Tensor:
        """The first layer's input, of embedded tokens (B, n, C) at places (n,)."""

    @abstractmethod
    def layer(self, x: Tensor, number: int, sight: Sight) -> Tensor:
        """Layer `number` applied to the new tokens' states (B, n, C)."""

    @abstractmethod
    def norm(self, x: Tensor) -> Tensor:
        """The last normalization, of states (B, C)."""


class GPT2Layers(CachedLayers):
    """GPT-2: learned places, layer normalization before each part, GELU by the hyperbolic tangent.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
    """

    def __init__(
        self, model: PreTrainedModel, batch: int, room: int, *, compiled: bool = False
    ) -> None:
        super().__init__(model, batch, room, compiled=compiled)
        body: Any = model.base_model
        self._table, self._layers, self._last = body.wpe.weight, list(body.h), body.ln_f

    def embed(self, x: Tensor, places: Tensor) -> Tensor:
        """Add the places."""
        return x + self._table[places]

    def layer(self, x: Tensor, number: int, sight: Sight) -> Tensor:
        """Attention, then the feed-forward part; see `CachedLayers`."""
        block = self._layers[number]
        inner = _projected(_normed(x, block.ln_1), block.attn.c_attn)
        attended = sight.attend(*self.split(inner, 3))
        x = x + _projected(attended, block.attn.c_proj)
        inner = gelu(_projected(_normed(x, block.ln_2), block.mlp.c_fc), approximate="tanh")
        return x + _projected(inner, block.mlp.c_proj)

    def norm(self, x: Tensor) -> Tensor:
        """Layer normalization."""
        return _normed(x, self._last)


class LlamaLayers(CachedLayers):
    """Llama: rotary places, root mean square normalization, SwiGLU.

    Source: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models".
    """

    def __init__(
        self, model: PreTrainedModel, batch: int, room: int, *, compiled: bool = False
    ) -> None:
        super().__init__(model, batch, room, compiled=compiled)
        body: Any = model.base_model
        self._layers, self._last = list(body.layers), body.norm
        angles = body.rotary_emb(self._kept, self.places[None])
        self._rotation = tuple(part[0] for part in angles)
        self._attention_in, self._forward_in = [], []
        for block in self._layers:
            own = block.self_attn
            self._attention_in.append(_joined(own.q_proj, own.k_proj, own.v_proj))
            self._forward_in.append(_joined(block.mlp.gate_proj, block.mlp.up_proj))

    def embed(self, x: Tensor, places: Tensor) -> Tensor:
        """Nothing is added: places enter the attention."""
        return x

    def layer(self, x: Tensor, number: int, sight: Sight) -> Tensor:
        """Attention, then the feed-forward part; see `CachedLayers`."""
        block = self._layers[number]
        inner = linear(_scaled(x, block.input_layernorm), self._attention_in[number])
        query, key, value = self.split(inner, 3)
        query, key = self._rotated(query, sight.places), self._rotated(key, sight.places)
        attended = sight.attend(query, key, value)
        x = x + block.self_attn.o_proj(attended)
        inner = linear(_scaled(x, block.post_attention_layernorm), self._forward_in[number])
        gate, values = inner.chunk(2, -1)
        return x + block.mlp.down_proj(silu(gate) * values)

    def norm(self, x: Tensor) -> Tensor:
        """Root mean square normalization."""
        return _scaled(x, self._last)

    def _rotated(self, x: Tensor, places: Tensor) -> Tensor:
        """Turn pairs of components (B, heads, n, d) by the angles of places (n,)."""
        cosine, sine = (part[places] for part in self._rotation)
        first, second = x.chunk(2, -1)
        return x * cosine + torch.cat([-second, first], -1) * sine


def cached_layers(
    model: PreTrainedModel, batch: int, room: int, *, compiled: bool = False
) -> CachedLayers:
    """The layers of a model of either architecture; see `CachedLayers`."""
    kinds = {"gpt2": GPT2Layers, "llama": LlamaLayers}
    return kinds[model.config.model_type](model, batch, room, compiled=compiled)


def _pass(layers: CachedLayers, token: Tensor, place: Tensor, kept: Tensor) -> Tensor:
    """The pass of a single token, with the same shapes for every token."""
    mask = layers.places <= place[:, None]
    return layers.forward(token, place, kept, mask, last=False)


@functools.cache
def _compiler(on_gpu: bool) -> Callable[..., Tensor]:
    # graphs of the whole pass save the launches of its many small kernels
    mode = "reduce-overhead" if on_gpu else "default"
    return torch.compile(_pass, mode=mode, dynamic=False, fullgraph=True)


def _normed(x: Tensor, norm: Any) -> Tensor:
    return layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _scaled(x: Tensor, norm: Any) -> Tensor:
    # the library normalizes in single precision for every type
    scaled = rms_norm(x.float(), x.shape[-1:], None, norm.variance_epsilon)
    return norm.weight * scaled.to(x.dtype)


def _projected(x: Tensor, layer: Any) -> Tensor:
    """GPT-2's linear layer, whose weight is (in, out)."""
    flat = torch.addmm(layer.bias, x.flatten(0, 1), layer.weight)
    return flat.view(*x.shape[:-1], -1)


def _joined(*layers: Any) -> Tensor:
    """The weights of layers with the same input, joined into one."""
    return torch.cat([layer.weight for layer in layers])
