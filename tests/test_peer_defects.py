"""One test per defect that was proven in other quantizer libraries; none of them is ours."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vocabula.errors import CodeError, OptionError
from vocabula.functional import (
    code_sums,
    kmeans,
    nearest_codeword,
    pack_bits,
    rotation,
    soft_assignment_entropies,
)
from vocabula.quantizers import (
    EMA,
    BernoulliQuantizer,
    ConditionalResidualQuantizer,
    FiniteScalarQuantizer,
    Gradient,
    GumbelQuantizer,
    KMeans,
    LookupFreeQuantizer,
    MultiScaleQuantizer,
    Normal,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    Revival,
    VectorQuantizer,
)

sys.path.insert(0, str(Path(__file__).parent))
from conformance import ranks
from conformance.memory import largest_allocation


def test_the_meter_sees_inside_operators() -> None:
    assert largest_allocation(lambda: torch.zeros(1000, 1000).sum()) == 4_000_000
    z = torch.randn(5000, 40)
    assert largest_allocation(lambda: kmeans(z, 4, iterations=1)) >= z.numel() * 8  # float64 inside


def averaged(book: Tensor, decay: float = 0.9, **options: object) -> VectorQuantizer:
    """Moving averages without revival that stand at `book`."""
    quantizer = VectorQuantizer(
        book.shape[1], len(book), **{"learning": EMA(decay=decay), "revival": None} | options
    )
    quantizer.codebook = book
    return quantizer


def learned(book: Tensor, **options: object) -> VectorQuantizer:
    """A codebook that learns by gradient and stands at `book`."""
    return averaged(book, **{"learning": Gradient()} | options)


# memory and speed


@pytest.mark.parametrize("training", [True, False])
def test_01_no_matrix_of_vectors_by_codewords(training: bool) -> None:
    n, k = 4096, 8192
    quantizer = averaged(torch.randn(k, 8)).train(training)
    z = torch.randn(n, 8, requires_grad=True)
    largest = largest_allocation(lambda: quantizer(z).loss.backward())
    assert largest < n * k * 4 / 8  # a float matrix would be 134 MB, a one-hot 268 MB


def test_01_sums_need_no_matrix_of_ones() -> None:
    z, codes = torch.randn(4096, 8), torch.randint(4096, (4096,))
    sums = []
    largest = largest_allocation(lambda: sums.append(code_sums(z, codes, 4096)))
    assert largest < 4096 * 4096 * 4 / 8  # the one-hot matrix would be 67 MB
    expected = F.one_hot(codes, 4096).double().T @ z.double()
    torch.testing.assert_close(sums[0].double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [14, 18])
def test_02_lookup_free_builds_no_table_of_codes(bits: int) -> None:
    n = 2048
    quantizer, z = LookupFreeQuantizer(bits), torch.randn(n, bits, requires_grad=True)
    largest = largest_allocation(lambda: quantizer(z).loss.backward())
    assert z.grad.isfinite().all()
    assert largest < n * 2**bits * 4 / 8


# wrong numbers


def test_03_neighbours_far_from_the_origin() -> None:
    book = 1000 + 0.1 * torch.randn(256, 16)
    z = 1000 + 0.1 * torch.randn(500, 16)
    exact = torch.cdist(z.double(), book.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(nearest_codeword(z, book), exact.argmin(-1))
    assert torch.equal(averaged(book).encode(z), exact.argmin(-1))


def test_04_entropy_of_many_codes() -> None:
    quantizer = LookupFreeQuantizer(18)
    z = 1e-4 * torch.randn(512, 18)
    z.requires_grad_()
    entropy = quantizer(z).losses["entropy_batch"].sum()
    assert entropy.item() == pytest.approx(18 * math.log(2), abs=0.02)  # 12.477, not 11.513
    (gradient,) = torch.autograd.grad(entropy, z)
    assert (gradient.abs() > 0).all()
    sample, _ = soft_assignment_entropies(z.detach(), torch.zeros(2**15, 18), temperature=1.0)
    assert sample.item() == pytest.approx(15 * math.log(2), rel=1e-5)


def test_05_codes_of_large_books_are_exact() -> None:
    assert pack_bits(torch.ones(62, dtype=torch.bool)).item() == 2**62 - 1
    bits = torch.randint(2, (200, 50)).bool()
    quantizer = LookupFreeQuantizer(50, entropy_weight=0.0)
    expected = [int("".join(str(int(b)) for b in row), 2) for row in bits]
    z = torch.where(bits, 1.0, -1.0)
    codes = quantizer.encode(z)
    assert codes.tolist() == expected
    assert torch.equal(quantizer.decode(codes), z)


def test_06_each_loss_term_has_its_weight() -> None:
    book, z = torch.zeros(1, 1), torch.tensor([[2.0]], requires_grad=True)
    for commitment, codebook in ((0.25, 1.0), (3.0, 0.0), (0.0, 5.0)):
        quantizer = learned(book, commitment_weight=commitment, codebook_weight=codebook)
        loss = quantizer(z).loss
        to_z, to_book = torch.autograd.grad(loss, [z, quantizer.book.weight])
        assert to_z.item() == pytest.approx(commitment * 4.0)  # 2 (z - e)
        assert to_book.item() == pytest.approx(codebook * -4.0)


@pytest.mark.parametrize("estimator", ["straight_through", "rotation"])
def test_07_values_are_codewords_bit_for_bit(estimator: str) -> None:
    book = torch.randn(64, 8)
    z = 1e3 * torch.randn(500, 8)
    assert not torch.equal(z + (book[0] - z), book[0].expand_as(z))  # what goes wrong elsewhere
    result = averaged(book, estimator=estimator, auto_update=False)(z.requires_grad_())
    assert torch.equal(result.values, book[result.codes])


def test_08_gumbel_evaluation_does_not_sample() -> None:
    quantizer = GumbelQuantizer(8, 64).eval()
    z = 0.1 * torch.randn(500, 8)
    assert torch.equal(quantizer(z).codes, quantizer(z).codes)
    assert torch.equal(quantizer(z).codes, quantizer.encode(z))


def test_09_cosine_loss_has_one_unit() -> None:
    quantizer = learned(torch.randn(16, 8), distance="cosine")
    z = 10 * torch.randn(50, 8)
    everything = quantizer(z, torch.ones(50).bool())
    without = quantizer(z)
    assert torch.equal(everything.loss, without.loss)
    padded = quantizer(torch.cat([z, z]), torch.arange(100) < 50)
    assert padded.loss.item() == pytest.approx(without.loss.item(), rel=1e-5)


# learning


def test_10_first_step_moves_codewords_by_a_step() -> None:
    quantizer = averaged(torch.randn(64, 8), decay=0.99)
    before = quantizer.codebook.clone()
    quantizer(torch.randn(10, 8))
    assert quantizer.codebook.norm(dim=-1).max() < 10
    assert (quantizer.codebook - before).norm(dim=-1).max() < 0.5


def test_11_codewords_without_a_hit_stay_at_the_first_step() -> None:
    quantizer = averaged(torch.randn(64, 8))
    before = quantizer.codebook.clone()
    codes = quantizer(torch.randn(10, 8)).codes
    unused = torch.ones(64).bool().index_fill(0, codes, False)
    assert unused.sum() >= 54
    assert torch.equal(quantizer.codebook[unused], before[unused])


def test_12_unused_codewords_are_not_pulled_to_the_origin() -> None:
    quantizer = averaged(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), decay=0.8)
    for _ in range(80):
        quantizer(0.1 * torch.randn(50, 2))
    assert quantizer.codebook[1].tolist() == [3.0, 4.0]


def test_13_kmeans_with_fewer_vectors_than_codewords() -> None:
    quantizer = VectorQuantizer(4, 64, auto_update=False)
    quantizer(3 + torch.randn(5, 4))
    assert (quantizer.codebook.norm(dim=-1) > 1).all()
    assert torch.pdist(quantizer.codebook).min() > 0


@pytest.mark.parametrize("count", [16, 16_000])
def test_14_revival_is_relative_to_batch_and_book(count: int) -> None:
    quantizer = VectorQuantizer(4, 64, revival=Revival(), initialization=Normal())
    even = torch.randn(64, 4)
    quantizer.codebook = even
    for step in range(24):  # every codeword gets its share, over four updates for the small batch
        quantizer(even.repeat(-(-count // 64), 1).roll(16 * step, 0)[:count])
    assert torch.allclose(quantizer.codebook, even, atol=1e-4)  # none was replaced
    lonely = averaged(torch.cat([even[:1], 1e3 + even[1:]]), revival=Revival(decay=0.5))
    for _ in range(40):
        lonely(even[:1] + 0.1 * torch.randn(count, 4))
    assert (lonely.codebook.norm(dim=-1) < 100).sum() > 50


def test_14_revived_codewords_keep_no_old_sums_and_come_from_every_item() -> None:
    quantizer = averaged(1e3 + torch.randn(64, 2), revival=Revival(decay=0.5))
    items = torch.stack([torch.full((50, 2), 10.0 * i) for i in range(4)])  # (items, T, D)
    for _ in range(3):
        quantizer(items + 0.01 * torch.randn(4, 50, 2))
    near = [int(((quantizer.codebook - 10.0 * i).abs() < 1).all(-1).sum()) for i in range(4)]
    assert min(near) >= 3  # from all four, and none thrown back to 1000
    assert sum(near) >= 60


def test_15_a_codebook_set_by_hand_stays() -> None:
    quantizer = averaged(torch.randn(8, 4))
    for _ in range(5):
        quantizer(torch.randn(100, 4))
    book = 5 * torch.randn(8, 4)
    quantizer.codebook = book
    quantizer(book)
    assert torch.allclose(quantizer.codebook, book, rtol=1e-4)


def test_16_orthogonality_with_moving_averages_is_refused() -> None:
    with pytest.raises(OptionError, match="moving averages, which overwrite its effect"):
        VectorQuantizer(4, 8, orthogonality_weight=0.1)
    quantizer = learned(torch.ones(2, 2), orthogonality_weight=1.0)
    with torch.no_grad():
        quantizer.book.weight += torch.tensor([[0.1, 0.0], [0.0, 0.1]])
    quantizer(torch.zeros(1, 2)).losses["orthogonality"].backward()
    assert quantizer.book.weight.grad.abs().max() > 0.01


def test_17_rotation_at_and_near_the_origin() -> None:
    values = torch.ones(3, 4)
    z = torch.stack([torch.zeros(4), torch.full((4,), 1e-20), torch.full((4,), 1e-7)])
    z.requires_grad_()
    out = rotation(z, values)
    assert torch.equal(out, values)
    out.sum().backward()
    assert z.grad.isfinite().all()
    assert z.grad.norm(dim=-1).max() <= 4 * 2 * 1.001  # the gain is at most 4


def test_18_every_stage_has_its_commitment_gradient() -> None:
    quantizer = ResidualQuantizer([learned(torch.randn(16, 8)) for _ in range(4)])
    z = torch.randn(50, 8, requires_grad=True)
    losses = quantizer(z).losses["commitment"]
    norms = [torch.autograd.grad(term, z, retain_graph=True)[0].norm() for term in losses]
    assert min(norms) > 1e-3


def test_18_a_shared_book_decays_once() -> None:
    quantizer = ResidualQuantizer([averaged(torch.randn(4, 8))], repeat=4)
    book = quantizer.stages[0].book
    total = book.mass.sum()
    quantizer(torch.randn(50, 8))
    assert book.mass.sum().item() == pytest.approx(0.9 * total.item() + 0.1 * 4 * 50, rel=1e-5)


def test_19_large_books_start_at_the_scale_of_small_ones() -> None:
    z = F.normalize(torch.randn(20_000, 4), dim=-1)
    shares = []
    for size in (64, 2048):
        quantizer = VectorQuantizer(4, size, initialization=Normal())
        shares.append(quantizer.encode(z).unique().numel() / size)
        assert quantizer.codebook.square().sum(-1).mean().item() == pytest.approx(1.0, rel=0.2)
    assert min(shares) > 0.3  # 0.07 elsewhere


def test_20_half_precision_keeps_statistics_and_codes() -> None:
    quantizer = averaged(torch.randn(16, 8)).bfloat16()
    assert quantizer.book.mass.dtype == quantizer.book.weight.dtype == torch.float32
    with torch.no_grad():
        quantizer.book.mass.fill_(256.0)
    quantizer(torch.randn(4, 8).bfloat16())
    assert not torch.equal(quantizer.book.mass, torch.full((16,), 256.0))
    full = averaged(1000 + torch.randn(64, 8), auto_update=False)
    z = 1000 + torch.randn(300, 8)
    expected = full(z).codes
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(full(z).codes, expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_21_checkpointing_counts_once(reentrant: bool) -> None:
    quantizer = averaged(torch.randn(8, 4))
    before = quantizer.book.mass.sum().item()
    z = torch.randn(30, 4, requires_grad=True)
    checkpoint(lambda x: quantizer(x).values, z, use_reentrant=reentrant).sum().backward()
    assert quantizer.book.mass.sum().item() == pytest.approx(0.9 * before + 0.1 * 30)


def test_21_micro_batches_count_once() -> None:
    quantizer = averaged(torch.randn(8, 4), auto_update=False)
    before = quantizer.book.mass.sum().item()
    for part in torch.randn(30, 4).split(10):
        quantizer(part)
    quantizer.update()
    assert quantizer.book.mass.sum().item() == pytest.approx(0.9 * before + 0.1 * 30)


# robustness


def some_quantizers() -> list[Quantizer]:
    return [
        VectorQuantizer(8, 16),
        VectorQuantizer(8, 16, codebook_dim=3, learning=Gradient()),
        GumbelQuantizer(8, 16),
        LookupFreeQuantizer(8),
        ResidualQuantizer([VectorQuantizer(8, 16) for _ in range(2)]),
        ProductQuantizer([VectorQuantizer(4, 16), VectorQuantizer(4, 16)]),
    ]


def test_22_one_nan_poisons_nothing() -> None:
    for quantizer in some_quantizers():
        z = torch.randn(50, 8)
        z[7, 3] = torch.nan
        assert quantizer(z).loss.isfinite()
        assert all(t.isfinite().all() for t in quantizer.state_dict().values())


def test_22_nothing_to_count_gives_zero() -> None:
    for quantizer in some_quantizers():
        quantizer(torch.randn(50, 8))
        for z, mask in ((torch.randn(5, 8), torch.zeros(5).bool()), (torch.zeros(0, 8), None)):
            assert quantizer(z, mask).loss.item() == 0
        assert all(t.isfinite().all() for t in quantizer.state_dict().values())


def test_23_masks_work_with_every_part_and_shape() -> None:
    for quantizer in some_quantizers():
        quantizer.channel_dim = 1
        result = quantizer(torch.randn(2, 8, 3, 5), torch.rand(2, 3, 5) > 0.5)
        assert result.values.shape == (2, 8, 3, 5)
        assert quantizer(torch.randn(9, 8), torch.rand(9) > 0.5).values.shape == (9, 8)
        quantizer.channel_dim = -1
        assert quantizer(torch.randn(2, 3, 4, 5, 8)).values.shape == (2, 3, 4, 5, 8)


def test_24_codes_out_of_range_are_refused() -> None:
    for code in (-1, 16, 1000):
        with pytest.raises(CodeError, match=r"expected codes in \[0, 15\]"):
            VectorQuantizer(8, 16).decode(torch.tensor([3, code]))


def test_25_evaluation_and_frozen_change_nothing() -> None:
    for quantizer in some_quantizers():
        quantizer(torch.randn(50, 8))
        before = {name: t.clone() for name, t in quantizer.state_dict().items()}
        quantizer.eval()(torch.randn(50, 8))
        quantizer.train().freeze()
        quantizer(torch.randn(50, 8))
        codes = quantizer.encode(torch.randn(50, 8))
        kept = codes.clone()
        quantizer.decode(codes)
        assert torch.equal(codes, kept)
        assert all(torch.equal(t, before[name]) for name, t in quantizer.state_dict().items())


@pytest.mark.parametrize("spherical", [True, False])
def test_26_residual_stages_decode_to_their_values(spherical: bool) -> None:
    stages = [LookupFreeQuantizer(8, spherical=spherical, scale=2.0**-i) for i in range(3)]
    rotated = [averaged(torch.randn(16, 8), estimator="rotation") for _ in range(3)]
    for quantizer in (ResidualQuantizer(stages), ResidualQuantizer(rotated, auto_update=False)):
        for training in (True, False):
            result = quantizer.train(training)(3 * torch.randn(100, 8))
            assert torch.equal(result.values, quantizer.decode(result.codes))


WIDTH_ONE: dict[str, Callable[[], Quantizer]] = {
    "euclidean": lambda: VectorQuantizer(1, 16),
    "rotation": lambda: VectorQuantizer(1, 16, estimator="rotation", learning=Gradient()),
    "cosine": lambda: VectorQuantizer(1, 2, distance="cosine"),
    "narrow": lambda: VectorQuantizer(8, 16, codebook_dim=1),
    "gumbel": lambda: GumbelQuantizer(1, 16),
    "bernoulli": lambda: BernoulliQuantizer(1, bits=1),
    "lookup_free": lambda: LookupFreeQuantizer(1),
    "finite_scalar": lambda: FiniteScalarQuantizer([5]),
    "residual": lambda: ResidualQuantizer([VectorQuantizer(1, 16) for _ in range(2)], beam=2),
    "conditional": lambda: ConditionalResidualQuantizer(1, 4, stages=2, hidden=4),
    "product": lambda: ProductQuantizer([VectorQuantizer(1, 16)]),
    "multi_scale": lambda: MultiScaleQuantizer([VectorQuantizer(1, 16)], (1, 2)),
}


@pytest.mark.parametrize("name", WIDTH_ONE)
def test_32_one_axis_of_width_one_stays(name: str) -> None:
    quantizer = WIDTH_ONE[name]()
    for channel, shape in ((-1, (3, 2, 2, quantizer.dim)), (1, (3, quantizer.dim, 2, 2))):
        quantizer.channel_dim = channel
        z = torch.randn(shape, requires_grad=True)
        for training in (True, False):
            result = quantizer.train(training)(z)
            assert result.values.shape == shape
            assert quantizer.decode(result.codes).shape == shape
            (result.values.sum() + result.loss).backward()
        assert z.grad.shape == shape and z.grad.isfinite().all()


def test_32_scalars_get_their_nearest_codewords() -> None:
    book, z = torch.randn(64, 1), torch.randn(500, 1)
    for quantizer in (averaged(book), ProductQuantizer([averaged(book)]), averaged(book).double()):
        nearest = (z.double() - book.double().T).abs().argmin(-1)
        assert torch.equal(quantizer.encode(z).flatten(), nearest)


def perplexity_with(diversity: float) -> float:
    """That of the codes after 60 steps on vectors that all begin near one codeword of eight."""
    angles = torch.arange(8) * math.pi / 4
    quantizer = learned(
        torch.stack([angles.cos(), angles.sin()], -1), diversity_weight=diversity
    ).eval()
    z = torch.tensor([0.6, 0.1]) + 0.2 * torch.randn(200, 2)
    z.requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        quantizer(z).loss.backward()
        optimizer.step()
    shares = quantizer.encode(z).bincount(minlength=8) / 200
    return float(torch.special.entr(shares).sum().exp())


def test_33_more_weight_on_diversity_gives_more_perplexity() -> None:
    without, little, much = (perplexity_with(weight) for weight in (0.0, 0.1, 1.0))
    assert without < little < much
    assert much > 2 * without


@pytest.mark.parametrize("learning", [Gradient(), EMA()])
def test_34_beam_search_through_projections(learning: object) -> None:
    stages = [VectorQuantizer(8, 16, codebook_dim=3, learning=learning) for _ in range(3)]
    quantizer = ResidualQuantizer(stages, beam=4)
    z = torch.randn(200, 8, requires_grad=True)
    quantizer(z)  # k-means
    result = quantizer(z)
    (result.values.square().mean() + result.loss).backward()
    assert z.grad.isfinite().all() and (z.grad != 0).any(-1).all()
    for stage in stages:
        assert stage.project_in.weight.grad.abs().sum() > 0
        assert stage.project_out.weight.grad.abs().sum() > 0
    quantizer.eval()
    errors = []
    for quantizer.beam in (1, 4):
        assert torch.equal(quantizer(z).values, quantizer.decode(quantizer.encode(z)))
        errors.append((quantizer(z).values - z).square().sum(-1))
    assert (errors[1] <= errors[0] * (1 + 1e-5)).all()
    assert errors[1].mean() < errors[0].mean()


# distributed


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = ranks.run(str(tmp_path_factory.mktemp("ranks")), only=ranks.DEFECTS)
    return {name: text for on_rank in found for name, text in on_rank.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ranks.DEFECTS)
def test_27_to_30_two_ranks(name: str, on_two_ranks: dict[str, str]) -> None:
    assert name not in on_two_ranks, on_two_ranks[name]


# tooling


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_31_no_graph_breaks(training: bool) -> None:
    quantizer = VectorQuantizer(8, 16, codebook_dim=4, initialization=KMeans()).train(training)
    explanation = torch._dynamo.explain(quantizer)(torch.randn(50, 8))
    assert explanation.graph_break_count == 0


class Codes(torch.nn.Module):
    """What `torch.export` takes: a module from tensors to tensors."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.quantizer.encode(z)
        return codes, self.quantizer.decode(codes)


@pytest.mark.slow
def test_31_exports() -> None:
    for quantizer in some_quantizers():
        quantizer(torch.randn(50, 8))
        module, z = Codes(quantizer.eval()), torch.randn(50, 8)
        program = torch.export.export(module, (z,)).module()
        assert all(torch.equal(a, b) for a, b in zip(program(z), module(z), strict=True))
