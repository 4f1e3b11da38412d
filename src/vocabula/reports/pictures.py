"""Pictures for a web page: arrays as data URIs, codes as colours, errors as heat."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor

GOLDEN = 0.6180339887498949
"""Steps of the golden ratio spread successive hues as evenly as a circle allows."""


def to_array(image: Tensor) -> np.ndarray:
    """An image (C, H, W) in [0, 1] as uint8 (H, W, 3) for viewing.

    One channel is shown in grey, two as red and green; from more than three, the first three are
    shown.
    """
    x = image.detach().float().clamp(0, 1).mul(255).round().byte().cpu().numpy()
    channels = x.shape[0]
    if channels == 1:
        x = np.repeat(x, 3, axis=0)
    elif channels == 2:
        x = np.concatenate([x, np.zeros_like(x[:1])])
    return np.ascontiguousarray(x[:3].transpose(1, 2, 0))


def code_colours(codes: np.ndarray) -> np.ndarray:
    """A fixed colour for every code, the same on every page: (*shape) -> uint8 (*shape, 3).

    The hue advances by the golden ratio and the lightness cycles through three steps, so that
    neighbouring codes look different.
    """
    hue = np.mod(codes.astype(np.float64) * GOLDEN, 1.0) * 6.0
    lightness = 0.42 + 0.14 * (codes % 3)
    chroma = (1 - np.abs(2 * lightness - 1)) * 0.62
    offsets = np.stack([hue + 0.0, hue + 4.0, hue + 2.0], axis=-1)
    wave = np.clip(np.abs(np.mod(offsets, 6.0) - 3.0) - 1.0, 0.0, 1.0)
    rgb = lightness[..., None] + chroma[..., None] * (wave - 0.5)
    return np.round(rgb * 255).astype(np.uint8)


def error_map(output: np.ndarray, image: np.ndarray, *, scale: float) -> np.ndarray:
    """Absolute error as heat, uint8 (H, W, 3): black for 0, through orange to white at `scale`.

    Args:
        output: uint8 (H, W, 3).
        image: uint8 (H, W, 3).
        scale: the error, mean over channels in [0, 1], that is drawn white.
    """
    error = np.abs(output.astype(np.float64) - image.astype(np.float64)).mean(axis=-1) / 255
    return heat(error / scale)


def heat(values: np.ndarray) -> np.ndarray:
    """Values as heat, uint8 (*shape, 3): black up to 0, through orange to white from 1."""
    t = np.clip(values, 0.0, 1.0)[..., None]
    stops = np.array([[0, 0, 0], [96, 24, 72], [230, 92, 46], [255, 200, 90], [255, 255, 255]])
    at = t * (len(stops) - 1)
    low = np.minimum(at.astype(int), len(stops) - 2)
    share = at - low
    return np.round(stops[low[..., 0]] * (1 - share) + stops[low[..., 0] + 1] * share).astype(
        np.uint8
    )


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """The picture scaled down (Lanczos) so that its longer side is at most `side` pixels."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def data_uri(image: np.ndarray, *, quality: int | None = None) -> str:
    """The picture as a ``data:`` URI: PNG, or WebP of the given quality (1 to 100)."""
    stream = io.BytesIO()
    kind = "png" if quality is None else "webp"
    if quality is None:
        Image.fromarray(image).save(stream, format="PNG", optimize=True)
    else:
        Image.fromarray(image).save(stream, format="WEBP", quality=quality)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
