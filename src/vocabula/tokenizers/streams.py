"""Streams: a signal in parts of any length, with the codes and the wave of the whole.

::

    samples --push--> whole hops --encoder, memory--> codes        the rest waits for the next push
    codes   --push--> decoder, memory --> samples      as far as no later code can change them

A network that depends on nothing later (`Encoder.causal`) remembers the last inputs of each of its
layers, so nothing is computed twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocabula.errors import DataError, OptionError, plural
from vocabula.nn.base import dtype_of
from vocabula.nn.causal import Memory
from vocabula.signals import Condition
from vocabula.tokenizers.extent import padded
from vocabula.tokenizers.masks import decoded

if TYPE_CHECKING:
    from vocabula.tokenizers.tokenizer import Tokenizer


class EncoderStream:
    """Signals into codes, part by part; `Tokenizer.stream` opens it.

    Attributes:
        received: samples pushed so far.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.received = 0
        self._tokenizer = tokenizer
        self._memory: Memory | None = Memory()
        self._rest: Tensor | None = None

    @torch.inference_mode()
    def push(self, samples: Tensor) -> Tensor:
        """The codes (B, n, *code_shape) of the hops that are now complete; n may be 0.

        Args:
            samples: (B, C, T), the next ones, of the same B signals; T may be 0.

        Raises:
            DataError: another shape, dtype, number of signals or values, or the stream has ended.
        """
        if self._memory is None:
            raise _ended("push")
        if samples.ndim == 3 and not samples.shape[-1]:
            samples = samples[..., :0].reshape(len(samples), self._tokenizer.channels, 0)
        else:
            self._tokenizer.signal.refuse(samples)
        rest, stride = self._rest, self._tokenizer.stride
        if rest is not None:
            if len(rest) != len(samples):
                raise DataError(
                    f"push: expected the next samples of {plural(len(rest), 'signal')}, got "
                    f"{len(samples)}; open a stream for each batch"
                )
            samples = torch.cat([rest, samples.to(rest)], dim=-1)
        whole = samples.shape[-1] // stride * stride
        self.received += samples.shape[-1] - (0 if rest is None else rest.shape[-1])
        self._rest = samples[..., whole:]
        return self._codes(samples[..., :whole])

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """The codes of the last samples, continued to a whole hop by the last one; ends the stream.

        Raises:
            DataError: nothing was pushed, or the stream has ended.
        """
        if self._memory is None or self._rest is None:
            raise _ended("flush")
        rest = self._rest
        if rest.shape[-1]:
            rest = padded(rest, self._tokenizer.strides)
        codes = self._codes(rest)
        self._memory = None
        return codes

    def _codes(self, samples: Tensor) -> Tensor:
        """The codes of whole hops (B, C, n hop)."""
        tokenizer = self._tokenizer
        (quantizer,) = tokenizer._discrete("stream")
        if not samples.shape[-1]:
            return torch.zeros(
                len(samples), 0, *quantizer.code_shape, dtype=torch.int64, device=samples.device
            )
        y = tokenizer._values(samples) - tokenizer.signal.centre
        z = tokenizer.encoder(y.to(dtype_of(tokenizer.encoder, y)), memory=self._memory)
        return quantizer.encode(z.movedim(1, -1))


class DecoderStream:
    """Codes into signals, part by part; `Tokenizer.stream` opens it.

    Attributes:
        given: samples given so far.
    """

    def __init__(self, tokenizer: Tokenizer, condition: Condition | None = None) -> None:
        self.given = 0
        self._tokenizer, self._condition = tokenizer, condition
        self._memory: Memory | None = Memory()
        self._signals = 1

    @torch.inference_mode()
    def push(self, codes: Tensor, *, total: int | None = None) -> Tensor:
        """The samples (B, C, T) that are now known: `Decoder.lookahead` hops wait for more.

        Args:
            codes: (B, n, *code_shape), the next ones, of the same B signals; n may be 0.
            total: samples of the whole signal, if these are its last codes: what lies beyond is
                cut off.

        Raises:
            CodeError: another shape, or codes that are not in their book.
            DataError: `condition` does not fit the number of signals, or the stream has ended.
        """
        if self._memory is None:
            raise _ended("push")
        tokenizer, self._signals = self._tokenizer, len(codes)
        (quantizer,) = tokenizer._discrete("stream")
        tokenizer.check_condition(self._condition, len(codes), "stream")
        if not codes.shape[1]:
            return self._cut(None, total)
        values = decoded(quantizer, codes).movedim(-1, 1)
        decoder = tokenizer.decoder
        known = (self._condition,) if decoder.conditional else ()
        made = decoder(values.to(dtype_of(decoder, values)), *known, memory=self._memory)
        return self._cut(made, total)

    @torch.inference_mode()
    def flush(self, *, total: int | None = None) -> Tensor:
        """The last samples (B, C, T), which waited for further codes; ends the stream.

        Args:
            total: samples of the whole signal; what lies beyond is cut off.

        Raises:
            DataError: the stream has ended.
        """
        if self._memory is None:
            raise _ended("flush")
        made = self._tokenizer.decoder.rest(self._memory)
        self._memory = None
        return self._cut(made, total)

    def _cut(self, made: Tensor | None, total: int | None) -> Tensor:
        """The samples of the likelihood's parameters, as far as the signal goes."""
        if made is None:
            wave = torch.zeros(self._signals, self._tokenizer.channels, 0)
        else:
            wave = self._tokenizer._output(made)
        if total is not None:
            wave = wave[..., : max(0, total - self.given)]
        self.given += wave.shape[-1]
        return wave


class Stream:
    """Both directions of a stream, each with its own state; see `Tokenizer.stream`.

    Attributes:
        encoder: samples into codes.
        decoder: codes into samples.
    """

    def __init__(self, tokenizer: Tokenizer, condition: Condition | None = None) -> None:
        _check(tokenizer)
        self.encoder = EncoderStream(tokenizer)
        self.decoder = DecoderStream(tokenizer, condition)
        self._tokenizer = tokenizer

    @property
    def latency(self) -> float:
        """Seconds from a sample to its reconstruction, at most, without the time of computing.

        A code waits for all samples of its hop, and the decoder for `Decoder.lookahead` more codes.
        """
        tokenizer = self._tokenizer
        return (1 + tokenizer.decoder.lookahead) * tokenizer.signal.units(tokenizer.strides)


def _check(tokenizer: Tokenizer) -> None:
    """Check that a tokenizer can stream.

    Raises:
        OptionError: it cannot.
    """
    for role, network in (("encoder", tokenizer.encoder), ("decoder", tokenizer.decoder)):
        if not network.causal:
            raise OptionError(
                f"stream: expected a causal {role}, got one that looks ahead; train with "
                f"seanet, or with {role}.causal=true"
            )


def _ended(verb: str) -> DataError:
    return DataError(
        f"{verb}: expected an open stream with samples, got none or an ended one; open a new one"
    )
