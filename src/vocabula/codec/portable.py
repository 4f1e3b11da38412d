"""The portable model: a network's probabilities, computed by integers, the same everywhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocabula.codec.adaptive import AdaptiveModel
from vocabula.codec.coder import Decoder, Encoder
from vocabula.codec.integer_network import IntegerNetwork, frozen_values, weights_of
from vocabula.codec.layout import ModelId
from vocabula.codec.models import Prices, StreamModel, long_hash, short_hash
from vocabula.codec.rows import cumulative_rows, shares_of
from vocabula.codec.span import Block, Codes
from vocabula.codec.symbol_kernel import Highest, KernelTables, SymbolKernel, serves
from vocabula.codec.table import PRECISION
from vocabula.codec.words import WORD, bad_words
from vocabula.errors import CodecError, OptionError
from vocabula.priors.codes import Slot
from vocabula.priors.context import Context, as_planes, by_kind, is_series
from vocabula.priors.portable import PortablePrior

_ADAPTIVE = b"\1"
"""What precedes a message of the adaptive model; a network's messages are whole words."""
CHUNK_BYTES = 2**25
"""What the inputs and the probabilities of positions that are computed at a time take."""


@dataclass(frozen=True)
class _Level:
    """The frozen networks of a level, and the range of its streams."""

    prior: PortablePrior
    table: Tensor
    networks: list[IntegerNetwork]
    streams: range

    @functools.cached_property
    def kernels(self) -> list[SymbolKernel]:
        """The networks as the kernel reads them."""
        return [SymbolKernel(network, self.table) for network in self.networks]


