"""Files that were written once must decode for ever, and be written alike on every machine."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from vocabula import codec

from .golden.make import (
    CASES,
    FOLDER,
    LEVELS,
    formula,
    golden_codes,
    golden_statistics,
    write_levels,
)

SHA256 = {
    "uniform-k7": "8e4c4efc93f594b0",
    "uniform-k262144": "a2e2ea6241d25c47",
    "static-k64": "6283ad4f94897bda",
    "adaptive-k2": "21500fabd9c9041e",
    "adaptive-k64": "c02cb60769c49fd4",
    "adaptive-k64-counts": "9a1875808004363f",
    "adaptive-k1000": "5a7813d8a1f4b7ee",
    "adaptive-books": "3c71d417ba08b7c0",
    "static-books": "b0223aa043b9fa9f",
    "adaptive-levels": "5e84f7ccbbb4bd8b",
}


@pytest.mark.parametrize("name", [*CASES, LEVELS])
def test_golden_files_are_the_committed_ones(name: str) -> None:
    content = (FOLDER / f"{name}.vcb").read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == SHA256[name]


@pytest.mark.parametrize("name", CASES)
def test_golden_files_decode(coder: str, name: str) -> None:
    _, sizes, learned = CASES[name]
    statistics = golden_statistics(sizes) if learned else None
    found = codec.read_codes(FOLDER / f"{name}.vcb", statistics=statistics)
    for code, back in zip(golden_codes(sizes), found.codes, strict=True):
        assert back is not None
        assert np.array_equal(back, code)


@pytest.mark.parametrize("name", CASES)
def test_golden_files_are_written_alike(coder: str, name: str) -> None:
    entropy, sizes, learned = CASES[name]
    statistics = golden_statistics(sizes) if learned else None
    file = io.BytesIO()
    codec.write_codes(
        file, golden_codes(sizes), sizes, entropy=entropy, statistics=statistics, jobs=2
    )
    assert file.getvalue() == (FOLDER / f"{name}.vcb").read_bytes()


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
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", program, *(str(FOLDER / f"{name}.vcb") for name in names)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    sums = [sum(int(code.sum()) for code in golden_codes(CASES[name][1])) for name in names]
    assert [int(line) for line in run.stdout.split()] == sums
