"""Files that were written once must decode for ever, and be written alike on every machine."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest

from processes import on_instructions
from vocabula import codec

from . import specified
from .golden.make import (
    CASES,
    FOLDER,
    LENGTHS,
    LEVELS,
    RECORDINGS,
    SERIES,
    VECTORS,
    formula,
    golden_codes,
    golden_entropy,
    golden_statistics,
    write_levels,
    write_recordings,
    write_series,
    write_vectors,
)

SHA256 = {
    "uniform-k7": "0e4578bd2d929f72",
    "uniform-k262144": "8fdf480bfb50cd16",
    "static-k64": "6dd6a9d7539f0c6f",
    "adaptive-k2": "1cf34ca84cb5a936",
    "adaptive-k64": "4abe9d00962f4c1f",
    "adaptive-k64-counts": "1566dbcea7653a5c",
    "adaptive-k1000": "866b20f1c06478a9",
    "adaptive-k262144": "7ac2322da7ff5301",
    "adaptive-books": "00e3ed1d83a247c6",
    "static-books": "808d206cc8ef0ea3",
    "static-pieces": "1e32e7d0b85dd22d",
    "adaptive-levels": "bea078ba91f66281",
    "vectors": "890061cc659c1cf2",
    "series": "5a18af56b8318dc7",
    "recordings": "db2f01d9a774f2fb",
}


@pytest.mark.parametrize("name", SHA256)
def test_golden_files_are_the_committed_ones(name: str) -> None:
    content = (FOLDER / f"{name}.vcb").read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == SHA256[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_golden_files_decode(coder: str, name: str) -> None:
    _, sizes, learned = CASES[name]
    statistics = golden_statistics(sizes) if learned else None
    found = codec.read_codes(FOLDER / f"{name}.vcb", statistics=statistics)
    for code, back in zip(golden_codes(sizes), found.codes, strict=True):
        assert back is not None
        assert np.array_equal(back, code)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_golden_files_are_written_alike(coder: str, name: str) -> None:
    entropy, sizes, learned = CASES[name]
    statistics = golden_statistics(sizes) if learned else None
    file = io.BytesIO()
    codec.write_codes(
        file,
        golden_codes(sizes),
        sizes,
        entropy=golden_entropy(entropy, sizes),
        statistics=statistics,
        jobs=2,
    )
    assert file.getvalue() == (FOLDER / f"{name}.vcb").read_bytes()


@pytest.mark.parametrize("name", SHA256)
def test_the_specification_suffices_to_decode(name: str) -> None:
    """`specified` is written from docs/vcb.md and knows nothing of the library."""
    statistics = golden_statistics(CASES[name][1]) if name in CASES and CASES[name][2] else None
    path = FOLDER / f"{name}.vcb"
    found = codec.read_codes(path, statistics=statistics).codes
    piece = 512 if "pieces" in name else None
    read = specified.read(path.read_bytes(), statistics, piece=piece)
    for books, levels in zip(read, found, strict=True):
        grids = [
            np.atleast_3d(level) for level in (levels if isinstance(levels, tuple) else [levels])
        ]
        expected = [grid[..., book] for grid in grids for book in range(grid.shape[-1])]
        for book, codes in zip(books, expected, strict=True):
            assert np.array_equal(np.array(book), codes)


def test_a_golden_file_of_levels_decodes_and_is_written_alike(coder: str) -> None:
    found = codec.read_codes(FOLDER / f"{LEVELS}.vcb")
    assert found.header.tokenizer == bytes(range(32)) and found.header.kept == 2
    assert found.sizes == [(17, 30), (8, 8)]
    # cells of 8 x 8 pixels: ceil(17 / 8) = 3 by ceil(30 / 8) = 4, and 1 by 1
    for number, (grid, (coarse, fine)) in enumerate(
        zip(((3, 4), (1, 1)), found.codes, strict=True)
    ):
        finer = (2 * grid[0], 2 * grid[1])
        assert np.array_equal(coarse, formula(grid, number, 0, 64))
        for book, symbols in enumerate((16, 9)):
            assert np.array_equal(fine[..., book], formula(finer, number, book, symbols))
    file = io.BytesIO()
    write_levels(file)
    assert file.getvalue() == (FOLDER / f"{LEVELS}.vcb").read_bytes()


def test_a_golden_file_of_recordings_decodes_and_is_written_alike(coder: str) -> None:
    found = codec.read_codes(FOLDER / f"{RECORDINGS}.vcb")
    signal = found.header.signal
    assert (signal.name, signal.axes, signal.rate, found.header.kept) == ("audio", 1, 11025, 2)
    assert found.sizes == [(n, 1) for n in LENGTHS]
    for length, (coarse, fine) in zip(LENGTHS, found.codes, strict=True):
        cells = -(-length // 8)
        assert np.array_equal(coarse, formula((cells, 1), 0, 0, 16))
        assert np.array_equal(fine, formula((2 * cells, 1), 0, 1, 9))
    file = io.BytesIO()
    write_recordings(file)
    assert file.getvalue() == (FOLDER / f"{RECORDINGS}.vcb").read_bytes()


@pytest.mark.parametrize(("name", "again"), [(VECTORS, write_vectors), (SERIES, write_series)])
def test_golden_files_of_other_signals_decode_and_are_written_alike(
    coder: str, name: str, again: Callable[[io.BytesIO], None]
) -> None:
    found = codec.read_codes(FOLDER / f"{name}.vcb")
    signal = found.header.signal
    if name == VECTORS:
        assert (signal.name, signal.axes, found.header.kept) == ("vector", 0, 2)
        assert found.header.names == [f"v{number}" for number in range(43)]
        grids, books = [(40, 1), (3, 1)], (16, 9)
    else:  # 4 steps to a cell of two codes: 2 ceil(50 / 4) = 26 and 2 ceil(7 / 4) = 4
        assert (signal.name, signal.axes, found.sizes) == ("series", 1, [(50, 1), (7, 1)])
        grids, books = [(26, 1), (4, 1)], (16, 5)
    for grid, codes in zip(grids, found.codes, strict=True):
        for number, symbols in enumerate(books):
            assert np.array_equal(codes[..., number], formula(grid, 0, number, symbols))
    file = io.BytesIO()
    again(file)
    assert file.getvalue() == (FOLDER / f"{name}.vcb").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_another_instruction_set_decodes_them(capability: str) -> None:
    """In another process, with two threads, and floats on other instructions."""
    program = (
        "import sys; from vocabula import codec\n"
        "for path in sys.argv[1:]:\n"
        "    found = codec.read_codes(path, jobs=2)\n"
        "    print(sum(int(code.sum()) for code in found.codes))"
    )
    names = [name for name, case in CASES.items() if not case[2]]
    printed = on_instructions(capability, program, *(FOLDER / f"{name}.vcb" for name in names))
    sums = [sum(int(code.sum()) for code in golden_codes(CASES[name][1])) for name in names]
    assert [int(line) for line in printed.split()] == sums
