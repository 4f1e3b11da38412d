"""Scales of residual stages: every stage lowers the error, and old stacks stay as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vocabula.errors import OptionError
from vocabula.quantizers import (
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.tokenizers.weights import read_weights, write_weights

D = 3
KINDS: dict[str, Callable[[], Quantizer]] = {
    "vector": lambda: VectorQuantizer(D, 8),
    "product of vector": lambda: ProductQuantizer([VectorQuantizer(d, 4) for d in (1, 2)]),
    "published": lambda: FiniteScalarQuantizer([5] * D),
    "published, even": lambda: FiniteScalarQuantizer([4] * D),
    "unequal levels": lambda: FiniteScalarQuantizer([8, 5, 3]),
    "symmetric": lambda: FiniteScalarQuantizer([2] * D, symmetric=True),
    "clamped": lambda: FiniteScalarQuantizer([4] * D, symmetric=True, hard_clamp=True),
    "rotated": lambda: FiniteScalarQuantizer([5] * D, orthogonal_rotation=True),
    "look-up free": lambda: LookupFreeQuantizer(D),
    "spherical": lambda: LookupFreeQuantizer(D, spherical=True),
}
FIXED = [kind for kind in KINDS if "vector" not in kind and kind != "published, even"]


def uniform(rows: int = 1024) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.rand(rows, D, generator=generator) - 1


def stack(kind: str, stages: int = 4) -> ResidualQuantizer:
    torch.manual_seed(0)
    return ResidualQuantizer([KINDS[kind]() for _ in range(stages)])


@torch.no_grad()
def errors(quantizer: ResidualQuantizer, z: Tensor) -> list[float]:
    quantizer.eval()
    codes, books = quantizer.encode(z), quantizer.books // len(quantizer.stages)
    prefixes = [codes[..., : (n + 1) * books] for n in range(len(quantizer.stages))]
    return [float((quantizer.decode(part) - z).square().mean()) for part in prefixes]


@pytest.mark.parametrize("normal", [False, True], ids=["uniform", "normal"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_lowers_the_error(kind: str, normal: bool) -> None:
    z = torch.randn(1024, D, generator=torch.Generator().manual_seed(2)) if normal else uniform()
    quantizer = stack(kind)
    quantizer(z)
    found = errors(quantizer, z)
    pairs = zip([float(z.square().mean()), *found], found, strict=False)
    assert all(after < 0.8 * before for before, after in pairs), found


@pytest.mark.parametrize("kind", FIXED)
def test_every_stage_lowers_the_error_before_any_data(kind: str) -> None:
    found = errors(stack(kind, 3), uniform())
    assert found[0] > 1.2 * found[1] > 1.44 * found[2]


def test_gumbel_stages_refine_after_training() -> None:
    torch.manual_seed(0)
    z = uniform(256)
    stages = [GumbelQuantizer(D, 8, temperature=0.3) for _ in range(3)]
    quantizer = ResidualQuantizer(stages, dropout=1.0)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    for _ in range(150):
        result = quantizer(z)
        optimizer.zero_grad()
        ((result.values - z).square().mean() + result.loss).backward()
        optimizer.step()
    found = errors(quantizer, z)
    assert found[0] > found[1] > found[2]


def test_a_clamped_stack_is_a_number_in_base_l() -> None:
    # three stages of 4 levels with scales 1, 1/4, 1/16: 64 values in steps of 2/48, up to 63/48
    stages = [FiniteScalarQuantizer([4], symmetric=True, hard_clamp=True) for _ in range(3)]
    quantizer = ResidualQuantizer(stages).eval()
    z = torch.linspace(-1.3125, 1.3125, 501)[:, None]
    assert float((quantizer(z).values - z).abs().max()) <= 1 / 48 + 1e-6
    assert quantizer.encode(torch.tensor([[1.3], [-1.3]])).tolist() == [[3, 3, 3], [0, 0, 0]]
    by_hand = ResidualQuantizer(stages, scales=[1, 0.25, 0.0625]).eval()
    assert torch.equal(by_hand(z).values, quantizer(z).values)
    assert by_hand.stage_scales is None


def test_stacks_scaled_by_hand_stay_as_they_were() -> None:
    stages = [LookupFreeQuantizer(D, scale=s) for s in (0.5, 0.25)]
    quantizer = ResidualQuantizer(stages)
    z = uniform()
    values = quantizer(z).values
    first = torch.where(z > 0, 0.5, -0.5)
    assert torch.equal(values, first + torch.where(z - first > 0, 0.25, -0.25))
    assert quantizer.stage_scales is None


def test_stacks_saved_without_scales_stay_as_they_were(tmp_path: Path) -> None:
    old = stack("published")
    old.unscale()
    z = uniform()
    assert errors(old, z)[1] == errors(old, z)[3]  # the later stages did nothing
    write_weights(old, tmp_path / "old.safetensors")
    for load in (
        lambda new: read_weights(new, tmp_path / "old.safetensors"),
        lambda new: new.load_state_dict(old.state_dict()),
    ):
        new = stack("published").eval()
        load(new)
        assert torch.equal(new.encode(z), old.encode(z))
        assert torch.equal(new(z).values, old(z).values)


def test_scales_are_saved_and_their_fits_go_on() -> None:
    quantizer = stack("published")
    for _ in range(3):
        quantizer(uniform())
    again = stack("published")
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again.eval()(uniform()).values, quantizer.eval()(uniform()).values)
    before = quantizer.stage_scales.weight.clone()
    quantizer.train()(10 * uniform())  # the fourth update: no fit is due
    assert torch.equal(quantizer.stage_scales.weight, before)
    quantizer(10 * uniform())
    torch.testing.assert_close(quantizer.stage_scales.weight, 10 * before, rtol=1e-4, atol=0)


def test_micro_batches_of_one_update_share_their_scales() -> None:
    quantizer = ResidualQuantizer([FiniteScalarQuantizer([5] * D)] * 2, auto_update=False)
    quantizer(uniform())
    before = quantizer.stage_scales.weight.clone()
    quantizer(10 * uniform())
    assert torch.equal(quantizer.stage_scales.weight, before)
    quantizer.update()
    quantizer(10 * uniform())
    assert not torch.equal(quantizer.stage_scales.weight, before)


def test_masked_rows_and_empty_batches_set_no_scale() -> None:
    quantizer, expected = stack("published"), stack("published")
    z = uniform(200)
    quantizer(z[:0])
    mask = torch.arange(200) < 100
    quantizer(torch.where(mask[:, None], z, 1e6), mask)
    expected(z[:100])
    assert torch.equal(quantizer.stage_scales.weight, expected.stage_scales.weight)


@pytest.mark.parametrize("scales", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_wrong_scales_are_refused(scales: list[float]) -> None:
    with pytest.raises(OptionError, match="scales"):
        ResidualQuantizer([FiniteScalarQuantizer([5]) for _ in range(2)], scales=scales)


def test_learned_stages_take_no_scale() -> None:
    with pytest.raises(OptionError, match="1 for stages that are not finite scalar"):
        ResidualQuantizer([VectorQuantizer(1, 4), FiniteScalarQuantizer([5])], scales=[0.5, 0.5])
    assert ResidualQuantizer([VectorQuantizer(1, 4)] * 2).stage_scales is None


@pytest.mark.parametrize(
    ("kind", "options"),
    [("unequal levels", {}), ("spherical", {"beam": 2}), ("published", {"auto_update": False})],
)
def test_compiled_training_finds_the_scales_of_eager_training(kind, options) -> None:
    torch.manual_seed(0)
    eager = ResidualQuantizer([KINDS[kind]() for _ in range(2)], **options)
    before = copy.deepcopy(eager)
    traced = copy.deepcopy(eager)
    compiled = torch.compile(traced, fullgraph=True, backend="eager")
    mask = torch.arange(64) < 50
    for step in range(4):  # no fit is due before the fourth update
        z = (1 + step) * uniform(64)
        expected, found = eager(z, mask), compiled(z, mask)
        assert torch.equal(found.codes, expected.codes)
        assert torch.equal(found.values, expected.values)
        if step == 1:  # more of the same update, where that is off
            assert torch.equal(compiled(3 * z, mask).codes, eager(3 * z, mask).codes)
        for quantizer in (eager, traced):
            quantizer.update()
    assert torch.equal(traced.stage_scales.weight, eager.stage_scales.weight)
    assert not torch.equal(traced.stage_scales.weight, before.stage_scales.weight)
    assert int(traced.stage_scales.fits) == int(eager.stage_scales.fits) > 3
