"""A Transformer over codes: a causal language model of the transformers library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from vocabula.errors import OptionError
from vocabula.priors.codes import CodeGrid
from vocabula.priors.condition import Conditioning
from vocabula.priors.decoding import Decoding
from vocabula.priors.prior import Prior
from vocabula.priors.vocabulary import TokenVocabulary
from vocabula.registry import component
from vocabula.signals import Condition

MULTIPLE = 32

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@component("prior", "transformer")
class TransformerPrior(Prior):
    """A standard causal language model over the tokens of `TokenVocabulary`.

    The saved folder opens with transformers' ``AutoModelForCausalLM`` and in serving engines: the
    condition is a prefix of ordinary tokens. The loss is that of the whole vocabulary, so the
    model itself learns which tokens may follow; `log_probs` and `sample` allow only those, so
    that probabilities of codes sum to 1: the loss is never below the nats per code that
    `log_prob` gives, and equal once the rest of the vocabulary is unlearned.

    Args:
        codes: what the codes look like.
        conditioning: what they can be conditioned on; coarser codes become a prefix too.
        architecture: ``gpt2`` (learned places, dropout everywhere: small data) or ``llama``
            (rotary places, dropout of attention only).
        hidden: width C.
        layers: number of layers.
        heads: attention heads; must divide `hidden`.
        inner: width of the feed-forward layers; None: 4 C for gpt2; 8 C / 3 for
            llama, rounded up to a multiple of 32, as matrix products like it.
        dropout: probability in [0, 1).

    Attributes:
        compiled: whether sampling compiles the pass of a token, False at first. The first sample
            of a batch size then takes a minute more; on a processor it does not pay.
        vocabulary: the tokens.
        model: the transformers library's model.

    Raises:
        OptionError: `heads` does not divide `hidden` into even parts, vectors are a condition, or a
            range is left.

    Example:
        >>> prior = TransformerPrior(CodeGrid((512,), (8, 8)), hidden=32, layers=1, heads=2)
        >>> prior.sample((2, 8, 8), seed=0).shape
        torch.Size([2, 8, 8])

    Source: Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation" (DALL-E): text and codes as
    one sequence, padding a token. Radford et al. 2019 (GPT-2); Touvron et al. 2023 (Llama).
    """

    any_grid: ClassVar[bool] = False

    def __init__(
        self,
        codes: CodeGrid,
        conditioning: Conditioning = Conditioning(),  # noqa: B008 - frozen
        *,
        architecture: Literal["gpt2", "llama"] = "gpt2",
        hidden: Annotated[int, Ge(2)] = 256,
        layers: Annotated[int, Ge(1)] = 6,
        heads: Annotated[int, Ge(1)] = 4,
        inner: Annotated[int, Ge(1)] | None = None,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    ) -> None:
        super().__init__(codes, conditioning)
        if hidden % (2 * heads):
            raise OptionError(
                f"TransformerPrior.heads: expected hidden={hidden} to be a multiple of twice the "
                f"heads, got {heads}; change one of them"
            )
        if conditioning.vectors:
            raise OptionError(
                "transformer.conditioning: expected no vectors, got some of width "
                f"{conditioning.vectors}; its condition is a prefix of tokens: use a convolutional "
                "prior"
            )
        from transformers import AutoModelForCausalLM

        from vocabula.priors.bounded_attention import NAME

        self.compiled = False
        self.vocabulary = TokenVocabulary(codes, conditioning)
        length = self.vocabulary.prefix_length + codes.positions * len(codes.slots)
        make = _gpt2 if architecture == "gpt2" else _llama
        config = make(
            {
                "vocab_size": self.vocabulary.size,
                "max_position_embeddings": length,
                "hidden_size": hidden,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "bos_token_id": self.vocabulary.start,
                "eos_token_id": None,
                "tie_word_embeddings": False,
            },
            inner,
            dropout,
        )
        self.model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, attn_implementation=NAME
        )
        self.model.register_load_state_dict_post_hook(_restore_tables)

    def symbol_logits(self, symbols: Tensor, condition: Condition) -> list[Tensor]:
        """Logits (B, *grid, V_s) of every symbol given all before it; see `Prior`."""
        hidden = self._hidden(symbols, condition).unflatten(1, symbols.shape[1:])
        return [self.head(hidden[..., slot, :], slot) for slot in range(symbols.shape[-1])]

    def head(self, hidden: Tensor, slot: int) -> Tensor:
        """Logits (..., V) of a symbol of a position, of the model's hidden states (..., C)."""
        start, size = self.vocabulary.offsets[slot], self.codes.symbol_sizes[slot]
        weight: Tensor = self.model.get_output_embeddings().weight
        return linear(hidden, weight[start : start + size])

    def embeddings(self) -> list[list[Tensor]]:
        """What embeds each symbol, of this and of coarser levels; see `Prior`."""
        table: Any = self.model.get_input_embeddings().weight
        offsets = (self.vocabulary.offsets, *self.vocabulary.upper_offsets)
        return [
            [table[at : at + size] for at, size in zip(starts, grid.symbol_sizes, strict=True)]
            for starts, grid in zip(offsets, (self.codes, *self.conditioning.upper), strict=True)
        ]

    def decoding(
        self, batch: int, grid: Sequence[int], condition: Condition
    ) -> TransformerDecoding:
        """Start cached decoding; see `Prior`."""
        return TransformerDecoding(self, batch, grid, condition)

    def decoding_bytes(self, grid: Sequence[int]) -> int:
        """Memory of all tokens' keys and values, and of tables of their places; see `Prior`."""
        config: Any = self.model.config
        tokens = self.vocabulary.prefix_length + math.prod(grid) * len(self.codes.slots)
        vectors = (2 * config.num_hidden_layers + 4) * tokens
        return vectors * config.hidden_size * next(self.parameters()).element_size()

    def check_grid(self, grid: Sequence[int]) -> None:
        """Refuse a grid whose rows differ from the trained rows, or which has more rows.

        With coarser codes, whose prefix has a fixed length, only the trained grid is accepted.

        Raises:
            OptionError: the model has never seen such positions.
        """
        trained, got = self.codes.grid, tuple(grid)
        fewer = got[1:] == trained[1:] and got[0] < trained[0] and not self.conditioning.upper
        if got != trained and not fewer:
            also = "" if self.conditioning.upper else ", or fewer along the first axis"
            raise OptionError(
                f"grid: expected {trained}{also}, got {got}; a transformer knows positions it was "
                "trained on: use that size, or a convolutional prior"
            )

    def foreign_config(self) -> Mapping[str, Any]:
        """The configuration that the transformers library reads."""
        config: dict[str, Any] = self.model.config.to_dict()
        dtype = str(next(self.parameters()).dtype).removeprefix("torch.")
        return config | {"architectures": [type(self.model).__name__], "dtype": dtype}

    def saved_module(self) -> nn.Module:
        """The language model, so that tensors have the names that transformers gives them."""
        return self.model

    def _loss(self, symbols: Tensor, condition: Condition, inside: Tensor | None) -> Tensor:
        hidden, tokens = self._hidden(symbols, condition), self.vocabulary.tokens(symbols)
        positions = symbols[..., 0].numel()
        if inside is not None:  # the head, the widest layer, sees only what counts
            places = inside.repeat_interleave(symbols.shape[-1], 1)
            hidden, tokens = hidden[places][None], tokens[places]
            positions = int(inside.sum())
        logits = self.model.get_output_embeddings()(hidden)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        total = cross_entropy(wide.flatten(0, 1), tokens.flatten(), reduction="sum")
        return total / (positions * len(self.codes.codebook_sizes))

    def _hidden(self, symbols: Tensor, condition: Condition) -> Tensor:
        """The states (B, n x S, C) from which each symbol is predicted."""
        prefix = self.vocabulary.prefix(condition, len(symbols), symbols.device)
        tokens = torch.cat([prefix, self.vocabulary.tokens(symbols)[:, :-1]], 1)
        states = self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        hidden: Tensor = states[:, self.vocabulary.prefix_length - 1 :]
        return hidden


