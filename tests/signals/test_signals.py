"""What each kind of signal takes, refuses and is counted in."""

from __future__ import annotations

import pytest
import torch

from vocabula.errors import DataError, OptionError
from vocabula.signals import Audio, Image, Signal, Vector

KINDS: dict[str, tuple[Signal, tuple[int, ...]]] = {
    "image": (Image(3), (4, 5)),
    "vector": (Vector(3), ()),
    "audio": (Audio(8000, 3), (50,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_keep_shape_and_double_precision(kind: str) -> None:
    signal, extent = KINDS[kind]
    x = torch.rand(2, 3, *extent)
    for dtype, expected in (
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.float64, torch.float64),
    ):
        values = signal.check(x.to(dtype))
        assert (values.shape, values.dtype) == (x.shape, expected)
    assert len(signal.axes) == len(extent)


def test_bytes_of_images_become_shares() -> None:
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    values = Image(1).check(x)
    assert values.flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert torch.equal(Image(1).to_stored(values), x)


def test_units() -> None:
    assert Image().units((3, 4)) == 12
    assert Vector(7).units(()) == 1
    assert Audio(8000).units((2000,)) == 0.25  # seconds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(kind: str, value: float) -> None:
    signal, extent = KINDS[kind]
    with pytest.raises(DataError, match="expected finite values, got NaN or infinity; drop"):
        signal.check(torch.full((1, 3, *extent), value))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_tensor_of_the_kind_is_refused(kind: str) -> None:
    signal, extent = KINDS[kind]
    for wrong in (
        torch.rand(2, 4, *extent),
        torch.rand(3, *extent),
        torch.rand(2, 3, *extent, 2),
        torch.zeros(2, 3, *extent, dtype=torch.int64),
    ):
        with pytest.raises(DataError, match=f"^{signal.plural}: expected"):
            signal.check(wrong)
    with pytest.raises(DataError, match="expected a tensor"):
        signal.check([[1.0, 2.0, 3.0]])  # type: ignore[arg-type]


def test_an_image_has_at_least_one_pixel_and_one_channel() -> None:
    with pytest.raises(DataError, match="at least 1 x 1 pixels"):
        Image().check(torch.rand(2, 3, 0, 4))
    with pytest.raises(OptionError, match="channels"):
        Image(0)
