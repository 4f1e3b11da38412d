"""Search in torch operations, on any device and in any dtype, in blocks of one fixed workspace.

    z (N, D) ──┐ centre   ┌────────────────────────┐ min   ┌──────────────┐
               ├─────────▶│ |e|²/2 - z·e   float32 │──────▶│ clear winner │──▶ codes (N,)
    e (K, D) ──┘          │ one tile of rows       │       ├──────────────┤        ▲
                          └────────────────────────┘       │ within bound │──▶ Σ (z - e)²  float64
                                                           └──────────────┘

One product scores all codewords, about the codebook's mean so that an offset costs no digits. A
rigorous bound on its rounding tells which codewords could be the nearest; if there are several,
they are measured again in float64: the result is that of a float64 brute force.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocabula.functional._checks import TILE, rows_per_block
from vocabula.functional.modes import without_autocast

__all__ = ["nearest", "nearest_several", "sample"]


@dataclass(frozen=True, slots=True)
class _Book:
    """A codebook made ready for search.

    Attributes:
        exact: (K, D) codewords unchanged, or normalised in float64 for the cosine.
        center: (D,) the mean of `exact`, rounded to the working dtype.
        table: (K, D + 1) rows (-e, |e|² / 2) about the center, in the working dtype, so that one
            product with (z, 1) gives the scores.
        cosine: whether rows are to be normalised too.
        lifted: whether a coordinate was added for zero codewords; see `_prepare`.
        linear: (K,) the error of a score is at most |z| linear + constant + |z|² square.
        constant, square: (K,) and a number, see `linear`.
    """

    exact: Tensor
    center: Tensor
    table: Tensor
    cosine: bool
    lifted: bool
    linear: Tensor
    constant: Tensor
    square: float


def _normalise(x: Tensor) -> Tensor:
    """Scale rows to norm 1, zero rows staying zero."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1.0)


def _input_roundoff(dtype: torch.dtype, device: torch.device) -> float:
    """Return the relative rounding that a matrix product applies to its inputs (TF32, bfloat16)."""
    if dtype == torch.float64:
        return 0.0
    precision = torch.get_float32_matmul_precision()
    if precision == "medium":
        return 2.0**-8
    tf32 = device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32
    # A tensor core may cut the bits beyond TF32 off instead of rounding them.
    return 2.0**-10 if precision == "high" or tf32 else 0.0


