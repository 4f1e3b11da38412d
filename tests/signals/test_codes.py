"""The description of codes that tokenizers, files and priors share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from vocabula.errors import OptionError
from vocabula.quantizers import FiniteScalarQuantizer, ResidualQuantizer, VectorQuantizer
from vocabula.signals.codes import CodeSpec, cells


def test_books_bits_and_type() -> None:
    spec = CodeSpec((8, 32), (2,), (4, 2))
    assert (spec.books, spec.bits, spec.dtype) == (2, 8.0, np.uint8)
    assert spec.grid((9, 8)) == (3, 4) == cells((9, 8), (4, 2))
    assert [CodeSpec((size,)).dtype for size in (256, 257, 2**16 + 1, 2**31, 2**31 + 1)] == [
        np.uint8, np.uint16, np.int32, np.int32, np.int64
    ]  # fmt: skip
    nothing = CodeSpec(())
    assert (nothing.books, nothing.bits) == (0, 0.0)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [((8, 8), ()), ((8,), (2,)), ((), (0,)), ((), (1,)), ((0,), ()), ((2**63,), ())],
)
def test_sizes_and_shape_must_agree(sizes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"one codebook size for each book of code_shape \("):
        CodeSpec(sizes, shape)


def test_shapes_that_fit() -> None:
    spec = CodeSpec((8, 8), (2,))
    assert spec.fits((2,), 0) and spec.fits((5, 2), 1) and spec.fits((5, 6, 2))
    assert not spec.fits((5, 2), 2) and not spec.fits((2, 5)) and not spec.fits(())
    assert CodeSpec((8,)).fits((), 0) and not CodeSpec((8,)).fits((3,), 0)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_codes_outside_of_their_book_in_numpy_and_torch(kind: type) -> None:
    codes = np.array([[0, 1], [7, 2], [8, 1], [3, 3]], kind)
    wanted = [[False, False], [False, False], [True, False], [False, True]]
    spec = CodeSpec((8, 3), (2,))
    assert spec.outside(codes).tolist() == wanted
    assert spec.outside(torch.from_numpy(codes)).tolist() == wanted
    for books in (CodeSpec((300, 300), (2,)), CodeSpec((300, 301), (2,))):  # more than uint8 holds
        assert not books.outside(codes).any() and not books.outside(torch.from_numpy(codes)).any()
    if kind is not np.uint8:
        low = np.array([-1, 0], kind)
        assert spec.outside(low).tolist() == spec.outside(torch.from_numpy(low)).tolist()
        assert spec.outside(low).tolist() == [True, False]


def test_quantizers_say_what_their_codes_are() -> None:
    stages = [VectorQuantizer(4, 16) for _ in range(3)]
    assert ResidualQuantizer(stages).spec == CodeSpec((16,) * 3, (3,))
    assert VectorQuantizer(4, 16).spec == CodeSpec((16,))
    assert FiniteScalarQuantizer(levels=[3, 5]).spec == CodeSpec((15,))


def test_the_description_needs_no_torch() -> None:
    code = "import sys, vocabula.signals.codes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
