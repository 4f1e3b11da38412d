"""Pictures of a prior's samples, and of the training images nearest to them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vocabula.data.png import grid
from vocabula.reports.pictures import data_uri, shrink, to_array
from vocabula.reports.samples import Compared, DrawnRows

_SIDE = 256


def sample_sheets(drawn: DrawnRows) -> list[dict[str, str]]:
    """The name and the picture of each row of samples."""
    pixels = np.stack([to_array(image) for image in drawn.samples.signals])
    rows, columns = [], drawn.columns
    for i, name in enumerate(drawn.names):
        part = pixels[i * columns : (i + 1) * columns]
        sheet = grid(part, None if len(drawn.names) == 1 else columns)
        rows.append({"name": name, "uri": data_uri(sheet)})
    return rows


def comparison(one: Compared) -> dict[str, str]:
    """A sample beside the nearest training images, with captions."""
    return {
        "sample": _uri(one.sample),
        "by_codes": _uri(one.by_codes.signal),
        "codes_caption": f"by codes, {one.by_codes.distance:.0%} differ",
        "by_pixels": _uri(one.by_values.signal),
        "pixels_caption": f"by pixels, RMSE {one.by_values.distance:.3f}",
    }


def _uri(image: Tensor) -> str:
    return data_uri(shrink(to_array(image), _SIDE))
