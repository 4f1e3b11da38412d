"""Large images in tiles have the codes and pixels of the whole image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vocabula.nn import Encoder, VQGANDecoder, VQGANEncoder, VQVAEDecoder, VQVAEEncoder
from vocabula.nn.locality import context_of
from vocabula.tokenizers import SignalTokenizer, build_tokenizer
from vocabula.tokenizers import tiles as tiling
from vocabula.tokenizers.inference import inference

VECTOR = {"name": "vector", "dim": 8, "codebook_size": 64}
QUANTIZERS = {
    "vector": VECTOR,
    "residual": {"name": "residual", "stages": [VECTOR, VECTOR]},
    "finite_scalar": {"name": "finite_scalar", "levels": [8, 5, 5]},
    "lookup_free": {"name": "lookup_free", "dim": 8},
    "cosine": {"name": "vector", "dim": 8, "codebook_size": 64, "codebook_dim": 4,
               "distance": "cosine"},
}  # fmt: skip


def _nets(downsample: int, **more: object) -> dict[str, object]:
    net = {"name": "vqvae", "hidden": 16, "residual_hidden": 8, "downsample": downsample, **more}
    return {"encoder": net, "decoder": net}


def _flat(quantizer: str = "vector", downsample: int = 4, **more: object) -> SignalTokenizer:
    torch.manual_seed(0)
    specs = {**_nets(downsample, **more), "quantizer": QUANTIZERS[quantizer]}
    return build_tokenizer(specs, 3).eval()


def _levels(*downsamples: int) -> SignalTokenizer:
    torch.manual_seed(0)
    specs = {
        f"level{i + 1}": {**_nets(d), "quantizer": QUANTIZERS["residual"]}
        for i, d in enumerate(downsamples)
    }
    return build_tokenizer(specs, 3).eval()


def _image(height: int, width: int, *, images: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    return torch.randint(0, 256, (images, 3, height, width), generator=generator).byte()


def _passes(tokenizer: SignalTokenizer, x: Tensor) -> list[Tensor]:
    """Codes of each level, what they decode to, and the reconstruction."""
    with inference(tokenizer):
        codes = tokenizer.encode(x)
        levels = [codes] if isinstance(codes, Tensor) else list(codes)
        size = (x.shape[-2], x.shape[-1])
        shown = tokenizer.decode(codes, size=size)
        exact = tokenizer.decode_stored(codes, size=size)
        found = tokenizer.analyse(x)
        parts = [part for f in found.levels for part in (f.codes, f.values) if part is not None]
        bits = found.bits.total.float()  # sums in float64, which tiles do not reorder
        return [*levels, shown, exact, tokenizer.reconstruct(x), found.output, *parts, bits]


def _both(
    tokenizer: SignalTokenizer, x: Tensor, patch: pytest.MonkeyPatch, *, pixels: int = 96 * 96
) -> tuple[list[Tensor], list[Tensor]]:
    """What tiles of so many pixels give, and what the whole image gives."""
    whole = _passes(tokenizer, x)
    patch.setattr(tiling, "WHOLE_PIXELS", 0)
    patch.setattr(tiling, "TILE_PIXELS", pixels)
    try:
        return _passes(tokenizer, x), whole
    finally:
        patch.undo()


def _assert_same(tiled: list[Tensor], whole: list[Tensor]) -> None:
    """Equal codes, and values equal but for the last bit, where libraries choose by size.

    An 8-bit pixel whose value lies between two levels may therefore take the other one.
    """
    for a, b in zip(tiled, whole, strict=True):
        if a.is_floating_point():
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        elif a.dtype == torch.uint8:
            differ = (a.int() - b.int()).abs()
            assert differ.max() <= 1 and differ.count_nonzero() <= 1e-4 * differ.numel()
        else:
            assert torch.equal(a, b)


SIZES = [(200, 304), (203, 299), (97, 1), (1, 2001), (16, 16), (255, 130), (800, 37)]
"""Heights and widths: of whole codes, odd, of one pixel, of one tile and long."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantizer", "size"),
    [*(("vector", size) for size in SIZES), *((name, SIZES[1]) for name in list(QUANTIZERS)[1:])],
    ids=str,
)
def test_tiles_give_the_codes_and_pixels_of_the_whole(
    quantizer: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled, whole = _both(_flat(quantizer), _image(*size), monkeypatch)
    _assert_same(tiled, whole)


@pytest.mark.slow
@pytest.mark.parametrize("downsample", [1, 2, 8, 16])
def test_any_stride(downsample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tiled, whole = _both(_flat(downsample=downsample), _image(301, 403), monkeypatch)
    _assert_same(tiled, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("downsamples", "size"),
    [*(((2, 4), size) for size in SIZES), ((2, 2, 2), SIZES[1]), ((2, 2, 2), SIZES[2])],
    ids=str,
)
def test_hierarchies(
    downsamples: tuple[int, ...], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled, whole = _both(_levels(*downsamples), _image(*size), monkeypatch)
    _assert_same(tiled, whole)


@pytest.mark.slow
def test_several_images_and_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, x = _flat(), _image(201, 303, images=3)
    tiled, whole = _both(tokenizer, x.float() / 255, monkeypatch)
    _assert_same(tiled, whole)
    assert tiled[0].shape == (3, 51, 76)


@pytest.mark.slow
@settings(deadline=None, max_examples=10)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([2**12, 2**13, 2**14]))
def test_any_size(height: int, width: int, pixels: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        tiled, whole = _both(_flat(), _image(height, width), patch, pixels=pixels)
    assert all(torch.equal(a, b) for a, b in zip(tiled[:1], whole[:1], strict=True))
    torch.testing.assert_close(tiled[1], whole[1], rtol=0, atol=1e-6)


def test_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    tiled, whole = _both(_flat().double(), _image(201, 303), monkeypatch)
    assert torch.equal(tiled[0], whole[0])
    assert float((tiled[1] - whole[1]).abs().max()) < 1e-12


def test_a_large_image_never_passes_the_network_in_whole() -> None:
    tokenizer, sizes = _flat(), []
    encoder, decoder = tokenizer.parts()["encoder"][0], tokenizer.parts()["decoder"][0]
    for part in (encoder, decoder):
        part.register_forward_pre_hook(lambda module, args: sizes.append(args[0].shape[-2:]))
    x = _image(1000, 1200)
    with inference(tokenizer):
        codes = tokenizer.encode(x)
        tokenizer.decode(codes)
    seen = [height * width for height, width in sizes]
    assert len(seen) >= 8
    assert max(seen) < 1.3 * tiling.TILE_PIXELS


@pytest.mark.parametrize("way", ["training", "gradients"])
def test_training_and_gradients_take_the_whole(way: str) -> None:
    tokenizer, sizes = _flat(), []
    decoder = tokenizer.parts()["decoder"][0]
    decoder.register_forward_pre_hook(lambda module, args: sizes.append(args[0].shape[-2:]))
    codes = torch.zeros(1, 200, 300, dtype=torch.int64)
    tokenizer.train(way == "training")
    with torch.set_grad_enabled(way == "gradients"):
        tokenizer.decode(codes)
    assert [tuple(size) for size in sizes] == [(200, 300)]


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (
            VQVAEEncoder(3, 8, hidden=32, attention=True),
            VQVAEDecoder(8, 3, hidden=32, attention=True),
        ),
        (VQGANEncoder(3, 8, hidden=32), VQGANDecoder(8, 3, hidden=32)),
    ],
)
def test_networks_that_see_everything_have_no_context(
    encoder: nn.Module, decoder: nn.Module
) -> None:
    assert encoder.context is None
    assert decoder.context is None


def test_a_network_of_ones_own_goes_in_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Encoder):
        in_channels, dim, stride = 3, 8, 4

        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Conv2d(3, 8, 4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) - x.mean()  # of all pixels

    tokenizer = _flat()
    tokenizer.encoder = Own().eval()
    tiled, whole = _both(tokenizer, _image(300, 400), monkeypatch)
    assert torch.equal(tiled[0], whole[0])