def _relative_error(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Bound a score's rounding error relative to |z| |e| + |e|² / 2.

    A sum of n products errs by at most n u / (1 - n u), u the unit roundoff, relative to the sum of
    the magnitudes and in any order (Higham 2002, section 3.1). Rounding the operands, the |e|² / 2
    and the comparisons adds a few u. Where a device rounds inputs (TF32, bfloat16) its accumulator
    may truncate too: twice that.
    """
    steps = (size + 12) * torch.finfo(dtype).eps / 2
    inputs = _input_roundoff(dtype, device)
    return 1.01 * steps if inputs == 0 else 2.02 * steps + 2.1 * inputs


def _prepare(codebook: Tensor, cosine: bool) -> _Book:
    exact, lifted = codebook, False
    if cosine:
        exact = _normalise(codebook.double())
        zero = (exact == 0).all(-1, keepdim=True)
        lifted = bool(zero.any())
        if lifted:
            # A zero codeword has cosine 0 with everything, like a unit vector of its own dimension.
            exact = torch.cat([exact, zero.double()], -1)
    # Any center serves that z and e share exactly: their differences then round only once.
    center = exact.mean(0).to(codebook.dtype)
    centered = exact - center
    norm = torch.linalg.vector_norm(centered, dim=-1, dtype=torch.float64)
    square = norm.square()
    size, dtype = exact.shape[1], codebook.dtype
    relative = _relative_error(size + 1, dtype, codebook.device)
    # The float64 distances that decide also round: relative to (|z| + |e|)², in units of d² / 2.
    double = (size + 4) * 2.0**-53
    underflow = size * torch.finfo(dtype).tiny
    return _Book(
        exact=exact,
        center=center,
        table=torch.cat([-centered.to(dtype), (square / 2).to(dtype).unsqueeze(-1)], -1),
        cosine=cosine,
        lifted=lifted,
        linear=((relative + 2 * double) * norm + underflow).to(dtype),
        constant=((relative / 2 + double) * square + underflow * (1 + norm)).to(dtype),
        square=double,
    )


def _exact_rows(z: Tensor, book: _Book) -> Tensor:
    """Return rows unchanged, or in float64, normalised and lifted, for the cosine."""
    if not book.cosine:
        return z
    rows = _normalise(z.double())
    return torch.nn.functional.pad(rows, (0, 1)) if book.lifted else rows


def _tile(rows: int, book: _Book) -> tuple[Tensor, Tensor, int]:
    """Return the operand (step, D + 1) and the scores (step, K) that all blocks share, and step.

    At 2048 x 512 x 64 a product into existing memory takes two thirds of an addmm into new memory.
    """
    size, width = book.table.shape
    # Half a tile stays in the cache, but fewer than 256 rows waste the product.
    most = min(rows_per_block(max(size, width)), max(256, rows_per_block(size, TILE // 2)))
    step = max(1, min(rows, most))
    return book.table.new_ones((step, width)), book.table.new_empty((step, size)), step


def _score(exact_rows: Tensor, book: _Book, operand: Tensor, scores: Tensor) -> Tensor:
    """Write |e|² / 2 - z·e about the center into `scores`; return the (rows,) float64 norms."""
    centered = operand[:, :-1].copy_(exact_rows - book.center)
    with without_autocast(operand.device):
        torch.mm(operand, book.table.t(), out=scores)
    return torch.linalg.vector_norm(centered, dim=-1, dtype=torch.float64)


def _candidates(scores: Tensor, norm: Tensor, count: int, book: _Book) -> Tensor:
    """Return the (pairs, 2) rows and codes that can be among the `count` nearest."""
    slack = torch.addcmul(book.constant, norm.unsqueeze(-1), book.linear)
    slack += book.square * norm.square().unsqueeze(-1)
    highest = scores + slack
    if count == 1:
        upper = highest.amin(-1, keepdim=True)
    else:
        upper = highest.topk(count, largest=False, sorted=False).values.amax(-1, keepdim=True)
    # Negated, so that a NaN of overflow counts as a candidate.
    return (~(slack.neg_().add_(scores) > upper)).nonzero()


def _pair_distances(rows: Tensor, pairs: Tensor, book: _Book) -> Tensor:
    """Return (pairs,) float64 squared distances, in chunks of the workspace."""
    chunk = rows_per_block(book.exact.shape[1])
    parts = [
        (rows[part[:, 0]].double() - book.exact[part[:, 1]]).square_().sum(-1)
        for part in pairs.split(chunk)
    ]
    return torch.cat(parts)


def _exact_nearest(rows: Tensor, scores: Tensor, norm: Tensor, count: int, book: _Book) -> Tensor:
    """Return (rows, count) codes in order of float64 distance, ties to the lowest index."""
    found = [rows.new_empty((0, count), dtype=torch.int64)]
    step = rows_per_block(scores.shape[1], TILE // 2)
    for start in range(0, rows.shape[0], step):
        block = slice(start, start + step)
        pairs = _candidates(scores[block], norm[block], count, book)
        distance = _pair_distances(rows[block], pairs, book)
        # Stable sorts keep the order of codes inside equal distances, and of those inside a row.
        by_distance = pairs[distance.argsort(stable=True)]
        ordered = by_distance[by_distance[:, 0].argsort(stable=True)]
        sizes = ordered[:, 0].bincount(minlength=scores[block].shape[0])
        first = sizes.cumsum(0) - sizes
        place = first.unsqueeze(-1) + torch.arange(count, device=rows.device)
        found.append(ordered[:, 1][place])
    return torch.cat(found)


def _decide(exact_rows: Tensor, scores: Tensor, norm: Tensor, book: _Book) -> Tensor:
    """Return the (rows,) nearest codes of one tile, in two passes if no row is in doubt."""
    best, codes = scores.min(-1)
    finite = torch.isfinite(norm)
    norm = norm.to(scores.dtype)
    slack = (norm * book.square + book.linear.max()) * norm + book.constant.max()
    # The winner steps aside, and a second, vectorised minimum says whether the rest is clear of it.
    column = codes.unsqueeze(-1)
    second = scores.scatter_(-1, column, torch.inf).amin(-1)
    doubtful = (finite & ~(second > best + 2 * slack)).nonzero().squeeze(-1)
    for part in doubtful.split(rows_per_block(scores.shape[1], TILE // 2)):
        again = scores[part].scatter_(-1, column[part], best[part].unsqueeze(-1))
        codes[part] = _exact_nearest(exact_rows[part], again, norm[part], 1, book)[:, 0]
    return torch.where(finite, codes, 0)


def _finite(z: Tensor) -> Tensor:
    """Replace rows that are not finite by zeros, so that they cost no work."""
    return torch.where(torch.isfinite(z).all(-1, keepdim=True), z, 0.0)


def nearest(z: Tensor, codebook: Tensor, cosine: bool) -> Tensor:
    """Return the (N,) nearest codes of z (N, D) in codebook (K, D), of one floating dtype."""
    book = _prepare(codebook, cosine)
    codes = z.new_empty(z.shape[0], dtype=torch.int64)
    operand, scores, step = _tile(z.shape[0], book)
    for start in range(0, z.shape[0], step):
        rows = _exact_rows(z[start : start + step], book)
        tile = scores[: rows.shape[0]]
        norm = _score(rows, book, operand[: rows.shape[0]], tile)
        codes[start : start + step] = _decide(rows, tile, norm, book)
    return codes


def nearest_several(z: Tensor, codebook: Tensor, count: int, cosine: bool) -> Tensor:
    """Return the (N, count) nearest codes, nearest first."""
    book = _prepare(codebook, cosine)
    codes = z.new_empty((z.shape[0], count), dtype=torch.int64)
    operand, scores, step = _tile(z.shape[0], book)
    first = torch.arange(count, device=z.device)
    for start in range(0, z.shape[0], step):
        part = z[start : start + step]
        rows = _exact_rows(_finite(part), book)
        tile = scores[: rows.shape[0]]
        norm = _score(rows, book, operand[: rows.shape[0]], tile).to(tile.dtype)
        found = _exact_nearest(rows, tile, norm, count, book)
        finite = torch.isfinite(part).all(-1, keepdim=True)
        codes[start : start + step] = torch.where(finite, found, first)
    return codes


def sample(
    z: Tensor,
    codebook: Tensor,
    temperature: float,
    cosine: bool,
    joined: tuple[Tensor, int] | None = None,
) -> Tensor:
    """Return (N,) codes drawn from softmax(-d² / temperature).

    With `joined`, the ascending places (N,) of the rows in a longer batch and its length, the draws
    are those that its rows would get.
    """
    book = _prepare(codebook, cosine)
    codes = z.new_empty(z.shape[0], dtype=torch.int64)
    count = z.shape[0] if joined is None else joined[1]
    operand, scores, step = _tile(count, book)
    for start in range(0, count, step):
        noise = torch.empty_like(scores[: count - start]).exponential_()
        here = slice(start, start + step)
        if joined is not None:
            ends = joined[0].new_tensor([start, start + step])
            here = slice(*torch.searchsorted(joined[0], ends).tolist())
            noise = noise[joined[0][here] - start]
        rows = _exact_rows(z[here], book)
        tile = scores[: rows.shape[0]]
        norm = _score(rows, book, operand[: rows.shape[0]], tile)
        # Gumbel noise is -log of an exponential draw; 2^-25 stands for the draws that round to 0.
        noise = noise.clamp_min_(2.0**-25).log_()
        drawn = noise.add_(tile, alpha=2 / temperature).argmin(-1)
        codes[here] = torch.where(torch.isfinite(norm), drawn, 0)
    return codes
