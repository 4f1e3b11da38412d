"""Writes the golden files anew: only for a new version of the format, for they never change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocabula.codec import (
    AdaptiveModel,
    BlockFile,
    CodeStatistics,
    EntropyModel,
    PortableModel,
    StaticModel,
    UniformModel,
    write,
    write_codes,
)
from vocabula.codec.blocks import put_blocks
from vocabula.codec.header import Header, Stage
from vocabula.codec.kinds import AUDIO, IMAGE, NAMED, VECTOR
from vocabula.codec.layout import Attachment
from vocabula.codec.writer import CodedSignal, Target, write_signals
from vocabula.priors import CodeGrid, Conditioning, PortablePrior
from vocabula.tokenizers import SignalTokenizer, load

FOLDER = Path(__file__).parent
CASES = {
    "uniform-k7": ("uniform", [7], False),
    "uniform-k262144": ("uniform", [262144], False),
    "static-k64": ("static", [64], True),
    "adaptive-k2": ("adaptive", [2], False),
    "adaptive-k64": ("adaptive", [64], False),
    "adaptive-k64-counts": ("adaptive", [64], True),
    "adaptive-k1000": ("adaptive", [1000], False),
    "adaptive-k262144": ("adaptive", [262144], False),
    "adaptive-books": ("adaptive", [32, 32, 20], True),
    "static-books": ("static", [32, 1, 20], True),
    "static-pieces": ("static pieces", [64, 20], True),
}
PORTABLE = {"portable-k64": [64], "portable-books": [32, 2000]}
LEVELS, PORTABLE_LEVELS = "adaptive-levels", "portable-levels"
"""Files of images: two levels, the finer of two stages, of which one was cut off."""
VECTORS, SERIES = "vectors", "series"
"""Signals without axes, as rows, with a name each; signals of one axis, of a kind by its name."""
RECORDINGS, PORTABLE_RECORDINGS = "recordings", "portable-recordings"
"""Recordings of 50, 7, 7 and 33 samples, in two levels, the finer of two stages, one cut off."""
LENGTHS = (50, 7, 7, 33)
LOSSLESS, BLOCKS = "lossless", "blocks"
"""Exact pixels of two images; blocks with their codebook, two images with names."""


def golden_codes(sizes: list[int]) -> list[NDArray[np.int64]]:
    """Three grids of codes by a formula that any language can repeat."""
    grids = []
    for number, size in enumerate(((24, 32), (24, 32), (5, 1))):
        books = [formula(size, number, book, k) for book, k in enumerate(sizes)]
        grids.append(books[0] if len(sizes) == 1 else np.stack(books, -1))
    return grids


def formula(size: tuple[int, ...], number: int, book: int, symbols: int) -> NDArray[np.int64]:
    """The codes of a book of the signal of that number."""
    y, x = np.mgrid[: size[0], : size[1]]
    codes: NDArray[np.int64] = (x * x + 3 * y * (book + 1) + x * y // (7 + book)) // 5 + number
    return codes % symbols


def golden_statistics(sizes: list[int]) -> CodeStatistics:
    """Counts and orders by a formula."""
    counts = tuple(np.arange(k) ** 2 % 97 for k in sizes)
    orders = tuple((np.arange(k)[::-1]).astype(np.uint32) for k in sizes)
    return CodeStatistics("golden", counts, orders)


def golden_prior(codes: CodeGrid, upper: tuple[CodeGrid, ...] = ()) -> PortablePrior:
    """A small portable prior with parameters by a formula."""
    prior = PortablePrior(
        codes, Conditioning(upper=upper), hidden=12, layers=1, embedding=4, reach=2
    )
    with torch.no_grad():
        for number, parameter in enumerate(prior.parameters()):
            index = torch.arange(parameter.numel(), dtype=torch.float64)
            value = (index * 7919 + 13 * number) % 401 / 128 - 1.5625
            parameter.copy_((value / (1 if parameter.ndim == 1 else 2)).reshape(parameter.shape))
    return prior.eval()


def golden_model(sizes: list[int]) -> PortableModel:
    """The portable model of one level; books of more than 64 codewords are two digits."""
    return PortableModel([golden_prior(CodeGrid(tuple(sizes), (24, 32), largest_symbol=64))])


def levels_model() -> PortableModel:
    """The portable model of the file of two levels, with the stage that was cut off."""
    coarse = CodeGrid((64,), (3, 4))
    return PortableModel(
        [golden_prior(coarse), golden_prior(CodeGrid((16, 9, 16), (6, 8)), (coarse,))]
    )


def golden_entropy(entropy: str, sizes: list[int]) -> EntropyModel | str:
    """The model of a case: ``static`` as the first files had it, and in pieces as now."""
    if not entropy.startswith("static"):
        return entropy
    return StaticModel(golden_statistics(sizes), 512 if "pieces" in entropy else None)


def write_levels(target: Target, model: EntropyModel | None = None) -> None:
    """The golden file of two levels: images of 17 x 30 and 8 x 8 pixels."""
    model = model or AdaptiveModel()
    coarse = Stage((64,), (8, 8), (1, 1))
    fine = Stage((16, 9), (8, 8), (2, 2))
    stages = (coarse, fine, replace(fine, symbols=(16,)))
    header = Header(bytes(range(32)), IMAGE, 3, (model.name,), stages, 2)
    signals = [
        CodedSignal(
            size,
            tuple(
                formula(stage.grid(size), number, book, k)
                for stage in stages[:2]
                for book, k in enumerate(stage.symbols)
            ),
        )
        for number, size in enumerate(((17, 30), (8, 8)))
    ]
    write_signals(target, header, [model], signals)


def write_vectors(target: Target) -> None:
    """The golden file of vectors: 40 and 3 of them, three residual stages, one cut off."""
    model = AdaptiveModel()
    stage = Stage((16,), (1, 1), (1, 1))
    names = b"".join(f"v{number}".encode() + b"\0" for number in range(43))
    stages = (stage, replace(stage, symbols=(9,)), stage)
    attachments = {Attachment.NAMES: names}
    header = Header(bytes(range(32)), VECTOR, 6, (model.name,), stages, 2, attachments)
    write_signals(target, header, [model], [_by_formula(header, (n, 1)) for n in (40, 3)])


def write_series(target: Target) -> None:
    """The golden file of a kind by its name: series of 50 and 7 steps, 4 steps to two codes."""
    model = UniformModel()
    stage = Stage((16, 5), (4, 1), (2, 1))
    attachments = {Attachment.SIGNAL: b"\1series"}
    header = Header(bytes(range(32)), NAMED, 2, (model.name,), (stage,), 1, attachments)
    write_signals(target, header, [model], [_by_formula(header, (n, 1)) for n in (50, 7)])


def recordings_model() -> PortableModel:
    """The portable model of the file of recordings, along one axis."""
    coarse = CodeGrid((16,), (7,))
    return PortableModel([golden_prior(coarse), golden_prior(CodeGrid((9, 5), (14,)), (coarse,))])


def write_recordings(target: Target, model: EntropyModel | None = None) -> None:
    """The golden file of recordings at 11,025 Hz: 8 samples to a coarse code and two fine ones."""
    model = model or AdaptiveModel()
    coarse, fine = Stage((16,), (8, 1), (1, 1)), Stage((9,), (8, 1), (2, 1))
    stages = (coarse, fine, replace(fine, symbols=(5,)))
    attachments = {Attachment.RATE: b"\x91\x56"}  # 11025 = 86 * 128 + 17
    header = Header(bytes(range(32)), AUDIO, 1, (model.name,), stages, 2, attachments)
    write_signals(target, header, [model], [_by_formula(header, (n, 1)) for n in LENGTHS])


def _by_formula(header: Header, size: tuple[int, int]) -> CodedSignal:
    stages = header.stages[: header.kept]
    grids = [(stage.grid(size), k) for stage in stages for k in stage.symbols]
    streams = [formula(grid, 0, book, k) for book, (grid, k) in enumerate(grids)]
    return CodedSignal(size, tuple(streams))


def golden_pixels(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """An image (H, W, C) by a formula: slopes, an edge, and a little noise."""
    y, x, c = np.mgrid[:height, :width, :channels]
    values = 3 * x + 2 * y + 20 * c + 90 * (x > y + c) + (x * y * (c + 3) + 5 * x * x) % 7
    return (values % 256).astype(np.uint8)


def golden_tokenizer() -> SignalTokenizer:
    """The tokenizer of the lossless golden file: small, and saved beside it."""
    return load(FOLDER / "tokenizer")


def write_lossless(target: Target) -> None:
    """The golden lossless file: images of 17 x 14 and 5 x 3 pixels."""
    images = [golden_pixels(*size, 3).transpose(2, 0, 1) for size in ((17, 14), (5, 3))]
    tensors = [torch.from_numpy(np.ascontiguousarray(image)) for image in images]
    write(target, tensors, golden_tokenizer(), lossless=True)


def golden_blocks() -> BlockFile:
    """Images of 13 x 10 and 4 x 5 pixels as blocks of 4 x 3, ten of them."""
    book = golden_pixels(40, 3, 3).reshape(10, 4, 3, 3)
    sizes = [(13, 10), (4, 5)]
    codes = [
        formula((-(-height // 4), -(-width // 3)), number, 0, 10).astype(np.uint32)
        for number, (height, width) in enumerate(sizes)
    ]
    return BlockFile(book, codes, sizes)


if __name__ == "__main__":
    for name, (entropy, sizes, learned) in CASES.items():
        statistics = golden_statistics(sizes) if learned else None
        path = FOLDER / f"{name}.vcb"
        model = golden_entropy(entropy, sizes)
        size = write_codes(path, golden_codes(sizes), sizes, entropy=model, statistics=statistics)
        print(f"{path.name}: {size} bytes")
    for name, sizes in PORTABLE.items():
        write_codes(FOLDER / f"{name}.vcb", golden_codes(sizes), sizes, entropy=golden_model(sizes))
    write_levels(FOLDER / f"{LEVELS}.vcb")
    write_levels(FOLDER / f"{PORTABLE_LEVELS}.vcb", levels_model())
    write_vectors(FOLDER / f"{VECTORS}.vcb")
    write_series(FOLDER / f"{SERIES}.vcb")
    write_recordings(FOLDER / f"{RECORDINGS}.vcb")
    write_recordings(FOLDER / f"{PORTABLE_RECORDINGS}.vcb", recordings_model())
    write_lossless(FOLDER / f"{LOSSLESS}.vcb")
    put_blocks(FOLDER / f"{BLOCKS}.vcb", golden_blocks(), names=["a", "b"])
