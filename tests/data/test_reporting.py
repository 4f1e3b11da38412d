from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.data import ImageData, open_source
from vocabula.data import images as reading
from vocabula.data.reporting import reporting


def test_opening_a_folder_says_how_far_it_is(tmp_path: Path) -> None:
    for i in range(70):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    calls: list[tuple[int, int]] = []
    with reporting(lambda done, total: calls.append((done, total))):
        source = open_source(tmp_path)
    assert len(source) == 70
    assert calls == [(0, 70), (64, 70)]
    open_source(tmp_path)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("asked", "cores", "processes", "readers"),
    [(4, 2, 1, 2), (1, 8, 1, 1), (0, 8, 1, 0), (4, 2, 4, 1)],
)
def test_workers_never_exceed_the_cores(
    monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, processes: int, readers: int
) -> None:
    monkeypatch.setattr(reading, "cores", lambda: cores)
    monkeypatch.setattr(reading, "local_processes", lambda: processes)
    assert ImageData(workers=asked).readers() == readers
