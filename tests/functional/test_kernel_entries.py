"""Every way to a compiled kernel refuses what the kernel could not read, and never reads it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocabula.errors import CodeError, OptionError, ShapeError
from vocabula.functional import (
    finite_scalar,
    finite_scalar_values,
    native,
    nearest_codeword,
    nearest_of_books,
    residual_codes,
)
from vocabula.functional.finite_scalar import Form, _lattice
from vocabula.palette.dithering import floyd_steinberg
from vocabula.quantizers import UsageTracker, VectorQuantizer

compiled = pytest.mark.skipif(not native.ready(), reason="the kernels were not built")
ZEROS = torch.zeros(3, 2)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    "z",
    [ZEROS, torch.zeros(3, 4), torch.zeros(3), torch.zeros(2, 3, 3), torch.zeros(3, 3).long()],
    ids=["narrow", "wide", "no rows", "two batches", "integers"],
)
def test_vectors_of_finite_scalar(z: Tensor) -> None:
    with pytest.raises(ShapeError, match="z: expected"):
        finite_scalar(z, [3, 3, 3])


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("levels", [[1, 3], [0, 3], [-2, 3], [2.5, 3], [2**40, 2**40], []], ids=str)
def test_levels_of_finite_scalar(levels: list[int]) -> None:
    with pytest.raises(OptionError, match="levels: expected"):
        finite_scalar(torch.zeros(3, len(levels)), levels)
    with pytest.raises(OptionError, match="levels: expected"):
        finite_scalar_values(torch.zeros(3).long(), levels, torch.float32)


@pytest.mark.parametrize("code", [-1, 9, 2**62])
def test_codes_of_finite_scalar(code: int) -> None:
    with pytest.raises(CodeError, match=r"expected values in \[0, 8\]"):
        finite_scalar_values(torch.tensor([0, code]), [3, 3], torch.float32)


@pytest.mark.usefixtures("each_way")
def test_finite_scalar_of_unusual_tensors() -> None:
    z = torch.linspace(-3, 3, 24).reshape(8, 3)
    expected = finite_scalar(z, [8, 5, 5])
    negative = torch.complex(z, -z).conj().imag  # stored with its sign turned
    doubled = z.repeat(1, 2)[:, ::2][:, [0, 2, 1]][:, [0, 2, 1]]
    for same in (negative, z.t().contiguous().t(), torch.nn.Parameter(z)):
        for ours, theirs in zip(finite_scalar(same, [8, 5, 5]), expected, strict=True):
            assert torch.equal(ours, theirs)
    assert finite_scalar(doubled, [8, 5, 5])[1].shape == (8,)
    assert finite_scalar(z.half(), [8, 5, 5])[1].shape == (8,)
    assert finite_scalar(z[:0], [8, 5, 5])[0].shape == (0, 3)
    assert finite_scalar(z.to("meta"), [8, 5, 5])[1].device.type == "meta"


@compiled
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_finite_scalar_of_what_is_not_finite(value: float) -> None:
    codes = finite_scalar(torch.full((2, 3), value), [8, 5, 5])[1]
    assert (codes >= 0).all()
    assert (codes < 200).all()


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    ("z", "codebook"),
    [
        (ZEROS, torch.zeros(4, 3)),
        (ZEROS, torch.zeros(0, 2)),
        (torch.zeros(3, 0), torch.zeros(4, 0)),
        (ZEROS, torch.zeros(8)),
        (ZEROS.long(), torch.zeros(4, 2)),
        (ZEROS, torch.zeros(4, 2).long()),
        (ZEROS, torch.zeros(4, 2, device="meta")),
        (torch.tensor(1.0), torch.zeros(4, 1)),
    ],
)
def test_vectors_of_a_search(z: Tensor, codebook: Tensor) -> None:
    with pytest.raises(ShapeError):
        nearest_codeword(z, codebook)


@pytest.mark.parametrize(
    ("z", "codebooks"),
    [
        (torch.zeros(5, 2), torch.zeros(3, 4, 3)),
        (torch.zeros(5, 3), torch.zeros(3, 4)),
        (torch.zeros(5, 3), torch.zeros(3, 4, 3).double()),
        (torch.zeros(5, 3), torch.zeros(3, 0, 3)),
        (torch.zeros(5, 3).long(), torch.zeros(3, 4, 3).long()),
    ],
)
def test_several_codebooks(z: Tensor, codebooks: Tensor) -> None:
    with pytest.raises(ShapeError):
        residual_codes(z, codebooks)
    with pytest.raises(ShapeError):
        nearest_of_books(z[:, None].expand(5, 3, -1), codebooks)
    with pytest.raises(ShapeError):
        nearest_of_books(torch.zeros(5, 2, 3), torch.zeros(3, 4, 3))


@compiled
@pytest.mark.parametrize(
    ("codebook", "count"),
    [
        (torch.zeros(4, 3), 2),
        (torch.zeros(4, 2), 5),
        (torch.zeros(4, 2), 0),
        (torch.zeros(4, 2).double(), 2),
    ],
)
def test_codewords_that_do_not_fit(codebook: Tensor, count: int) -> None:
    with pytest.raises(ShapeError, match="expected float32 codewords"):
        torch.ops.vocabula.nearest_several(ZEROS, codebook, count, False)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    ("image", "palette"),
    [
        (torch.zeros(2, 2, 3).int(), torch.zeros(4, 2).int()),
        (torch.zeros(2, 2, 5).int(), torch.zeros(4, 5).int()),
        (torch.zeros(2, 2, 3), torch.zeros(4, 3)),
        (torch.zeros(2, 2, 3).long(), torch.zeros(4, 3).int()),
        (torch.zeros(2, 0, 3).int(), torch.zeros(4, 3).int()),
        (torch.zeros(2, 2, 3).int(), torch.zeros(0, 3).int()),
        (torch.zeros(2, 2, 3).int(), torch.zeros(4, 3).int() - 1),
        (torch.zeros(2, 2, 3).int() + 2**30, torch.zeros(4, 3).int()),
    ],
)
def test_images_and_palettes(image: Tensor, palette: Tensor) -> None:
    with pytest.raises((ShapeError, OptionError)):
        floyd_steinberg(image, palette)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    ("codes", "mask", "z"),
    [
        (torch.zeros(5, 2).long(), None, torch.zeros(5, 3)),
        (torch.zeros(5).long(), None, torch.zeros(5, 3)),
        (torch.zeros(5, 1).long(), None, torch.zeros(4, 3)),
        (torch.zeros(5, 1).long(), None, torch.zeros(5)),
        (torch.zeros(5, 1).long(), torch.ones(4).bool(), torch.zeros(5, 3)),
        (torch.zeros(5, 1).long(), torch.ones(5).int(), torch.zeros(5, 3)),
    ],
)
def test_recordings(codes: Tensor, mask: Tensor | None, z: Tensor) -> None:
    tracker = UsageTracker((4,))
    with pytest.raises(ShapeError):
        tracker.record(codes, mask, z, torch.zeros(5, 3))
    with pytest.raises(ShapeError):
        tracker.record(codes, mask, torch.zeros(5, 3), z)
    assert tracker.report().vectors.tolist() == [0]


@compiled
def test_codes_outside_of_their_book_are_not_counted() -> None:
    tracker = UsageTracker((4, 2))
    far = torch.tensor([[0, 0], [4, 1], [-1, 2], [2**62, -(2**63)]])
    tracker.record(far, None, torch.zeros(4, 3), torch.zeros(4, 3))
    assert tracker.report().vectors.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clock", torch.tensor(-5)),
        ("clock", torch.tensor(2**63 - 1)),
        ("clock", torch.tensor(3.7)),
        ("counts", torch.full((8, 16), 2**31 - 1, dtype=torch.int32)),
        ("counts", torch.ones(8, 16, dtype=torch.int64)),
        ("counts", torch.ones(16, 8).int().t()),
        ("norms", torch.full((8, 2), torch.nan).double()),
        ("last_seen", torch.full((16,), -(2**63))),
        ("last_seen", torch.zeros(16, dtype=torch.int32)),
    ],
)
@pytest.mark.parametrize("assign", [False, True], ids=["copied", "assigned"])
def test_any_state_is_safe_to_go_on_from(name: str, value: Tensor, assign: bool) -> None:
    quantizer = VectorQuantizer(8, 16)
    state = quantizer.state_dict() | {f"usage_tracker.{name}": value}
    quantizer.load_state_dict(state, assign=assign)
    try:
        for _ in range(3):
            quantizer(torch.randn(20, 8))
        quantizer.usage_report()
    except ShapeError as error:
        assert "expected" in str(error)


@pytest.mark.parametrize(
    ("name", "shape"), [("counts", (8, 4)), ("last_seen", (4,)), ("norms", (1, 2)), ("clock", (2,))]
)
def test_a_state_of_other_sizes_is_refused(name: str, shape: tuple[int, ...]) -> None:
    quantizer = VectorQuantizer(8, 16)
    state = quantizer.state_dict() | {f"usage_tracker.{name}": torch.zeros(shape)}
    for assign in (False, True):
        with pytest.raises(RuntimeError, match="size mismatch"):
            quantizer.load_state_dict(state, assign=assign)


@compiled
def test_the_door_itself() -> None:
    """What the public functions see to is seen to again, where addresses are taken."""
    z, book = torch.zeros(5, 3), torch.zeros(4, 3)
    bad = [
        lambda: native.nearest(z.double(), book, False),
        lambda: native.nearest(z, book.half(), False),
        lambda: native.nearest(z, torch.zeros(4, 2), False),
        lambda: native.nearest(z, torch.zeros(0, 3), False),
        lambda: native.nearest(z, book, False, torch.zeros(4, dtype=torch.float64)),
        lambda: native.nearest(z, book, False, torch.zeros(5)),
        lambda: native.nearest(z, book.to("meta"), False),
        lambda: native.finite_scalar(z, _lattice(Form((3, 3)))),
        lambda: native.finite_scalar(z.double(), _lattice(Form((3, 3, 3)))),
        lambda: native.finite_scalar_backward(z[:4], z, _lattice(Form((3, 3, 3)))),
        lambda: native.floyd_steinberg(torch.zeros(2, 2, 3).int(), torch.zeros(4, 2).int(), 9),
        lambda: native.floyd_steinberg(torch.zeros(2, 2, 3).int(), torch.zeros(4, 3), 9),
        lambda: native.Lattice([[1.0]], [1, 2]),
    ]
    for call in bad:
        with pytest.raises(ShapeError, match="expected"):
            call()
    freed = torch.zeros(5, 3)
    freed.untyped_storage().resize_(0)  # as sharded training does between two steps
    with pytest.raises(ShapeError, match="expected"):
        native.nearest(freed, book, False)
