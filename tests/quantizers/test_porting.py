"""What people bring from other libraries: unpacking, names of options, codebooks."""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vocabula.errors import CodeError, OptionError, VocabulaError
from vocabula.quantizers import (
    BernoulliQuantizer,
    FiniteScalarQuantizer,
    LookupFreeQuantizer,
    MultiScaleQuantizer,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)


@functools.cache
def theirs() -> Any:
    """The other library, whose import takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("vector_quantize_pytorch")


def data(width: int = 8) -> torch.Tensor:
    return 2 * torch.randn(4, 500, width, generator=torch.Generator().manual_seed(3))


def vector(**options: Any) -> tuple[Any, Quantizer]:
    cosine = options.get("distance") == "cosine"
    peer = theirs().VectorQuantize(dim=8, codebook_size=64, use_cosine_sim=cosine).eval()
    ours = VectorQuantizer(8, 64, **options).eval()
    ours.codebook = peer._codebook.embed[0]
    return peer, ours


def residual() -> tuple[Any, Quantizer]:
    peer = theirs().ResidualVQ(dim=8, codebook_size=64, num_quantizers=3).eval()
    ours = ResidualQuantizer.repeat(3, dim=8, codebook_size=64).eval()
    for stage, layer in zip(ours.stages, peer.layers, strict=True):
        stage.codebook = layer._codebook.embed[0]
    return peer, ours


def finite_scalar(*levels: int) -> tuple[Any, Quantizer]:
    return theirs().FSQ(list(levels)).eval(), FiniteScalarQuantizer(levels).eval()


def symmetric(*levels: int, hard_clamp: bool = False) -> tuple[Any, Quantizer]:
    peer = theirs().FSQ(list(levels), preserve_symmetry=True, bound_hard_clamp=hard_clamp).eval()
    return peer, FiniteScalarQuantizer(levels, symmetric=True, hard_clamp=hard_clamp).eval()


@pytest.mark.parametrize("hard_clamp", [False, True])
@pytest.mark.parametrize("levels", [(2, 3, 4), (5, 6, 7), (8, 9, 2)])
def test_symmetric_codes_are_those_of_vector_quantize_pytorch(
    levels: tuple[int, ...], hard_clamp: bool
) -> None:
    peer, ours = symmetric(*levels, hard_clamp=hard_clamp)
    expected, result = peer(data(3)), ours(data(3))
    assert torch.equal(result.codes, expected[1].long())
    torch.testing.assert_close(result.values, expected[0], rtol=0, atol=2e-7)


def lookup_free() -> tuple[Any, Quantizer]:
    return theirs().LFQ(dim=8, codebook_size=256).eval(), LookupFreeQuantizer(8).eval()


@pytest.mark.parametrize(
    "make",
    [
        vector,
        residual,
        lambda: finite_scalar(8, 5, 5, 5),
        lambda: finite_scalar(7, 5, 5, 5, 5),
        lambda: finite_scalar(4, 4),
        lookup_free,
    ],
)
def test_codes_and_values_are_those_of_vector_quantize_pytorch(
    make: Callable[[], tuple[Any, Quantizer]],
) -> None:
    torch.manual_seed(0)
    peer, ours = make()
    z = data(ours.dim)
    with torch.no_grad():
        expected = peer(z)
        values, codes, _ = ours(z)
    assert torch.equal(codes, expected[1].long())
    assert torch.equal(values, expected[0])


def test_cosine_codes_are_identical_and_values_nearly() -> None:
    torch.manual_seed(0)
    peer, ours = vector(distance="cosine")
    expected, result = peer(data()), ours(data())
    assert torch.equal(result.codes, expected[1])
    torch.testing.assert_close(result.values, expected[0], rtol=0, atol=2e-7)


def test_a_result_unpacks_into_three() -> None:
    result = VectorQuantizer(8, 16)(data())
    values, codes, loss = result
    assert values is result.values and codes is result.codes and loss is result.loss


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: VectorQuantizer(8, 16, decay=0.9), r"learning=EMA\(decay=\.\.\.\)"),
        (lambda: VectorQuantizer(8, 16, kmeans_init=True), r"initialization=KMeans\(\)"),
        (lambda: VectorQuantizer(8, 16, threshold_ema_dead_code=2), r"revival=Revival\("),
        (lambda: VectorQuantizer(8, 16, use_cosine_sim=True), "distance='cosine'"),
        (lambda: VectorQuantizer(dim=8, n_embed=16), "codebook_size"),
        (lambda: VectorQuantizer(8, 16, commitment_cost=1.0), "commitment_weight"),
        (lambda: VectorQuantizer(8, 16, rotation_trick=True), "estimator='rotation'"),
        (lambda: VectorQuantizer(8, 16, directional_reparam=True), r"estimator=DiVeQ\(\)"),
        (lambda: VectorQuantizer(8, 16, vq_bridge=None), "NetworkReparametrization"),
        (lambda: VectorQuantizer(8, 16, sample_codebook_temp=1.0), "sampling_temperature"),
        (lambda: VectorQuantizer(8, 16, heads=2), "ProductQuantizer"),
        (lambda: LookupFreeQuantizer(dim=8, codebook_size=256), "write bits"),
        (lambda: LookupFreeQuantizer(dim=8, num_codebooks=2), "write books"),
        (lambda: FiniteScalarQuantizer([8, 5], codebook_size=40), "write levels"),
        (lambda: FiniteScalarQuantizer([8, 5], preserve_symmetry=True), "write symmetric"),
        (lambda: ResidualQuantizer(dim=8, num_quantizers=4), r"ResidualQuantizer\.repeat\("),
        (lambda: ResidualQuantizer.repeat(2, dim=8, codebook_size=4, decay=0.9), r"EMA\("),
    ],
)
def test_names_of_other_libraries_get_advice(make: Callable[[], Any], advice: str) -> None:
    with pytest.raises(TypeError, match=advice) as caught:
        make()
    assert isinstance(caught.value, VocabulaError)
    assert "\n" not in str(caught.value)


def options_of(cls: type) -> set[str]:
    """The names of a constructor's arguments, without ``self`` and ``**options``."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}


