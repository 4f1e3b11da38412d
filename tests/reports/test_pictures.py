"""Pictures for the page."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from vocabula.reports.pictures import code_colours, data_uri, error_map, shrink, to_array


def test_tensors_become_rgb() -> None:
    assert to_array(torch.full((1, 2, 3), 0.5)).tolist() == [[[128] * 3] * 3] * 2
    two = to_array(torch.tensor([[[1.0]], [[0.0]]]))
    assert two.tolist() == [[[255, 0, 0]]]
    assert to_array(torch.ones(5, 1, 1)).shape == (1, 1, 3)


def test_every_code_has_its_own_colour() -> None:
    colours = code_colours(np.arange(512))
    assert colours.shape == (512, 3)
    assert len({tuple(c) for c in colours.tolist()}) > 500
    np.testing.assert_array_equal(colours[7], code_colours(np.array(7)))
    distance = np.abs(colours[1:].astype(int) - colours[:-1]).sum(axis=1)
    assert distance.min() > 60  # neighbouring codes look different


def test_error_map_runs_from_black_to_white() -> None:
    image = np.zeros((1, 3, 3), np.uint8)
    output = np.zeros((1, 3, 3), np.uint8)
    output[0, 1], output[0, 2] = 51, 255  # 0, 0.2 and 1
    heat = error_map(output, image, scale=0.4)
    assert heat[0, 0].tolist() == [0, 0, 0]
    assert heat[0, 1].tolist() == [230, 92, 46]  # the middle stop
    assert heat[0, 2].tolist() == [255, 255, 255]


def test_large_pictures_shrink_and_keep_their_shape() -> None:
    assert shrink(np.zeros((100, 50, 3), np.uint8), 20).shape == (20, 10, 3)
    assert shrink(np.zeros((10, 5, 3), np.uint8), 20).shape == (10, 5, 3)
    assert shrink(np.zeros((1000, 1, 3), np.uint8), 20).shape == (20, 1, 3)


def test_data_uri_holds_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    header, _, content = data_uri(picture).partition(",")
    assert header == "data:image/png;base64"
    read = Image.open(io.BytesIO(base64.b64decode(content)))
    np.testing.assert_array_equal(np.asarray(read), picture)
    assert data_uri(picture, quality=90).startswith("data:image/webp;base64,")