class TransformerDecoding(Decoding):
    """Cached decoding: keys and values of all tokens so far are kept.

    Tokens that are pushed without asking for logits, such as a known upper half, go through the
    model together.
    """

    def __init__(
        self, prior: TransformerPrior, batch: int, grid: Sequence[int], condition: Condition
    ) -> None:
        from vocabula.priors.cached_layers import cached_layers

        self._prior = prior
        vocabulary, slots = prior.vocabulary, len(prior.codes.slots)
        room = vocabulary.prefix_length + math.prod(grid) * slots
        self._layers = cached_layers(prior.model, batch, room, compiled=prior.compiled)
        self._pending = [vocabulary.prefix(condition, batch, prior.device)]
        self._slot = itertools.cycle(range(slots))
        self._next = next(self._slot)

    def logits(self) -> Tensor:
        """Logits (B, V) of the next symbol."""
        tokens = self._pending[0] if len(self._pending) == 1 else torch.cat(self._pending, 1)
        self._pending = []
        return self._prior.head(self._layers.run(tokens), self._next)

    def push(self, symbol: Tensor) -> None:
        """Append a symbol (B,)."""
        self._pending.append((symbol + self._prior.vocabulary.offsets[self._next])[:, None])
        self._next = next(self._slot)


def _restore_tables(model: nn.Module, _: Any) -> None:
    """Rebuild tensors that no state dict holds, such as position angles; they may be unset."""
    device = next(model.parameters()).device
    if device.type == "meta":
        return
    for part in model.modules():
        if names := part._non_persistent_buffers_set:
            with torch.device("cpu"):
                made: Any = type(part)(part.config)
            for name in names:
                setattr(part, name, getattr(made, name).to(device, getattr(part, name).dtype))


def _gpt2(common: dict[str, Any], inner: int | None, dropout: float) -> PretrainedConfig:
    from transformers import GPT2Config

    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    return GPT2Config(**(common | rates), n_inner=inner)


def _llama(common: dict[str, Any], inner: int | None, dropout: float) -> PretrainedConfig:
    from transformers import LlamaConfig

    width = inner or -(-8 * common["hidden_size"] // (3 * MULTIPLE)) * MULTIPLE
    return LlamaConfig(**common, intermediate_size=width, attention_dropout=dropout)