class PortableModel(StreamModel):
    """Codes by the networks of portable priors, in integer arithmetic.

    Encoding computes all positions at once. Decoding goes position by position, with independent
    positions side by side. The probabilities are the same integers for any grouping and any
    processor. Segments are coded independently.

    Args:
        priors: one for each level of the tokenizer, the coarsest first.
        device: where to compute; files do not depend on it.
        falls_back: whether the adaptive model, without counts, codes a stage of a segment where
            its message is shorter.

    Raises:
        OptionError: a prior is of another kind or has other levels, its sums could exceed what
            float64 holds exactly, or a weight is not finite.

    Example:
        >>> tokenizer = vocabula.load("runs/photos")
        >>> codes = vocabula.priors.CodeGrid(tokenizer.levels[0].codebook_sizes, (3, 3))
        >>> model = PortableModel([vocabula.priors.PortablePrior(codes, hidden=16, layers=1)])
        >>> vocabula.codec.write("photos.vcb", images, tokenizer, entropy=model) > 0
        True
    """

    id = ModelId.PORTABLE

    def __init__(
        self,
        priors: Sequence[PortablePrior],
        device: torch.device | str = "cpu",
        *,
        falls_back: bool = False,
    ) -> None:
        self._device, self._falls_back = torch.device(device), falls_back
        self._adaptive = AdaptiveModel()
        self._levels: list[_Level] = []
        first, parts = 0, []
        for prior in priors:
            if not isinstance(prior, PortablePrior):
                raise OptionError(
                    f"entropy: expected a portable prior, got a {type(prior).__name__}; train one "
                    "with --model portable, or use --entropy prior"
                )
            wanted = [upper.codebook_sizes for upper in prior.upper]
            got = [level.prior.codes.codebook_sizes for level in self._levels]
            if wanted != got:  # it would look at codes that the decoder does not have yet
                raise OptionError(
                    f"entropy: expected a prior of coarser levels of {got} codewords at place "
                    f"{len(got) + 1}, got one of {wanted}; give a prior for each level, the "
                    "coarsest first"
                )
            table = frozen_values(prior.table, self._device)
            summed = max(len(grid.slots) for grid in (prior.codes, *prior.upper))
            summed = summed if prior.order == "interleaved" else 1
            networks = [IntegerNetwork(network, self._device, summed) for network in prior.networks]
            books = len(prior.codes.codebook_sizes)
            self._levels.append(_Level(prior, table, networks, range(first, first + books)))
            first += books
            parts.append(_content(prior, table, networks))
        self.books = tuple(k for prior in priors for k in prior.codes.codebook_sizes)
        self.hash = short_hash(b"portable", *map(long_hash, parts))

    def memory(self, block: Block, stage: int) -> int:
        """See `EntropyModel.memory`: the places of all symbols, and the computation."""
        prior = self.level(block.streams(stage).start).prior
        runs, slots = block.grids[stage], range(len(prior.codes.slots))
        computed = max(self._bytes(prior, slot) for slot in slots) * block.positions(stage)
        places = sum(count * prior.decoding_bytes(grid) for count, grid in runs)
        return 4 * min(CHUNK_BYTES, computed) + places

    def encode(self, block: Block, stage: int) -> bytes:
        """See `EntropyModel.encode`."""
        content = super().encode(block, stage)
        if not self._falls_back:
            return content
        other = _ADAPTIVE + self._adaptive.encode(block, stage)
        return min(content, other, key=len)

    def decode(self, block: Block, stage: int, content: bytes) -> list[Codes]:
        """See `EntropyModel.decode`."""
        if len(content) % WORD != len(_ADAPTIVE):
            return super().decode(block, stage, content)
        if not content.startswith(_ADAPTIVE):
            raise bad_words()
        return self._adaptive.decode(block, stage, content[len(_ADAPTIVE) :])

    def _write(self, encoder: Encoder, block: Block, stage: int, stream: int) -> None:
        coded = _Stream(self, block, stage, stream)
        encoder.shares(*coded.shares(block.codes[stream]))

    def _read(self, decoder: Decoder, block: Block, stage: int, stream: int) -> Codes:
        try:
            coded = _Stream(self, block, stage, stream)
        except OptionError as error:  # no tokenizer has such grids
            raise CodecError(str(error)) from None
        return coded.read(decoder)

    def _bits(self, block: Block, stage: int, stream: int) -> float:
        _, widths = _Stream(self, block, stage, stream).shares(block.codes[stream])
        return float((PRECISION - np.log2(widths.astype(np.float64))).sum())

    def prices(self, block: Block, stage: int, stream: int) -> Prices | None:
        """See `EntropyModel.prices`: those of the network, unless a code has several symbols."""
        coded = _Stream(self, block, stage, stream)
        return coded.prices(block.codes[stream]) if coded.single else None

    def level(self, stream: int) -> _Level:
        """The level that a stream belongs to."""
        return next(level for level in self._levels if stream in level.streams)

    def context(self, block: Block, stage: int, stream: int) -> Context:
        """The context of a stream's predictions: everything that is known before it.

        Raises:
            OptionError: the grids of a coarser level are too small for those of this one.
        """
        level = self.level(stream)
        places = [number for number, books in enumerate(block.books) for _ in books]
        coarse = []
        prior = level.prior
        single = (slice(None), *(None for _ in prior.codes.grid))
        for upper, its in zip(prior.upper, self._levels, strict=False):
            codes = np.stack([block.codes[s] for s in its.streams], 1).astype(np.int64)
            symbols = upper.split(torch.from_numpy(codes)[single]).flatten(0, len(single) - 1)
            runs = as_planes(upper, block.grids[places[its.streams.start]])
            coarse.append((runs, symbols.to(self._device)))
        context = prior.context(as_planes(prior.codes, block.grids[stage]), coarse)
        for before in range(level.streams.start, stream):
            for slot, digits in self.digits(before, block.codes[before]):
                context.own.put(slot, slice(None), digits)
        return context

    def digits(self, stream: int, codes: Codes) -> Iterator[tuple[int, Tensor]]:
        """The symbols (N,) that codes (N,) are written in, with their slots."""
        level = self.level(stream)
        wide = torch.from_numpy(codes.astype(np.int64)).to(self._device)
        for number, slot in enumerate(level.prior.codes.slots):
            if slot.book == stream - level.streams.start:
                yield number, wide // slot.unit % slot.size

    def tables(self, context: Context, stream: int, slot: int) -> Tables:
        """The tables of a symbol in a context; see `KernelTables`, which gives the same."""
        level = self.level(stream)
        if serves(self._device):
            return KernelTables(level.kernels[slot], context, slot)
        return _TorchTables(level, context, slot)

    def chunk(self, stream: int, slot: int) -> int:
        """How many positions to compute at a time."""
        return max(1, CHUNK_BYTES // self._bytes(self.level(stream).prior, slot))

    @staticmethod
    def _bytes(prior: PortablePrior, slot: int) -> int:
        """Bytes that a symbol's inputs and probabilities take per position."""
        inputs: int = max(layer.in_features for layer in prior.networks[slot].firsts)
        return 8 * (inputs + 4 * prior.codes.symbol_sizes[slot])


class Tables(Protocol):
    """Tables of a symbol in a context, whose own symbols may become known between calls."""

    def rows(self, which: Tensor, highest: Highest | None = None) -> NDArray[np.uint32]:
        """Cumulative probabilities (M, V + 1) of positions (M,); see `KernelTables`."""


class _TorchTables:
    """See `Tables`."""

    def __init__(self, level: _Level, context: Context, slot: int) -> None:
        self._level, self._context, self._slot = level, context, slot

    def rows(self, which: Tensor, highest: Highest | None = None) -> NDArray[np.uint32]:
        """See `Tables.rows`."""
        weights = weights_of(by_kind(self._context, which, self._logits))
        if highest is not None:
            weights[np.arange(weights.shape[1]) > highest(which)[:, None]] = 0
        return cumulative_rows(weights)

    def _logits(self, part: Tensor | slice, kind: int) -> Tensor:
        x = self._context.inputs(self._level.table, self._slot, part, kind)
        return self._level.networks[self._slot].logits(x, self._context.phases(part), kind)


class _Stream:
    """One stream that is being coded.

    Symbols are ordered by wave, then by digit, then in raster order. The positions of a wave do not
    depend on one another; see `Context.wave`.
    """

    def __init__(self, model: PortableModel, block: Block, stage: int, stream: int) -> None:
        self._model, self._stream = model, stream
        with torch.inference_mode():
            self._context = model.context(block, stage, stream)
            self._wave = self._context.wave()
        level = model.level(stream)
        self._symbols = block.books[stage][stream - block.streams(stage).start]
        self._slots = [
            (number, slot)
            for number, slot in enumerate(level.prior.codes.slots)
            if slot.book == stream - level.streams.start
        ]
        self._tables = {
            number: model.tables(self._context, stream, number) for number, _ in self._slots
        }

    @torch.inference_mode()
    def shares(self, codes: Codes) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Starts and widths of all symbols of codes (N,), in their order in the file."""
        digits = dict(self._model.digits(self._stream, codes))
        for number, symbols in digits.items():
            self._context.own.put(number, slice(None), symbols)
        every = torch.arange(len(codes), device=self._wave.device)
        spent = np.zeros(len(codes), np.int64)
        found = []
        for number, slot in self._slots:
            digit = digits[number].cpu().numpy()
            for part, rows in self._rows(number, slot, every, spent):
                found.append(shares_of(rows, digit[part.cpu().numpy()]))
            spent += digit * slot.unit
        starts, widths = (np.concatenate(parts) for parts in zip(*found, strict=True))
        wave = np.tile(self._wave.cpu().numpy(), len(self._slots))
        order = np.argsort(wave, kind="stable")  # already by digit and in raster order
        return starts[order], widths[order]

    @property
    def single(self) -> bool:
        """Whether each code is one symbol."""
        return len(self._slots) == 1

    @torch.inference_mode()
    def prices(self, codes: Codes) -> Prices:
        """Bits (n, K) of every code at some positions, beside codes (N,) at all others."""
        ((number, slot),) = self._slots
        own = self._context.own
        for place, symbols in self._model.digits(self._stream, codes):
            own.put(place, slice(None), symbols)
        every, spent = torch.arange(len(codes), device=self._wave.device), np.zeros(len(codes), int)

        @torch.inference_mode()
        def of(rows: slice) -> NDArray[np.float32]:
            found = [part for _, part in self._rows(number, slot, every[rows], spent)]
            widths = np.diff(np.concatenate(found).astype(np.int64), axis=1)[:, : self._symbols]
            return (PRECISION - np.log2(widths)).astype(np.float32)

        return of

    @torch.inference_mode()
    def read(self, decoder: Decoder) -> Codes:
        """The codes (N,) of a message."""
        order = self._wave.argsort(stable=True)
        codes = np.zeros(len(order), np.int64)
        together = self._wave.bincount()
        for which in order.split(together[together > 0].tolist()):
            for number, slot in self._slots:
                for part, rows in self._rows(number, slot, which, codes):
                    symbols = decoder.rows(rows).astype(np.int64)
                    codes[part.cpu().numpy()] += symbols * slot.unit
                    known = torch.from_numpy(symbols).to(self._wave.device)
                    self._context.own.put(number, part, known)
        if int(codes.max()) >= self._symbols:
            raise CodecError(
                f"codes: expected codes below {self._symbols}, got {codes.max()}; the file is "
                "damaged, copy it again or compress the original again"
            )
        return codes.astype(np.uint32)

    def _rows(
        self, number: int, slot: Slot, which: Tensor, spent: NDArray[np.int64]
    ) -> Iterator[tuple[Tensor, NDArray[np.uint32]]]:
        """Positions (M,) in pieces, with cumulative probabilities (M, V + 1) of a symbol.

        Args:
            number: index of the symbol at a position.
            slot: its slot.
            which: the positions.
            spent: (N,) what the earlier digits say about each position's code.
        """

        def highest(part: Tensor) -> NDArray[np.int64]:
            left = np.maximum(self._symbols - 1 - spent[part.cpu().numpy()], 0)
            return left // slot.unit  # a damaged message may leave none; 0 is as good

        # some digits cannot follow some others in any code
        most = highest if slot.limited else None
        for part in which.split(self._model.chunk(self._stream, number)):
            yield part, self._tables[number].rows(part, most)


def _plain(step: Fraction) -> int | list[int]:
    whole = step.denominator == 1
    return step.numerator if whole else [step.numerator, step.denominator]


def _content(
    prior: PortablePrior, table: Tensor, networks: Sequence[IntegerNetwork]
) -> Iterator[bytes]:
    """Everything that the probabilities depend on."""
    grids = [[grid.codebook_sizes, grid.largest_symbol] for grid in (prior.codes, *prior.upper)]
    factors = [[_plain(step) for step in steps] for steps in prior.factors]
    shape: dict[str, object] = {"levels": grids, "factors": factors, "reach": prior.reach}
    if is_series(prior.codes):
        shape["axes"] = 1
    if prior.order != "raster":
        shape["order"] = prior.order
    yield json.dumps(shape, separators=(",", ":")).encode()
    yield table.cpu().numpy().astype("<i4").tobytes()
    for network in networks:
        yield from network.content()
