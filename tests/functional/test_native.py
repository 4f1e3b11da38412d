"""The compiled kernels on every instruction set of this processor, and without them."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import sys

import pytest
import torch

from processes import on_instructions
from vocabula.functional import finite_scalar, native, nearest_codeword

SETS = ["avx512", "avx2", "neon"]
FORMS = [{}, {"symmetric": True}, {"hard_clamp": True}, {"symmetric": True, "hard_clamp": True}]


def nearest_in_float64(z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """The first of the least float64 distances, a few rows at a time."""
    parts, codebook = [], codebook.double()
    for rows in z.double().split(64):
        distance = torch.stack([(row - codebook).square_().sum(-1) for row in rows])
        parts.append((distance == distance.amin(-1, keepdim=True)).int().argmax(-1))
    return torch.cat(parts)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=SETS)
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the kernels on one instruction set."""
    kernel = native._load()
    if kernel is None:
        pytest.skip("the kernels were not built")
    chosen = dataclasses.replace(kernel, instructions=request.param)
    monkeypatch.setattr(native, "_load", lambda: chosen)
    try:
        nearest_codeword(torch.zeros(1, 1), torch.zeros(1, 1))
    except RuntimeError:
        pytest.skip(f"this processor has no {request.param}")
    return request.param


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no kernels on this system")
def test_the_kernels_are_built_where_there_is_a_compiler() -> None:
    assert native.instructions() in SETS


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize(
    ("rows", "size", "dim"),
    [
        (1, 1, 1),
        (63, 5, 3),
        (65, 6, 4),
        (130, 7, 8),
        (200, 513, 33),
        (500, 1000, 64),
        (40, 300, 257),
    ],
)
def test_codes_of_a_float64_search(
    instructions: str, rows: int, size: int, dim: int, offset: float
) -> None:
    z, codebook = offset + normal(rows, dim), offset + normal(size, dim, seed=1)
    assert torch.equal(nearest_codeword(z, codebook), nearest_in_float64(z, codebook))


@functools.cache
def large_codebook() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors, a codebook of more numbers than are laid out at a time, and the exact codes."""
    z, codebook = normal(70, 64), normal(70_000, 64, seed=1)
    codebook[69_999] = codebook[7] = z[3]  # the same in the first and in the last part
    codebook[69_998] = z[4]
    return z, codebook, nearest_in_float64(z, codebook)


@pytest.mark.slow
def test_a_codebook_in_several_parts(instructions: str) -> None:
    z, codebook, exact = large_codebook()
    codes = nearest_codeword(z, codebook)
    assert codes[3] == 7
    assert codes[4] == 69_998
    assert torch.equal(codes, exact)


def test_rows_in_several_parts(instructions: str) -> None:
    z = normal(2**18 + 100, 1)
    codebook = torch.tensor([[-1.0], [0.0], [0.0], [1.0]])
    expected = torch.where(z < -0.5, 0, torch.where(z > 0.5, 3, 1))[:, 0]
    assert torch.equal(nearest_codeword(z, codebook), expected)


def test_equal_codewords_everywhere(instructions: str) -> None:
    z, codebook = normal(100, 8), normal(1, 8).repeat(50, 1)
    assert (nearest_codeword(z, codebook) == 0).all()


def test_a_row_of_nan_harms_no_other(instructions: str) -> None:
    z, codebook = normal(70, 8), normal(40, 8, seed=1)
    expected = nearest_codeword(z, codebook)
    z[5, 3], z[64, 0] = torch.nan, -torch.inf
    expected[5] = expected[64] = 0
    assert torch.equal(nearest_codeword(z, codebook), expected)


def test_threads_change_nothing(instructions: str) -> None:
    z, codebook = normal(3000, 16), normal(300, 16, seed=1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = nearest_codeword(z, codebook)
        torch.set_num_threads(3)
        assert torch.equal(nearest_codeword(z, codebook), alone)
    finally:
        torch.set_num_threads(before)


def test_strided_views(instructions: str) -> None:
    wide, book = normal(64, 50), normal(32, 40)
    z, codebook = wide.t()[::2, ::4], book.t()[::2, ::2]
    expected = nearest_in_float64(z.contiguous(), codebook.contiguous())
    assert torch.equal(nearest_codeword(z, codebook), expected)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2,), (3,) * 16, (1001, 7), (2**13, 2**13, 3)])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_finite_scalar_values_and_gradient(
    instructions: str, levels: tuple[int, ...], form: dict[str, bool]
) -> None:
    z = (2 * normal(150, len(levels))).requires_grad_()
    values, codes = finite_scalar(z, levels, **form)
    exact_z = z.detach().double().requires_grad_()
    exact_values, exact_codes = finite_scalar(exact_z, levels, **form)
    away = (values - exact_values).abs() < 1e-6  # not on the edge between two levels
    assert away.float().mean() > 0.98
    assert torch.equal(codes[away.all(-1)], exact_codes[away.all(-1)])
    weight = normal(*values.shape, seed=2)
    (gradient,) = torch.autograd.grad((values * weight).sum(), z)
    (exact,) = torch.autograd.grad((exact_values * weight).sum(), exact_z)
    assert torch.allclose(gradient.double(), exact, atol=1e-6)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3), (1001, 7), (2**13, 2**13, 3)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_clamped_finite_scalar_is_that_of_torch(
    instructions: str, levels: tuple[int, ...], symmetric: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, also where coordinates lie on the edges between two levels."""
    steps = torch.arange(-1300, 1301)[:, None] / torch.tensor([2.0 * n - 2 for n in levels])
    z = torch.cat([normal(300, len(levels)), steps]).requires_grad_()
    weight = normal(*z.shape, seed=2)

    def found() -> list[torch.Tensor]:
        values, codes = finite_scalar(z, levels, symmetric=symmetric, hard_clamp=True)
        return [values, codes, *torch.autograd.grad((values * weight).sum(), z)]

    values, codes, gradient = found()
    monkeypatch.setattr(native, "_load", lambda: None)
    torch_values, torch_codes, torch_gradient = found()
    assert torch.equal(values, torch_values)
    assert torch.equal(codes, torch_codes)
    assert torch.allclose(gradient, torch_gradient, rtol=1e-6, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_torch_restrains_the_kernels(capability: str) -> None:
    program = "from vocabula.functional import native; print(native.instructions())"
    found = on_instructions(capability, program).strip()
    if native.instructions() in ("avx512", "avx2"):
        assert found == {"default": "None", "avx2": "avx2"}[capability]


def test_kernels_of_an_older_build_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if not native.ready():
        pytest.skip("the kernels were not built")
    monkeypatch.setitem(native._ARGUMENTS, "vocabula_of_a_later_version", [])
    with pytest.warns(UserWarning, match="install vocabula again"):
        assert native._load.__wrapped__() is None
