"""Equal tensors and metadata are equal bytes, which every reader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import safetensors.numpy

from vocabula.files import in_stable_order

SOURCE = Path(__file__).parents[2] / "src"
TENSORS = {"b": np.arange(5, dtype=np.int32), "a": np.ones((2, 3), np.float32), "ü": np.zeros(0)}
METADATA = {name: name * 3 for name in ("sha256", "format", "library", "ä", 'quote"d', "a", "z")}


def test_equal_contents_are_equal_bytes() -> None:
    files = {
        b"".join(in_stable_order(safetensors.numpy.save(TENSORS, metadata=METADATA)))
        for _ in range(20)
    }
    assert len(files) == 1
    content = files.pop()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert list(header["__metadata__"]) == sorted(METADATA)
    assert header["__metadata__"] == METADATA
    assert length % 8 == 0


def test_the_tensors_stay_what_they_are() -> None:
    for metadata in (METADATA, None):
        content = safetensors.numpy.save(TENSORS, metadata=metadata)
        read = safetensors.numpy.load(b"".join(in_stable_order(content)))
        assert read.keys() == TENSORS.keys()
        assert all(np.array_equal(read[name], TENSORS[name]) for name in TENSORS)
        assert len(b"".join(in_stable_order(content))) == len(content)


def test_whatever_writes_safetensors_orders_them() -> None:
    writes = re.compile(r"safetensors\.(torch|numpy)(\.save| import .*save)")
    sources = {path: path.read_text() for path in SOURCE.rglob("*.py")}
    writing = {path.name: text for path, text in sources.items() if writes.search(text)}
    assert {"checkpoint.py", "code_statistics.py", "weights.py"} <= writing.keys()
    assert [name for name, text in writing.items() if "in_stable_order(" not in text] == []
    assert [path.name for path, text in sources.items() if "save_file(" in text] == []
