"""The use of codewords over a window of updates, cheap enough to leave on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from vocabula.errors import ShapeError
from vocabula.functional import distributed, native
from vocabula.functional._checks import check_counts
from vocabula.functional.statistics import perplexity
from vocabula.quantizers.local_state import LocalState
from vocabula.quantizers.precision import KeepDtype
from vocabula.types import UsageReport

BUCKETS = 8
NORM_ROWS = 8192
_GOLDEN = (5**0.5 - 1) / 2


class UsageTracker(LocalState, KeepDtype, nn.Module):
    """Counts codes in a ring of buckets that together cover the last `window` recordings.

    The window slides by an eighth of its length: it covers between 7/8 and all of the last
    `window` recordings. Recording costs one count of the codes and two mean norms over at most 8192
    evenly spaced vectors of a recording.

    Args:
        codebook_sizes: K of each book.
        window: recordings that the figures cover.
    """

    kept_buffers = ("counts", "norms", "last_seen", "clock")
    counts: Tensor
    norms: Tensor
    last_seen: Tensor
    clock: Tensor

    def __init__(self, codebook_sizes: Sequence[int], window: int = 128) -> None:
        super().__init__()
        self.codebook_sizes = tuple(codebook_sizes)
        self.window = window
        total = sum(self.codebook_sizes)
        counts = torch.zeros(BUCKETS, total, dtype=torch.int32)
        self.keep_local("counts", counts, persistent=True)
        norms = torch.zeros(BUCKETS, 2, dtype=torch.float32)
        self.keep_local("norms", norms, persistent=True)
        last_seen = torch.zeros(total, dtype=torch.int64)
        self.keep_local("last_seen", last_seen, persistent=True)
        self.keep_local("clock", torch.zeros((), dtype=torch.int64), persistent=True)

    @torch.no_grad()
    def record(self, codes: Tensor, mask: Tensor | None, z: Tensor, values: Tensor) -> None:
        """Count codes (N, books) and the norms of z and values (N, D), inside the mask (N,).

        With weights (N,) in its place a code counts the sum of its weights. Fractions are rounded
        up or down, in turn from recording to recording, so that they are right in the mean.

        Raises:
            ShapeError: shapes or dtypes do not fit each other, the books, or the buffers.
        """
        self._check(codes, mask, (z, values))
        self.follow(codes)
        step = max(1, self.window // BUCKETS)
        stride = -(-codes.shape[0] // NORM_ROWS) or 1
        weighted = mask is not None and mask.is_floating_point()
        if _compiled(z, values, self.norms) and not weighted:
            self._record_at_once(codes, mask, (z, values), step, stride)
            return
        bucket = torch.div(self.clock, step, rounding_mode="floor") % BUCKETS
        fresh = self.clock % step == 0
        # A bucket is emptied when its turn comes again.
        kept = ~(fresh & (torch.arange(BUCKETS, device=codes.device) == bucket))
        columns = zip(codes.unbind(-1), accumulate(self.codebook_sizes, initial=0), strict=False)
        shifted = torch.stack([column + start for column, start in columns], -1).reshape(-1)
        weight = _each(mask, codes).to(torch.float64 if weighted else torch.int32)
        hits = torch.zeros_like(self.last_seen, dtype=weight.dtype).index_add_(0, shifted, weight)
        new = self._rounded(hits) if weighted else hits
        norms = torch.stack([_total_norm(x.detach(), mask, stride) for x in (z, values)])
        self.counts.mul_(kept[:, None]).index_add_(0, bucket[None], new[None])
        self.norms.mul_(kept[:, None]).index_add_(0, bucket[None], norms[None].to(self.norms))
        self.clock.add_(1)
        self.last_seen.copy_(torch.where(hits > 0, self.clock, self.last_seen))

    def _rounded(self, hits: Tensor) -> Tensor:
        """Sums of weights as int32: multiples of the golden ratio say which fractions round up."""
        return torch.floor(hits + torch.frac((self.clock + 1).double() * _GOLDEN)).int()

    def _check(self, codes: Tensor, mask: Tensor | None, vectors: tuple[Tensor, Tensor]) -> None:
        """Raise `ShapeError` if something does not fit; the kernel's own check covers the rest."""
        if codes.dim() != 2 or codes.shape[1] != len(self.codebook_sizes):
            raise ShapeError(
                f"codes: expected shape (N, {len(self.codebook_sizes)}), one code for each book, "
                f"got {tuple(codes.shape)}; reshape them"
            )
        rows = codes.shape[0]
        for x in vectors:
            if x.dim() != 2 or x.shape[0] != rows:
                raise ShapeError(
                    f"vectors: expected shape ({rows}, D) as there are {rows} rows of codes, got "
                    f"{tuple(x.shape)}; give one vector for each row"
                )
        check_counts(mask, codes.shape[:1], "the rows of codes")

    def _record_at_once(
        self,
        codes: Tensor,
        mask: Tensor | None,
        vectors: tuple[Tensor, Tensor],
        step: int,
        stride: int,
    ) -> None:
        """`record` in one pass of the compiled kernel: small operations take ten times as long."""
        now = int(self.clock)
        bucket = now // step % BUCKETS
        native.record_usage(
            codes,
            mask,
            vectors,
            sizes=self.codebook_sizes,
            clock=now + 1,
            fresh=now % step == 0,
            step=stride,
            bucket=self.counts[bucket],
            norms=self.norms[bucket],
            last_seen=self.last_seen,
        )
        self.clock.add_(1)

    @torch.no_grad()
    def report(self) -> UsageReport:
        """The figures of the window, one per book, over all processes of the group."""
        counts = distributed.all_reduce_sum(self.counts.sum(0, dtype=torch.int64))
        norms = distributed.all_reduce_sum(self.norms.sum(0))
        latest = distributed.all_reduce_max(torch.cat([self.last_seen, self.clock[None]]))
        books = counts.split(self.codebook_sizes)
        ages = (latest[-1] - latest[:-1]).split(self.codebook_sizes)
        totals = torch.stack([b.sum() for b in books])
        return UsageReport(
            window=self.window,
            vectors=totals,
            perplexity=torch.stack([perplexity(b) for b in books]),
            usage=torch.stack([(b > 0).double().mean() for b in books]),
            dead=torch.stack([(b == 0).sum() for b in books]),
            oldest=torch.stack([a.max() for a in ages]),
            norm_ratio=(norms[0] / norms[1].clamp_min(1e-30)).expand(len(books)),
            largest_share=torch.stack([b.max() for b in books]).float() / totals.clamp_min(1),
            # Every vector is counted once in each book.
            norm=(norms[1] / totals[0].clamp_min(1)).expand(len(books)),
        )

    def select(self, kept: Tensor) -> None:
        """Forget the codes of the only book where `kept` (K,) is false, and count K' from now on.

        It is for a book that was pruned.
        """
        kept = kept.to(self.last_seen.device)
        self.counts, self.last_seen = self.counts[:, kept], self.last_seen[kept]
        self.codebook_sizes = (len(self.last_seen),)

    def reset(self) -> None:
        """Forget everything counted so far."""
        for buffer in (self.counts, self.norms, self.last_seen, self.clock):
            buffer.zero_()


def _each(mask: Tensor | None, codes: Tensor) -> Tensor:
    """The mask or weight of every code of (N, books), flat."""
    if mask is None:
        return torch.ones_like(codes).reshape(-1)
    return mask[:, None].expand(codes.shape).reshape(-1)


def _compiled(*tensors: Tensor) -> bool:
    """Whether the compiled kernel can process these tensors now."""
    return not torch.compiler.is_compiling() and all(map(native.searches, tensors))


def _total_norm(rows: Tensor, mask: Tensor | None, step: int) -> Tensor:
    """The sum () of the norms of the rows (N, D) inside the mask (N,), from every step-th one."""
    norm = torch.linalg.vector_norm(rows[::step], dim=-1)
    return step * (norm.sum() if mask is None else (norm * mask[::step]).sum())
