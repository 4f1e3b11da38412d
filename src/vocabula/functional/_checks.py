"""Argument checks that the functions of this package share; none of them reads tensor values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from vocabula.errors import OptionError, ShapeError, VocabulaError

if TYPE_CHECKING:
    from torch import Tensor

Distance = Literal["euclidean", "cosine"]

#: Elements of one (rows, K) tile: 4 MiB of float32, so that a search, with its float64 operands and
#: a handful of tiles, stays below 64 MiB. At 16384 x 8192 x 64 on one core a search takes 341 ms
#: with 2^18 elements, 254 ms with 2^20 and 238 ms with 2^22.
TILE = 2**20


def rows_per_block(width: int, elements: int = TILE) -> int:
    """Return how many rows of `width` elements make a tile, at least one."""
    return max(1, elements // max(1, width))


def check_tensor(name: str, value: object, error: type[VocabulaError] = ShapeError) -> None:
    """Raise `error` unless `value` is a tensor."""
    if not isinstance(value, torch.Tensor):
        kind = type(value).__name__
        raise error(f"{name}: expected a tensor, got {kind}; convert it with torch.as_tensor")


def check_floating(name: str, tensor: Tensor) -> None:
    """Raise `ShapeError` unless `tensor` holds real floating-point numbers."""
    check_tensor(name, tensor)
    if not tensor.is_floating_point():
        raise ShapeError(
            f"{name}: expected floating-point numbers, got {tensor.dtype}; convert with .float()"
        )


def check_mask(mask: Tensor | None, shape: torch.Size, what: str) -> None:
    """Raise `ShapeError` unless `mask` is None or boolean with exactly `shape`."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ShapeError(
            f"mask: expected torch.bool, got {mask.dtype}; convert with .bool(), true for data"
        )
    if mask.shape != shape:
        raise ShapeError(
            f"mask: expected shape {tuple(shape)} as {what}, got {tuple(mask.shape)}; "
            "give one value a vector"
        )


def check_counts(mask: Tensor | None, shape: torch.Size, what: str) -> None:
    """Raise `ShapeError` unless `mask` is None, boolean or floating weights, with that shape."""
    if mask is not None and mask.is_floating_point() and mask.shape == shape:
        return
    check_mask(mask, shape, what)


def mask_and_weights(mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return what a quantizer calls a mask as a mask and weights, of which one is None."""
    return (mask, None) if mask is None or mask.dtype == torch.bool else (None, mask)


def counted(mask: Tensor) -> Tensor:
    """Return which rows a mask, or weights, let count."""
    return mask if mask.dtype == torch.bool else mask > 0


def amount(mask: Tensor) -> Tensor:
    """Return how many rows count (): an integer of a mask, the float64 sum of weights."""
    return mask.sum() if mask.dtype == torch.bool else mask.sum(dtype=torch.float64)


def at_least_some(rows: Tensor) -> Tensor:
    """Return a number of rows (), or a sum of weights, to divide by: not zero."""
    return torch.where(rows > 0, rows, 1) if rows.is_floating_point() else rows.clamp_min(1)


def check_vectors(z: Tensor, codebook: Tensor) -> None:
    """Raise `ShapeError` unless `z` (*batch, D) and `codebook` (K, D) fit each other."""
    check_floating("z", z)
    check_floating("codebook", codebook)
    if codebook.dim() != 2 or codebook.shape[0] == 0 or codebook.shape[1] == 0:
        raise ShapeError(
            f"codebook: expected shape (K, D) with K, D >= 1, got {tuple(codebook.shape)}; "
            "give one codeword a row"
        )
    if z.dim() == 0 or z.shape[-1] != codebook.shape[1]:
        raise ShapeError(
            f"z: expected the last dimension {codebook.shape[1]} as the codebook's, "
            f"got shape {tuple(z.shape)}; move the channels last or project to the codebook's width"
        )
    if z.device != codebook.device:
        raise ShapeError(
            f"z: expected device {codebook.device} as the codebook's, got {z.device}; "
            "move one of them with .to(device)"
        )


def check_pair(z: Tensor, values: Tensor) -> None:
    """Raise `ShapeError` unless `values` has a row for each vector of `z` (*batch, D)."""
    check_floating("z", z)
    check_floating("values", values)
    if z.shape != values.shape:
        raise ShapeError(
            f"values: expected shape {tuple(z.shape)} as z's, got {tuple(values.shape)}; "
            "give one codeword a vector"
        )


def check_books(name: str, z: Tensor, dims: int, codebooks: Tensor) -> None:
    """Raise `ShapeError` unless z (N, D), or (N, books, D) for 3 `dims`, fits (books, K, D)."""
    check_floating(name, z)
    shape = tuple(codebooks.shape)
    if len(shape) != 3 or 0 in shape or z.dtype != codebooks.dtype or z.device != codebooks.device:
        raise ShapeError(
            f"codebooks: expected {z.dtype} of shape (books, K, D), none of them 0, on {z.device} "
            f"as {name}, got {codebooks.dtype} of {shape} on {codebooks.device}; convert them"
        )
    wanted = (shape[0], shape[2]) if dims == 3 else (shape[2],)
    if z.dim() != dims or tuple(z.shape[1:]) != wanted:
        raise ShapeError(
            f"{name}: expected shape (N, {', '.join(map(str, wanted))}) as the codebooks', got "
            f"{tuple(z.shape)}; reshape the batch"
        )


def check_distance(distance: str) -> None:
    """Raise `OptionError` unless `distance` is a known name."""
    if distance not in ("euclidean", "cosine"):
        raise OptionError(
            f"distance: expected 'euclidean' or 'cosine', got {distance!r}; use one of the two"
        )


def check_temperature(temperature: float, *, zero: bool) -> None:
    """Raise `OptionError` unless `temperature` is positive (or zero, where `zero` allows it)."""
    if temperature > 0 or (zero and temperature == 0):
        return
    bound = ">= 0" if zero else "> 0"
    raise OptionError(
        f"temperature: expected a number {bound}, got {temperature}; "
        "it is in units of squared distance"
    )


def check_size(name: str, size: int) -> None:
    """Raise `OptionError` unless `size` is at least one."""
    if size < 1:
        raise OptionError(f"{name}: expected at least 1, got {size}; give the number of codewords")


def working_dtype(*tensors: Tensor) -> torch.dtype:
    """Return float64 if any tensor has it, else float32: half precision is computed in float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
