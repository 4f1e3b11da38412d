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

from .golden.make import CASES, FOLDER, golden_codes, golden_statistics

SHA256 = {
    "uniform-k7": "6dcfd0a8a07abd06",
    "uniform-k262144": "18c0a869b9587049",
    "static-k64": "a3e27ed2564a904a",
    "adaptive-k2": "3c762bc5b8318003",
    "adaptive-k64": "81e9836348eef7f0",
    "adaptive-k64-counts": "5c60ccf6f7a4040d",
    "adaptive-k1000": "807d7dc1816bfb92",
    "adaptive-books": "cc946ded4ac4f47e",
}


@pytest.mark.parametrize("name", CASES)
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
