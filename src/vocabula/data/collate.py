"""Batches of signals, padded where their extents differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names and headers are read without torch
    from torch import Tensor

    from vocabula.signals import Signal

from vocabula.data.batch import Batch
from vocabula.errors import DataError


def collate(
    signals: Sequence[Tensor],
    signal: Signal,
    attributes: Mapping[str, Tensor],
    indices: Tensor,
    paths: Sequence[str] = (),
) -> Batch:
    """A batch of signals, padded with 0 to a common extent under a mask where they differ.

    Args:
        signals: (channels, *extent) each.
        signal: their kind; it says whether it may be padded.
        attributes: (B,) by name.
        indices: (B,) positions in the source.
        paths: where the signals came from.

    Raises:
        DataError: there is none, their channels differ, or extents differ in a kind that does not
            pad.
    """
    import torch

    shapes = list(dict.fromkeys(tuple(one.shape) for one in signals))
    if not shapes or len({(len(shape), *shape[:1]) for shape in shapes}) > 1:
        raise DataError(
            f"{signal.plural}: expected signals of equal channels, got shapes {shapes[:5]}; "
            "read one kind of signal"
        )
    if len(shapes) == 1:
        return Batch(torch.stack([*signals]), attributes, indices, paths)
    if not signal.pads:
        raise DataError(
            f"{signal.plural}: expected one extent in a batch, got shapes {shapes[:5]}; cut or "
            f"resize them (padded {signal.plural} are none)"
        )
    whole = [max(sides) for sides in zip(*(shape[1:] for shape in shapes), strict=True)]
    values = signals[0].new_zeros(len(signals), len(signals[0]), *whole)
    mask = torch.zeros(len(signals), *whole, dtype=torch.bool)
    for row, one in enumerate(signals):
        here = tuple(slice(side) for side in one.shape[1:])
        values[row][(slice(None), *here)] = one
        mask[row][here] = True
    return Batch(values, attributes, indices, paths, mask)