OURS: dict[str, type] = {
    "VectorQuantize": VectorQuantizer,
    "SimVQ": VectorQuantizer,
    "RandomProjectionQuantizer": VectorQuantizer,
    "ResidualVQ": ResidualQuantizer,
    "ResidualFSQ": ResidualQuantizer,
    "ResidualLFQ": ResidualQuantizer,
    "ResidualSimVQ": ResidualQuantizer,
    "GroupedResidualVQ": ProductQuantizer,
    "FSQ": FiniteScalarQuantizer,
    "LFQ": LookupFreeQuantizer,
    "BinaryMapper": BernoulliQuantizer,
    "HierarchicalVQ": MultiScaleQuantizer,
}


@pytest.mark.parametrize("name", OURS)
def test_every_option_of_vector_quantize_pytorch_gets_advice(name: str) -> None:
    ours = OURS[name]
    for option in sorted(options_of(getattr(theirs(), name)) - options_of(ours)):
        with pytest.raises(TypeError, match=rf"\.{option}: unknown option .*; write \S"):
            ours(**{option: 1})


def documented_options() -> dict[str, set[str]]:
    """By class: the options in the tables of the page.

    The class stands in the head of a table, or in a row before a colon.
    """
    page = (Path(__file__).parents[2] / "docs/porting.md").read_text()
    found = defaultdict(set)
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, _, *rows = table.splitlines()
        named = re.findall(r"option of `(\w+)`", head)
        for row in rows:
            owners, colon, options = row.split(" | ")[0].rpartition(":")
            for owner in re.findall(r"`(\w+)`", owners) if colon else named:
                found[owner] |= set(re.findall(r"`(\w+)`", options))
    return found


def test_the_page_names_every_class_and_option_of_vector_quantize_pytorch() -> None:
    documented = documented_options()
    classes = {name: cls for name, cls in vars(theirs()).items() if inspect.isclass(cls)}
    assert len(classes) >= 18
    assert {n: options_of(cls) ^ documented[n] for n, cls in classes.items()} == {
        name: set() for name in classes
    }


def test_repeat_makes_separate_stages() -> None:
    quantizer = ResidualQuantizer.repeat(3, dim=8, codebook_size=16, distance="cosine", beam=2)
    assert quantizer.codebook_sizes == (16, 16, 16)
    assert len(quantizer.distinct) == 3
    assert quantizer.beam == 2
    assert all(stage.distance == "cosine" for stage in quantizer.stages)
    with pytest.raises(OptionError, match="count from 1"):
        ResidualQuantizer.repeat(0, dim=8, codebook_size=16)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32])
def test_the_first_books_decode_alone(dtype: torch.dtype) -> None:
    quantizer = residual()[1]
    codes = quantizer.encode(data()).to(dtype)
    for books in (1, 2, 3):
        pairs = zip(quantizer.stages, codes[..., :books].unbind(-1), strict=False)
        expected = torch.stack([stage.decode(code) for stage, code in pairs]).sum(0)
        torch.testing.assert_close(quantizer.decode(codes[..., :books]), expected)


def test_only_whole_stages_decode() -> None:
    quantizer = ResidualQuantizer([LookupFreeQuantizer(8, books=2) for _ in range(2)]).eval()
    codes = quantizer.encode(data())
    assert quantizer.decode(codes[..., :2]).shape == data().shape
    for books in (0, 1, 3):
        with pytest.raises(CodeError, match="n = 2, 4"):
            quantizer.decode(codes[..., :books])
    product = ProductQuantizer([VectorQuantizer(4, 16) for _ in range(2)])
    with pytest.raises(CodeError, match="n = 2"):
        product.decode(codes[..., :1] % 16)


def test_print_shows_the_parts() -> None:
    text = repr(VectorQuantizer(8, 16, commitment_weight=1.0))
    for part in ("distance='euclidean'", "estimator=", "EMA(", "KMeans(", "Revival("):
        assert part in text
    assert "commitment_weight=1.0" in text
    assert "codebook_weight" not in text  # the default
