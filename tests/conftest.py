"""Settings that every test runs under."""

from __future__ import annotations

import gc
import os
import signal
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests find what they share: `priors.builders`
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # other tests use the cores, too
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach the network
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from builders import tiny_tokenizer
from vocabula.functional import native
from vocabula.tokenizers import SignalTokenizer

settings.register_profile("vocabula", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("vocabula")
torch.set_num_threads(1)
# Tests stop what they run; a shell that put them into the background had these signals ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

gc.disable()  # while modules are imported and tests collected, which leaves little to collect
# Without a GPU, `torch.manual_seed` keeps each time how it was called, which takes a millisecond.
SEED = torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed

QUICK_CASES = 1
"""Cases of one test function that the fast lane runs at most."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark cases beyond the first few of each function slow, in an order that ids alone decide."""
    functions = defaultdict(list)
    for item in items:
        if item.get_closest_marker("slow") is None:
            functions[item.nodeid.split("[")[0]].append(item)
    for cases in functions.values():
        cases.sort(key=lambda item: zlib.crc32(item.nodeid.encode()))
        for item in cases[QUICK_CASES:]:
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage again, but seldom, and never look through what stays until the end."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)  # of a compile, looking every 700 objects takes 6 %
    gc.enable()


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Each test draws the same numbers, whatever ran before it."""
    SEED(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _compiler() -> None:
    """Each test compiles afresh: torch counts graphs of others toward its limit of a function."""
    frames = sys.modules.get("torch._dynamo.convert_frame")  # which takes seconds to import
    if frames is not None and frames.FRAME_COMPILE_COUNTER:  # something was compiled
        torch._dynamo.reset()


@pytest.fixture(params=["compiled", "torch"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the compiled kernels, and again with torch operations in their place."""
    if request.param == "torch":
        monkeypatch.setattr(native, "_load", lambda: None)
    elif native.instructions() is None:
        pytest.skip("the kernels were not built")


@dataclass(frozen=True)
class Coded:
    """A saved tokenizer and a file of codes that seem to be its own."""

    run: Path
    tokens: Path


@pytest.fixture
def coded(tmp_path: Path) -> Callable[..., Coded]:
    """A function that writes a tiny tokenizer, ``run``, and codes of a known law.

    Each code of a row is the one before it plus 1 plus the class, modulo 16, nine times in ten,
    else any; rows begin anywhere. So a row tells its class, and the class a row.
    """
    from vocabula.data import TokenRecord, write_tokens
    from vocabula.signals import CodeSpec
    from vocabula.tokenizers import build_tokenizer

    net = {"name": "vqvae", "hidden": 4, "residual_layers": 0, "downsample": 4}
    book = {"name": "vector", "dim": 4, "codebook_size": 16}
    half = net | {"downsample": 2}
    flat = {"encoder": net, "decoder": net, "quantizer": book}
    level = {"encoder": half, "decoder": half, "quantizer": book}

    def make(
        count: int = 96, *, levels: int = 1, classes: int = 3, name: str = "tokens", seed: int = 0
    ) -> Coded:
        torch.manual_seed(0)
        spec = flat if levels == 1 else {f"level{i + 1}": level for i in range(levels)}
        tokenizer = build_tokenizer(spec, 1)
        with torch.no_grad():
            tokenizer.train()(torch.rand(8, 1, 16, 16))
        tokenizer.eval().save_pretrained(tmp_path / "run")
        random = np.random.default_rng(seed)
        grids = tokenizer.grids(16, 16)
        records = []
        for i in range(count):
            label = i % classes if classes else None
            codes = [_rows(random, grid, label or 0) for grid in grids]
            records.append(TokenRecord(codes, f"{i}.png", label, 16, 16))
        layouts = [CodeSpec(part.codebook_sizes, part.code_shape) for part in tokenizer.levels]
        path = tmp_path / f"{name}.parquet"
        write_tokens(
            path,
            records,
            fingerprint=tokenizer.fingerprint(),
            levels=layouts,
            source="made",
            label_names=[f"class {i}" for i in range(classes)] or None,
            overwrite=True,
        )
        return Coded(tmp_path / "run", path)

    return make


def _rows(random: np.random.Generator, grid: tuple[int, int], step: int) -> np.ndarray:
    codes = random.integers(0, 16, grid)
    for column in range(1, grid[1]):
        follows = random.random(grid[0]) < 0.9
        codes[:, column] = np.where(
            follows, (codes[:, column - 1] + 1 + step) % 16, codes[:, column]
        )
    return codes


@pytest.fixture(scope="session")
def srgb_profile() -> bytes:
    """A colour profile that says what is assumed without one."""
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def other_profile(srgb_profile: bytes) -> bytes:
    """The profile of sRGB with the red and green columns of its matrix exchanged."""
    entries = range(132, 132 + 12 * srgb_profile[131], 12)
    at = {srgb_profile[i : i + 4]: srgb_profile[i + 4 : i + 8] for i in entries}
    red, green = (int.from_bytes(at[name], "big") for name in (b"rXYZ", b"gXYZ"))
    content = bytearray(srgb_profile)
    content[red : red + 20] = srgb_profile[green : green + 20]
    content[green : green + 20] = srgb_profile[red : red + 20]
    return bytes(content)


@pytest.fixture
def make_tokenizer() -> Callable[..., SignalTokenizer]:
    """A function that builds a tiny tokenizer in evaluation mode: (quantizer, channels, seed)."""
    return tiny_tokenizer


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of five colour pictures of two sizes in two classes, and one broken file."""
    root = tmp_path / "pictures"
    generator = np.random.default_rng(0)
    sizes = [(16, 12), (16, 12), (9, 13), (16, 12), (16, 12)]
    for i, (height, width) in enumerate(sizes):
        folder = root / ("cats" if i % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        small = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height)).save(folder / f"{i}.png")
    (root / "cats" / "broken.png").write_bytes(b"no picture")
    return root