def _dependence(network: nn.Module, inputs: int, outputs: int, blocks: int = 21) -> int:
    """Blocks on each side that the middle block of outputs depends on, found by NaN."""
    middle, most = blocks // 2, 0
    for position in range(blocks):
        x = torch.zeros(1, network.width, blocks * inputs, blocks * inputs)  # type: ignore[arg-type]
        x[..., position * inputs : (position + 1) * inputs, :] = torch.nan
        found = network(x)[..., middle * outputs : (middle + 1) * outputs, :]
        if found.isnan().any():
            most = max(most, abs(position - middle))
    return most


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("downsample", [1, 2, 4, 8])
def test_context_is_what_the_network_depends_on(downsample: int, layers: int, resize: bool) -> None:
    options = {"hidden": 4, "residual_layers": layers, "downsample": downsample}
    encoder = VQVAEEncoder(3, 8, **options)
    decoder = VQVAEDecoder(8, 3, **options, resize=resize)
    encoder.width, decoder.width = 3, 8  # type: ignore[assignment]
    with torch.no_grad():
        assert encoder.context == _dependence(encoder, downsample, 1)
        assert decoder.context == _dependence(decoder, 1, downsample)


def test_context_of_layers() -> None:
    dilated = nn.Conv2d(1, 1, 3, padding=4, dilation=4)
    tall = nn.Conv2d(1, 1, (7, 1), padding=(3, 0))
    assert context_of([dilated], inputs=1, outputs=1) == 4
    assert context_of([tall, nn.ReLU(), tall], inputs=1, outputs=1) == 6
    assert (
        context_of([nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")], inputs=1, outputs=1)
        is None
    )

    class Other(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - x.mean()

    assert context_of([Other(1, 1, 1)], inputs=1, outputs=1) is None


@pytest.mark.parametrize("size", [(1, 1), (511, 4000), (3000, 4000), (7, 400_000)], ids=str)
def test_tiles_cover_every_pixel_once(size: tuple[int, int]) -> None:
    seen = torch.zeros(size, dtype=torch.int32)
    for tile in tiling.tiles(size, 8, 20):
        seen[tile.at()] += 1
        assert all(side.start % 8 == 0 for side in (*tile.at(), *tile.seen()))
        assert tile.size[0] * tile.size[1] <= 1.4 * tiling.TILE_PIXELS
    assert bool((seen == 1).all())
