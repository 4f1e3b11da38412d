"""Floyd-Steinberg's error diffusion, compiled and in NumPy, against a plain loop and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vocabula.errors import OptionError, ShapeError
from vocabula.functional import native
from vocabula.palette.dithering import DITHER_MOST, DITHER_UNIT, floyd_steinberg

NEXT = [(0, 1), (1, -1), (1, 0), (1, 1)]
"""Rows down and columns right of the pixels that get 7, 3, 5 and 1 sixteenths."""


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with the kernel, and without it."""
    if request.param == "plain":
        monkeypatch.setattr(native, "_load", lambda: None)
    elif not native.ready():
        pytest.skip("the kernels were not built")
    return request.param


def levels(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32) * DITHER_UNIT


def plain_loop(image: list, palette: list) -> list[list[int]]:
    """The definition, one pixel at a time, in Python's integers."""
    rows, columns, channels = len(image), len(image[0]), len(image[0][0])
    carried: dict[tuple[int, int, int], int] = {}
    codes = [[0] * columns for _ in range(rows)]
    for y in range(rows):
        for x in range(columns):
            value = [
                min(max(image[y][x][c] + carried.get((y, x, c), 0), 0), DITHER_MOST)
                for c in range(channels)
            ]
            far = [
                sum((v - p) ** 2 for v, p in zip(value, colour, strict=True)) for colour in palette
            ]
            codes[y][x] = far.index(min(far))
            for c in range(channels):
                error = value[c] - palette[codes[y][x]][c]
                shares = [7 * error // 16, 3 * error // 16, 5 * error // 16]
                shares.append(error - sum(shares))
                for share, (dy, dx) in zip(shares, NEXT, strict=True):
                    place = (y + dy, x + dx, c)
                    carried[place] = carried.get(place, 0) + share
    return codes


def test_a_row_by_hand(way: str) -> None:
    # 100 -> 0, 7/16 of 100 is 43.75; 143.75 -> 255, -111.25 gives -48.67; 51.33 -> 0 gives 22.46;
    # 122.46 -> 0 gives 53.57; 153.57 -> 255
    codes = floyd_steinberg(levels([[[100]] * 5]), levels([[0], [255]]))
    assert codes.tolist() == [[0, 1, 0, 0, 1]]


def test_a_square_by_hand(way: str) -> None:
    # Row 0: 96 -> 0: 42 to the right, 30 down, 6 down right; 138 -> 255: e = -117, of which
    # -21.94 goes down left and -36.56 down. Row 1: 96 + 30 - 21.94 = 104.06 -> 0: 45.53 to the
    # right; 96 + 6 - 36.56 + 45.53 = 110.97 -> 0.
    codes = floyd_steinberg(levels([[[96], [96]], [[96], [96]]]), levels([[0], [255]]))
    assert codes.tolist() == [[0, 1], [0, 0]]
    # From 106 on: 46.4 right, 33.1 down, 6.6 down right; 152.4 -> 255: -19.2 and -32.1 down; row 1:
    # 119.9 -> 0, 52.5 right; 106 + 6.6 - 32.1 + 52.5 = 133 -> 255.
    codes = floyd_steinberg(levels([[[106], [106]], [[106], [106]]]), levels([[0], [255]]))
    assert codes.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("height", "width", "colors"), [(1, 1, 1), (7, 1, 2), (1, 9, 5), (9, 13, 37)]
)
def test_equals_the_plain_loop(
    way: str, channels: int, height: int, width: int, colors: int
) -> None:
    generator = torch.Generator().manual_seed(channels)
    image = torch.randint(0, DITHER_MOST + 1, (height, width, channels), generator=generator).int()
    palette = torch.randint(0, DITHER_MOST + 1, (colors, channels), generator=generator).int()
    codes = floyd_steinberg(image, palette)
    assert codes.dtype == torch.int64
    assert codes.tolist() == plain_loop(image.tolist(), palette.tolist())


def test_extremes_do_not_overflow(way: str) -> None:
    image = torch.full((20, 20, 4), DITHER_MOST, dtype=torch.int32)
    palette = torch.zeros((1, 4), dtype=torch.int32)
    assert floyd_steinberg(image, palette).unique().tolist() == [0]
    palette = torch.stack([palette[0], image[0, 0]])
    assert floyd_steinberg(image, palette).unique().tolist() == [1]


def test_equal_colours_give_the_first(way: str) -> None:
    assert floyd_steinberg(levels([[[9], [9]]]), levels([[200], [9], [9]])).tolist() == [[1, 1]]


@pytest.mark.parametrize("grey", [10, 64, 100, 128, 200])
def test_areas_keep_their_mean(way: str, grey: int) -> None:
    codes = floyd_steinberg(levels(np.full((64, 64, 1), grey).tolist()), levels([[0], [255]]))
    assert abs(codes.double().mean().item() * 255 - grey) < 3  # what leaves at the border is lost


def test_is_near_pillows_own() -> None:
    from PIL import Image

    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    theirs = np.asarray(Image.fromarray(ramp).convert("1"), dtype=float)
    ours = floyd_steinberg(levels(ramp[..., None].tolist()), levels([[0], [255]])).double().numpy()
    columns = [x.reshape(64, 16, 16).mean((0, 2)) for x in (ours, theirs)]
    assert np.abs(columns[0] - columns[1]).max() < 0.02


def test_refuses_what_does_not_fit() -> None:
    image, palette = levels([[[1, 2, 3]]]), levels([[1, 2, 3]])
    for bad in (image.float(), image[0], image[:0], image[..., :2], image.repeat(1, 1, 2)):
        with pytest.raises(ShapeError, match="image and palette: expected"):
            floyd_steinberg(bad, palette)
    with pytest.raises(ShapeError, match="image and palette: expected"):
        floyd_steinberg(image, palette[:0])
    with pytest.raises(OptionError, match="palette: expected values in"):
        floyd_steinberg(image, palette + DITHER_MOST)
    with pytest.raises(OptionError, match="image: expected values in"):
        floyd_steinberg(-image, palette)


def test_traces() -> None:
    image = torch.zeros((2, 3, 3), dtype=torch.int32)
    torch.library.opcheck(torch.ops.vocabula.floyd_steinberg, (image, image[0, :1]))


def test_compiles_to_one_graph() -> None:
    image = torch.randint(0, DITHER_MOST + 1, (10, 8, 3), dtype=torch.int32)
    palette = torch.randint(0, 5, (12, 3), dtype=torch.int32) * DITHER_UNIT
    compiled = torch.compile(floyd_steinberg, backend="eager", fullgraph=True)
    assert torch.equal(compiled(image, palette), floyd_steinberg(image, palette))
