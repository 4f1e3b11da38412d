"""Files of one thread and batches of one decode, to the bit, where everything else is different."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from pathlib import Path

import pytest

from processes import on_instructions
from vocabula import codec
from vocabula.codec import native, portable

from . import everywhere


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much the portable model computes at a time is as before after each test."""
    monkeypatch.setattr(portable, "CHUNK_BYTES", portable.CHUNK_BYTES)


@functools.cache
def written(name: str) -> bytes:
    """A model's file, with one thread and one signal at a time."""
    return everywhere.write(name, batch=1, jobs=1)


@functools.cache
def elsewhere(capability: str) -> dict[str, dict[str, list[str]]]:
    """What another process with other instructions, threads and batches makes of all files."""
    with tempfile.TemporaryDirectory() as folder:
        for name in everywhere.MODELS:
            (Path(folder) / f"{name}.vcb").write_bytes(written(name))
        program = (
            "import pathlib, sys; from codec import everywhere\n"
            "everywhere.main(pathlib.Path(sys.argv[1]))"
        )
        return json.loads(on_instructions(capability, program, folder))


@pytest.mark.slow
@pytest.mark.parametrize("name", everywhere.MODELS)
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_files_decode_and_are_written_alike_elsewhere(capability: str, name: str) -> None:
    found = elsewhere(capability)
    assert set(found) >= ({"compiled", "fallback"} if native.available() else {"fallback"})
    truth = everywhere.digest(everywhere.codes())
    for outcome in found.values():
        assert outcome[name] == [truth, hashlib.sha256(written(name)).hexdigest()]


@pytest.mark.slow
@pytest.mark.parametrize("name", everywhere.MODELS)
@pytest.mark.parametrize(("batch", "jobs"), [(1, 2), (8, 1), (3, 4)])
def test_threads_and_batches_change_nothing(coder: str, name: str, batch: int, jobs: int) -> None:
    assert codec.inspect(written(name)).segments > 2
    truth = everywhere.digest(everywhere.codes())
    assert everywhere.read(name, written(name), batch=batch, jobs=jobs) == truth
    assert everywhere.write(name, batch=batch, jobs=jobs) == written(name)
