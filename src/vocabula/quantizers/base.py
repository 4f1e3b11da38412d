"""The base of all quantizers: shapes, precision, masks and ranges."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.functional import distributed
from vocabula.functional._checks import check_tensor
from vocabula.functional.modes import readable, transforming, without_autocast
from vocabula.quantizers.anisotropy import VectorSample
from vocabula.quantizers.bottleneck import Bottleneck
from vocabula.quantizers.collapse import advised
from vocabula.quantizers.pruning import Prunable
from vocabula.quantizers.shards import check_whole
from vocabula.quantizers.usage import UsageTracker
from vocabula.registry import shown_options
from vocabula.signals.codes import CodeSpec
from vocabula.types import Quantized, UsageReport

MAX_TRACKED_CODES = 1 << 20


def in_backward() -> bool:
    """Whether autograd is running a backward pass, for example recomputing a checkpointed block."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


class Quantizer(Prunable, Bottleneck):
    """A discrete bottleneck: vectors to codes and back, the same for every batch shape.

    Subclasses implement `_quantize`, `_encode` and `_decode` on flat data; this class moves the
    channel, flattens the batch, keeps the arithmetic in float32 (float64 for a float64 module)
    under autocast and in half precision, and checks its input. A row with a NaN or an
    infinity gets the code of the zero vector and takes part in no loss or statistic.

    Attributes:
        codebook_sizes: K of each book.
        code_shape: () for one book, (books,) for several.
        channel_dim: where the vectors' components are, in `forward`, `encode` and `decode`.
        auto_update: whether learning is applied at the end of each training forward pass.
        frozen: whether learning is off even in training mode; see `freeze`.
        activity: (N,) for the next vectors, the squared size of what is decoded around each of them
            already, which chooses the table of a `RateTerm` with contexts; None is silence.
    """

    anchor: Tensor
    activity: Tensor | None = None

    def __init__(
        self,
        dim: int,
        codebook_sizes: Sequence[int],
        code_shape: tuple[int, ...],
        *,
        channel_dim: int = -1,
        auto_update: bool = True,
        tracked: bool = True,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.spec = CodeSpec(tuple(codebook_sizes), code_shape)
        self.codebook_sizes, self.code_shape = self.spec.codebook_sizes, self.spec.code_shape
        self.channel_dim = channel_dim
        self.auto_update = auto_update
        self.frozen = False
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        fits = tracked and max(self.codebook_sizes, default=0) <= MAX_TRACKED_CODES
        self.usage_tracker = UsageTracker(self.codebook_sizes) if fits else None
        self.vector_sample = VectorSample()

    # ------------------------------------------------------------------ public

    @property
    def learning_active(self) -> bool:
        """Whether a forward pass now would learn: training, not frozen, not a recomputation."""
        return self.training and not self.frozen and not in_backward()

    def forward(
        self, z: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Quantized:
        """Quantize vectors.

        With weights w each loss is ``sum_n w_n loss_n / sum_n w_n``, and a vector counts w times
        in the statistics of learning and in the usage: whole numbers act as repeated rows. A vector
        of weight 0 has its code and value, but does not count. The vectors that start a codebook
        (k-means) count once each.

        Args:
            z: (*batch, D) floating point, with D at `channel_dim`.
            mask: (*batch) bool; rows that are False take part in no loss and no statistic.
            weight: (*batch), numbers from 0; in a process group on every process or on none. In a
                compiled graph, which cannot refuse them, negative numbers and NaN count as 0.

        Returns:
            The codewords, codes and losses; see `Quantized`.

        Raises:
            ShapeError: if the width, the dtype or the shape of mask or weight is wrong.
            OptionError: if a weight is negative or not finite, or if it would learn under a
                transform of torch.func.
        """
        rows, batch = self._rows(z)
        if transforming() and self.learning_active:
            raise OptionError(
                f"{type(self).__name__}: expected evaluation mode under torch.func and forward-"
                "mode differentiation, which cannot change statistics, got training; call "
                ".eval() or .freeze() first"
            )
        valid = self._valid(rows, mask, batch)
        clean = rows if valid is None else torch.where(valid[:, None], rows, 0)
        if weight is not None:
            valid = self._weights(weight, valid, batch)
        if self.learning_active:
            self.vector_sample.take(clean, valid)
        with without_autocast(rows.device), distributed.items(math.prod(batch[:1])):
            result = self._quantize(clean, valid)
        if self.auto_update and self.learning_active:
            self.update()
        return Quantized(
            values=self._unflatten(result.values, batch),
            codes=result.codes.reshape((*batch, *self.code_shape)),
            loss=result.loss,
            losses=result.losses,
        )

    @torch.no_grad()
    def encode(self, z: Tensor) -> Tensor:
        """Codes (*batch, *code_shape) of vectors (*batch, D); deterministic in every mode.

        Raises:
            ShapeError: if the width or the dtype is wrong.
        """
        check_whole(self, "encode")
        rows, batch = self._rows(z)
        valid = self._valid(rows, None, batch)
        clean = rows if valid is None else torch.where(valid[:, None], rows, 0)
        with without_autocast(rows.device):
            codes = self._encode(clean)
        return codes.reshape((*batch, *self.code_shape))

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors (*batch, D) of codes (*batch, *code_shape), with D at `channel_dim`.

        Raises:
            CodeError: if codes are not integers, lie outside the codebook or lack the books.
        """
        check_whole(self, "decode")
        self._check_codes(codes)
        batch = codes.shape[: codes.ndim - len(self.code_shape)]
        flat = self._whole(codes).long().reshape(-1, *self.code_shape)
        with without_autocast(codes.device):
            return self._unflatten(self._decode(flat), batch)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (*batch, *code_shape) of vectors (*batch, D), and their codewords (*batch, D)."""
        codes = self.encode(z)
        return codes, self.decode(codes)

    def latent_bits(self, z: Tensor) -> float:
        """Bits of the codes of each signal (B, *grid, D) at a fixed length."""
        return self.bits * z.shape[1:-1].numel()

    @torch.no_grad()
    def update(self) -> None:
        """Apply pending codebook learning (moving averages, revival); does nothing otherwise.

        Call it once per optimizer step where `auto_update` is off: vectors from several
        micro-batches then count once each, also under activation checkpointing.
        """
        if not self.frozen:
            self._update()

    def freeze(self, frozen: bool = True) -> None:
        """Switch all learning off (or on again): parameters, moving averages and revival."""
        for module in self.modules():
            if isinstance(module, Quantizer):
                module.frozen = frozen
        self.requires_grad_(not frozen)

    def usage_report(self) -> UsageReport | None:
        """The recent use of the codewords, or None for books above 2^20 codes; print it."""
        if self.usage_tracker is None:
            return None
        return advised(self.usage_tracker.report(), self)

    def candidates(self, z: Tensor, count: int) -> Tensor:
        """Up to `count` codes (N, c, *code_shape) per row of z (N, D), the nearest first.

        A quantizer without its own order gives a single one: ``encode(z)``.
        """
        return self._encode(z).unsqueeze(1)

    def distances(self, z: Tensor, codes: Tensor) -> Tensor:
        """What the choice of a code minimizes, (N, c), for z (N, D) and codes (N, c, *code_shape).

        It is the squared error of the codes' vectors; a quantizer with its own measure says which.
        """
        self._check_codes(codes)
        values = self._decode(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        return (z.unsqueeze(1) - values).square().sum(-1)

    def extra_repr(self) -> str:
        """Width, books, parts and options that are not default, for ``print(model)``."""
        own = {f"{name}=" for name in ("dim", "codebook_size")}
        others = [o for o in shown_options(self) if not o.startswith(tuple(own))]
        return ", ".join([f"dim={self.dim}", f"codebook_sizes={self.codebook_sizes}", *others])

    # ------------------------------------------------------- for subclasses

    @abstractmethod
    def _quantize(self, z: Tensor, mask: Tensor | None, codes: Tensor | None = None) -> Quantized:
        """Quantize z (N, D) with mask (N,); use `codes` (N, *code_shape) if they are given.

        Without a mask every row counts. It is boolean, or floating where rows have weights; the
        functions of `vocabula.functional` take both.
        """

    @abstractmethod
    def _encode(self, z: Tensor) -> Tensor:
        """Codes (N, *code_shape) of z (N, D)."""

    @abstractmethod
    def _decode(self, codes: Tensor) -> Tensor:
        """Vectors (N, D) of codes (N, *code_shape), in `compute_dtype`."""

    def _penalties(self, codes: Tensor) -> Tensor | None:
        """What codes (N, *code_shape) cost beside the squared error (N,); None: nothing."""
        return None

    def _update(self) -> None:
        """Apply and clear pending learning."""

    def _track(self, codes: Tensor, mask: Tensor | None, z: Tensor, values: Tensor) -> None:
        """Count codes (N,) or (N, books) and the norms of z and values (N, D), if learning."""
        if self.usage_tracker is not None and self.learning_active:
            self.usage_tracker.record(codes.reshape(-1, self.books), mask, z, values)

    @property
    def compute_dtype(self) -> torch.dtype:
        """float64 for a float64 module, else float32."""
        return torch.float64 if self.anchor.dtype == torch.float64 else torch.float32

    # ------------------------------------------------------------- internals

    def _rows(self, z: Tensor) -> tuple[Tensor, torch.Size]:
        """z as (N, D) in the compute dtype, and its batch shape."""
        name = type(self).__name__
        check_tensor(f"{name}, vectors", z)
        if not z.is_floating_point():
            raise ShapeError(f"{name}: expected floating-point vectors, got {z.dtype}; convert z")
        if z.ndim == 0 or not -z.ndim <= self.channel_dim < z.ndim:
            raise ShapeError(
                f"{name}: expected vectors with a channel at dimension {self.channel_dim}, "
                f"got shape {tuple(z.shape)}; set channel_dim"
            )
        if z.shape[self.channel_dim] != self.dim:
            raise ShapeError(
                f"{name}: expected width {self.dim} at dimension {self.channel_dim}, got shape "
                f"{tuple(z.shape)}; set dim or channel_dim to match"
            )
        moved = z.movedim(self.channel_dim, -1)
        # A sum may round otherwise in another memory layout, which a batch of one image has.
        rows = moved.reshape(-1, self.dim).to(self.compute_dtype).contiguous()
        return rows, moved.shape[:-1]

    def _valid(self, rows: Tensor, mask: Tensor | None, batch: torch.Size) -> Tensor | None:
        """Which rows (N,) count: inside the mask and finite; None means all."""
        if mask is None:
            return None if _surely_finite(rows) else _finite(rows)
        finite = _finite(rows)
        if mask.shape != batch:
            raise ShapeError(
                f"{type(self).__name__}: expected a mask of shape {tuple(batch)}, "
                f"got {tuple(mask.shape)}; give one value per vector"
            )
        return finite & mask.reshape(-1).bool()

    def _weights(self, weight: Tensor, valid: Tensor | None, batch: torch.Size) -> Tensor:
        """Weights (N,) in the compute dtype, 0 for the rows that `valid` leaves out."""
        name = f"{type(self).__name__}, weight"
        check_tensor(name, weight)
        if weight.shape != batch or weight.is_complex():
            raise ShapeError(
                f"{name}: expected real numbers of shape {tuple(batch)}, got {weight.dtype} of "
                f"{tuple(weight.shape)}; give one value per vector"
            )
        flat = weight.detach().reshape(-1).to(self.compute_dtype)
        fits = (flat >= 0) & (flat < torch.inf)
        values = readable(fits)
        if values is not None and not bool(values.all()):
            wrong = readable(flat)
            assert wrong is not None
            raise OptionError(
                f"{name}: expected finite numbers from 0, got {float(wrong[~values][0])}; "
                "0 leaves a vector out"
            )
        return torch.where(fits if valid is None else fits & valid, flat, 0)

    def _unflatten(self, values: Tensor, batch: Sequence[int]) -> Tensor:
        shaped = values.reshape(*batch, self.dim).to(self.anchor.dtype)
        return shaped.movedim(-1, self.channel_dim)

    def _whole(self, codes: Tensor) -> Tensor:
        """Codes (*batch, *code_shape) given to `decode`, which `_check_width` accepted."""
        return codes

    def _widths(self) -> tuple[int, ...]:
        """How many codes a vector may have in `decode`, if there are several books."""
        return self.code_shape

    def _check_width(self, codes: Tensor) -> None:
        if not self.code_shape:
            return
        widths = self._widths()
        if (codes.shape[-1] if codes.ndim else 0) not in widths:
            several = ", ".join(map(str, widths[:3])) + (f", ... {widths[-1]}" * (len(widths) > 3))
            raise CodeError(
                f"{type(self).__name__}: expected codes (..., n) with n = {several}, got "
                f"{tuple(codes.shape)}; the last dimension holds one code per book"
            )

    def _lowest_code(self) -> int:
        """The smallest code that `decode` takes."""
        return 0

    def _check_codes(self, codes: Tensor) -> None:
        name = type(self).__name__
        check_tensor(f"{name}, codes", codes, CodeError)
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise CodeError(f"{name}: expected integer codes, got {codes.dtype}; use encode")
        self._check_width(codes)
        bounds = _bounds(self._whole(codes).long().reshape(-1, self.books))
        if bounds is None:
            return
        low, highs = bounds
        for book, (high, size) in enumerate(zip(highs, self.codebook_sizes, strict=True)):
            if low < self._lowest_code() or high >= size:
                raise CodeError(
                    f"{name}: expected codes in [{self._lowest_code()}, {size - 1}] in book "
                    f"{book}, got {low if low < self._lowest_code() else high}; "
                    "were they made by another quantizer?"
                )


def _bounds(codes: Tensor) -> tuple[int, list[int]] | None:
    """The least of codes (N, books) and the largest of each book; None if values cannot be read."""
    values = readable(codes) if codes.numel() else None
    if values is None:
        return None
    if values is codes:
        return int(codes.min()), codes.amax(0).tolist()
    columns = [readable(column) for column in codes.unbind(1)]  # with vmap's dimensions
    return int(values.min()), [int(column.max()) for column in columns if column is not None]


def _surely_finite(rows: Tensor) -> bool:
    """Whether a cheap test shows that all is finite: NaN or infinity cannot give a finite sum.

    It is used only where reading is free: an accelerator would stall, a traced graph cannot branch.
    """
    values = readable(rows) if rows.is_cpu else None
    return values is not None and math.isfinite(float(values.detach().sum()))


def _finite(rows: Tensor) -> Tensor:
    """Which rows (N,) of (N, D) hold no NaN or infinity, in a third of the time of isfinite."""
    return rows.abs().amax(-1) < torch.inf
