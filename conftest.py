"""Where the examples of docstrings run: a folder with the runs and the picture that they name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

FROZEN = Path(__file__).parent / "tests" / "frozen" / "files"
RUNS = {"photos": "tokenizers/vector-ema", "prior": "generator", "digits-prior": "priors/pixelcnn"}


@pytest.fixture(autouse=True)
def _examples(
    request: pytest.FixtureRequest,
    doctest_namespace: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Give an example its folder, `torch`, `vocabula` and `images` (2, 3, 12, 10), uint8."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import torch

    import vocabula

    place = tmp_path_factory.mktemp("example")
    for name, folder in RUNS.items():
        shutil.copytree(FROZEN / folder, place / "runs" / name)
    monkeypatch.chdir(place)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 12, 10), dtype=torch.uint8)
    doctest_namespace |= {"torch": torch, "vocabula": vocabula, "images": images}
