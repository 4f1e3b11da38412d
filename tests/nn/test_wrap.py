"""Networks of one's own: shapes, saving and loading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vocabula
from vocabula import registry
from vocabula.errors import CheckpointError, OptionError, ShapeError
from vocabula.nn import wrap
from vocabula.quantizers import VectorQuantizer
from vocabula.registry import component


class Down(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        super().__init__(nn.Conv2d(3, width, 4, stride=4), nn.ReLU(), nn.Conv2d(width, 8, 1))


class Up(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(8, 3, 4, stride=4)

    def forward(self, z: Tensor) -> Tensor:
        return self.conv(z)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type, type]]:
    """The classes under names, for one test."""
    monkeypatch.setitem(registry._COMPONENTS, "network", {})
    yield (
        component("network", "test_down")(type("NamedDown", (Down,), {"__init__": Down.__init__})),
        component("network", "test_up")(type("NamedUp", (Up,), {"__init__": _init_up})),
    )


def _init_up(self: Up) -> None:
    Up.__init__(self)


def _tokenizer(down: nn.Module, up: nn.Module) -> vocabula.Tokenizer:
    encoder, decoder = wrap(down, up, dim=8, stride=4)
    return vocabula.Tokenizer(encoder, VectorQuantizer(8, 16), decoder).eval()


def test_any_pair_of_modules_makes_a_tokenizer_that_learns() -> None:
    tokenizer = _tokenizer(Down(), Up())
    codes = tokenizer.encode(torch.rand(2, 3, 10, 16))
    assert codes.shape == (2, 3, 4)
    assert tokenizer.decode(codes, size=(10, 16)).shape == (2, 3, 10, 16)
    tokenizer.train()(torch.rand(2, 3, 8, 8)).loss.backward()
    assert all(p.grad is not None for p in tokenizer.encoder.network.parameters())


def test_the_wrapper_adds_nothing_to_what_the_network_gives() -> None:
    down, x = Down(), torch.rand(2, 3, 8, 12)
    assert torch.equal(_tokenizer(down, Up()).encoder(x), down(x))


@pytest.mark.parametrize(
    ("dim", "stride", "got"), [(6, 4, r"\(2, 8, 4, 4\)"), (8, 8, r"\(2, 8, 4, 4\)")]
)
def test_an_encoder_of_other_shapes_is_told_so(dim: int, stride: int, got: str) -> None:
    encoder, _ = wrap(Down(), Up(), dim=dim, stride=stride)
    side = 16 // stride
    expected = rf"encoder Down: expected a tensor \(2, {dim}, {side}, {side}\) from .*, got {got}"
    with pytest.raises(ShapeError, match=expected):
        encoder(torch.rand(2, 3, 16, 16))


def test_a_decoder_of_other_shapes_is_told_so() -> None:
    _, decoder = wrap(Down(), Up(), dim=8, stride=4, out_channels=6)
    with pytest.raises(ShapeError, match=r"decoder Up: expected a tensor \(1, 6, 8, 8\) .*3, 8, 8"):
        decoder(torch.rand(1, 8, 2, 2))


def test_a_network_that_gives_no_tensor_is_told_so() -> None:
    class Pair(Up):
        def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return z, z

    _, decoder = wrap(Down(), Pair(), dim=8, stride=4)
    with pytest.raises(ShapeError, match="got a tuple"):
        decoder(torch.rand(1, 8, 2, 2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dim": 0, "stride": 4}, "dim: expected an integer >= 1, got 0"),
        ({"dim": 8, "stride": 0}, "stride: expected an integer >= 1, got 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        wrap(Down(), Up(), **options)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(OptionError, match=r"WrappedDecoder\.network: expected network"):
        wrap(Down(), lambda z: z, dim=8, stride=4)  # type: ignore[arg-type]


def test_saving_says_how_to_name_a_class(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r'Down: .*@component\("network", name\)'):
        _tokenizer(Down(), Up()).save_pretrained(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_saved_and_loaded(registered: tuple[type, type], tmp_path: Path) -> None:
    down, up = registered
    tokenizer = _tokenizer(down(width=6), up())
    tokenizer.save_pretrained(tmp_path)
    again = vocabula.load(tmp_path)
    assert again.fingerprint() == tokenizer.fingerprint()
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(again.encode(x), tokenizer.encode(x))
    assert again.encoder.network[0].out_channels == 6


def test_loading_without_the_module_says_what_to_import(
    registered: tuple[type, type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down, up = registered
    _tokenizer(down(), up()).save_pretrained(tmp_path)
    monkeypatch.setitem(registry._COMPONENTS, "network", {})
    with pytest.raises(CheckpointError, match=r"got 'test_down' .*vocabula --import MODULE"):
        vocabula.load(tmp_path)


def test_names_of_the_package_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="encoder 'vqvae' is already registered"):
        component("encoder", "vqvae")(type("Mine", (), {}))
