"""The rate term: exact entropy-constrained search, averaged shares, the pinned zero."""

from __future__ import annotations

import pytest
import torch

from vocabula import KMeans, RateTerm, ResidualQuantizer, VectorQuantizer, load
from vocabula.errors import OptionError
from vocabula.functional import nearest_codeword
from vocabula.quantizers import CollapseWatch
from vocabula.tokenizers import build_tokenizer


def skewed(**options: object) -> VectorQuantizer:
    """Codewords 0, 1 and 3 on a line, of shares 1/2, 1/4, 1/4."""
    quantizer = VectorQuantizer(1, 3, rate=RateTerm(0.5), **options).eval()
    quantizer.codebook = torch.tensor([[0.0], [1.0], [3.0]])
    quantizer.rate.share.copy_(torch.tensor([0.5, 0.25, 0.25]))
    return quantizer


def test_thresholds_by_hand() -> None:
    # Bits 1 and 2, half a unit each: between 0 and 1 the costs z^2 + 1/2 and (z - 1)^2 + 1 are
    # equal at 3/4; between 1 and 3 the bits are equal, and the threshold stays at 2.
    quantizer = skewed()
    assert torch.allclose(quantizer.rate.bits(), torch.tensor([1.0, 2.0, 2.0]), atol=1e-4)
    z = torch.tensor([[0.74], [0.76], [1.99], [2.01]])
    assert quantizer.encode(z).tolist() == [0, 1, 1, 2]
    assert quantizer.candidates(z[:1], 3).tolist() == [[0, 1, 2]]
    found = quantizer.distances(z[:1], torch.tensor([[0, 1]]))
    expected = torch.tensor([[0.74**2 + 0.5, 0.26**2 + 1.0]])
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(quantizer(z).losses["rate"], torch.tensor(1.75), atol=1e-4)


def test_a_larger_scale_makes_codes_cheaper() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 64, rate=RateTerm(0.05))
    for _ in range(30):
        quantizer(torch.randn(512, 4))
    z, bits, errors = torch.randn(4096, 4), [], []
    quantizer.eval()
    for scale in (0.0, 1.0, 4.0, 16.0):
        quantizer.rate.scale = scale
        values = quantizer(z)
        bits.append(values.losses["rate"].item())
        errors.append((values.values - z).square().mean().item())
    assert bits == sorted(bits, reverse=True) and bits[0] > bits[-1]
    assert errors == sorted(errors)


def test_the_search_equals_brute_force_on_a_million_rows() -> None:
    torch.manual_seed(0)
    rows, codebook = torch.randn(1_000_000, 4), torch.randn(24, 4)
    quantizer = VectorQuantizer(4, 24, rate=RateTerm(0.3)).eval()
    quantizer.codebook = codebook
    quantizer.rate.share.copy_(torch.rand(24).softmax(0).pow(3))
    penalties = quantizer.rate.penalties().double()
    codes = quantizer.encode(rows)
    wrong = 0
    for part, found in zip(rows.double().split(2**17), codes.split(2**17), strict=True):
        costs = torch.cdist(part, codebook.double()).square() + penalties
        best, chosen = costs.amin(1), costs.gather(1, found[:, None])[:, 0]
        assert (chosen - best).max() < 1e-5  # where float32 cannot tell two costs apart
        wrong += int((chosen != best).sum())
    assert wrong < 20


def test_shares_are_moving_averages_that_start_with_the_books_hits() -> None:
    quantizer = VectorQuantizer(1, 2, rate=RateTerm(1e-6, decay=0.75))
    quantizer.codebook = torch.tensor([[-1.0], [1.0]])
    assert quantizer.rate.share.tolist() == [0.5, 0.5]
    quantizer.train()(torch.tensor([[-1.0], [-1.0], [-1.0], [1.0]]))
    # 3/4 of (1/2, 1/2) and 1/4 of (3/4, 1/4)
    assert torch.allclose(quantizer.rate.share, torch.tensor([0.5625, 0.4375]))
    quantizer(torch.zeros(0, 1))
    assert torch.allclose(quantizer.rate.share, torch.tensor([0.5625, 0.4375]))
    assert quantizer.rate.share.sum() == 1


def test_rate_and_error_beat_the_plain_quantizer_of_fewer_codewords() -> None:
    # Chou et al. 1989: at equal entropy the constrained codebook has less error than a plain one.
    torch.manual_seed(0)
    data = torch.randn(20_000, 2) * torch.distributions.Laplace(0.0, 1.0).sample((20_000, 1))
    constrained = VectorQuantizer(2, 64, rate=RateTerm(0.5))
    plain = VectorQuantizer(2, 8)
    for _ in range(80):
        batch = data[torch.randint(len(data), (2000,))]
        constrained(batch), plain(batch)
    figures = {}
    for name, quantizer in (("constrained", constrained), ("plain", plain)):
        found = quantizer.eval()(data)
        shares = torch.bincount(found.codes, minlength=64) / len(data)
        entropy = -(shares * shares.clamp_min(1e-12).log2()).sum().item()
        figures[name] = entropy, (found.values - data).square().sum(1).mean().item()
    assert figures["constrained"][0] < figures["plain"][0]
    assert figures["constrained"][1] < 0.5 * figures["plain"][1]


def test_the_null_codeword_is_zero_whatever_it_learns() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(3, 8, rate=RateTerm(0.01, null=True))
    for _ in range(20):
        quantizer(torch.randn(64, 3) + 1)
    assert quantizer.codebook[0].tolist() == [0, 0, 0]
    assert quantizer.decode(torch.tensor([0])).tolist() == [[0, 0, 0]]
    (new,) = quantizer.prune([torch.tensor([0, 1, 0, 1, 1, 1, 1, 1])])
    assert new[0] == 0 and quantizer.codebook[0].tolist() == [0, 0, 0]
    assert quantizer.rate.share.sum().item() == pytest.approx(1)


def test_stages_with_null_codewords_spend_no_bits_on_silence() -> None:
    torch.manual_seed(0)
    active = torch.rand(4096, 1) < 0.2
    data = torch.where(active, torch.randn(4096, 4), 0.01 * torch.randn(4096, 4))
    stack = ResidualQuantizer.repeat(
        3, dim=4, codebook_size=32, rate=RateTerm(0.02, null=True), beam=2
    )
    for _ in range(60):
        stack(data)
    codes = stack.eval().encode(data)
    assert (codes[~active[:, 0]] == 0).all()
    bits = stack(data).losses["rate"]
    assert bits.shape == (3,) and bits.sum() < 0.5 * 15


def test_unequal_use_is_no_collapse() -> None:
    silence = torch.zeros(1024, 2)
    priced, plain = (VectorQuantizer(2, 64, rate=r) for r in (RateTerm(0.1, null=True), None))
    for quantizer, told in ((priced, False), (plain, True)):
        quantizer(silence + 0.01 * torch.randn(1024, 2))
        for _ in range(200):
            quantizer(silence)
        report = quantizer.usage_report()
        assert bool(report.advice) == told
        watch = CollapseWatch(quantizer=quantizer, warmup=0)
        assert bool(watch.observe(1, report, quantizer(silence).losses)) == told


def test_the_beam_counts_bits() -> None:
    # One vector at 2: stage one offers 0 (1 bit) and 2 (1 bit), stage two 0 (dear) and 2 (cheap).
    # By error alone 2 + 0 and 0 + 2 are equal and the first is kept; by cost the cheap one wins.
    first, second = (VectorQuantizer(1, 2, rate=RateTerm(0.1)) for _ in range(2))
    first.codebook = torch.tensor([[2.0], [0.0]])
    second.codebook = torch.tensor([[0.0], [2.0]])
    second.rate.share.copy_(torch.tensor([0.01, 0.99]))
    stack = ResidualQuantizer([first, second], beam=2).eval()
    assert stack.encode(torch.tensor([[2.0]])).tolist() == [[1, 1]]


def test_a_tokenizer_keeps_its_shares(tmp_path) -> None:
    specs = {
        "signal": "vector",
        "encoder": "identity",
        "decoder": "identity",
        "likelihood": "normal",
        "quantizer": {
            "name": "vector",
            "codebook_size": 16,
            "rate": {"name": "rate", "weight": 0.1, "null": True},
        },
    }
    torch.manual_seed(0)
    tokenizer = build_tokenizer(specs, 4)
    tokenizer.train()(torch.randn(256, 4))
    tokenizer.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    x = torch.randn(64, 4)
    assert torch.equal(again.quantizer.rate.share, tokenizer.quantizer.rate.share)
    assert torch.equal(again.encode(x), tokenizer.eval().encode(x))
    assert again.fingerprint() == tokenizer.fingerprint()


@pytest.mark.parametrize("options", [{"weight": 0}, {"weight": -1}, {"weight": float("nan")}])
def test_weights_that_are_none(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="weight"):
        RateTerm(**options)


def test_refusals() -> None:
    with pytest.raises(OptionError, match="decay"):
        RateTerm(0.1, decay=1.0)
    with pytest.raises(OptionError, match="null"):
        VectorQuantizer(4, 8, distance="cosine", rate=RateTerm(0.1, null=True))


def test_the_plain_search_is_that_of_equal_shares() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 16, rate=RateTerm(10.0)).eval()
    z = torch.randn(500, 4)
    assert torch.equal(quantizer.encode(z), nearest_codeword(z, quantizer.codebook))


def test_each_context_has_its_own_table() -> None:
    quantizer = VectorQuantizer(1, 2, rate=RateTerm(0.5, contexts=2)).eval()
    quantizer.codebook = torch.tensor([[0.0], [1.0]])
    quantizer.rate.share.copy_(torch.tensor([[0.5, 0.5], [15 / 16, 1 / 16]]))
    # After silence both cost 1 bit: the threshold is 1/2. After activity they cost .093 and 4
    # bits: z^2 + .0465 = (z - 1)^2 + 2 at z = 1.477.
    z = torch.tensor([[0.49], [0.51], [1.47], [1.48]])
    assert quantizer.encode(z).tolist() == [0, 1, 1, 1]
    quantizer.activity = torch.full((4,), 0.1)
    assert quantizer.encode(z).tolist() == [0, 0, 0, 1]
    assert quantizer.candidates(z, 2)[:, 0].tolist() == [0, 0, 0, 1]
    quantizer.activity = torch.tensor([0.0, 0.1])
    found = quantizer.distances(z[:2], torch.tensor([[0, 1], [0, 1]]))
    assert torch.allclose(found[1] - found[0], torch.tensor([-0.43345 + 0.0, 1.48]), atol=0.03)


def test_stages_learn_tables_for_silence_and_for_activity() -> None:
    torch.manual_seed(0)
    rate = RateTerm(0.02, null=True, contexts=4)
    books = [VectorQuantizer(4, 16, rate=rate, initialization=KMeans(refit_until=0)) for _ in "ab"]
    stack = ResidualQuantizer(books, beam=4)
    z = torch.randn(1024, 4) * (torch.rand(1024, 1) < 0.3)
    for _ in range(200):
        stack(z)
    stack.eval()
    table = books[1].rate.bits()
    assert 2 * table[0, 0] < table[-1, 0]  # little follows silence
    codes = stack.encode(z)
    assert torch.equal(codes, stack(z).codes)
    first = stack.stages[0].decode(codes[:, 0]).square().sum(-1)
    context = (1 + first / 0.02).log2().div(2).ceil().clamp(0, 3).long()
    paid = 0.02 * (books[0].rate.bits()[0][codes[:, 0]] + table[context, codes[:, 1]])
    assert torch.allclose(stack._penalties(codes), paid, atol=1e-5)


def test_tables_follow_from_the_coarser_level() -> None:
    rate = {"name": "rate", "weight": 1e-3, "contexts": 4}
    level = {
        "name": "linear",
        "encoder": {"name": "lapped", "downsample": 2, "dim": 4},
        "quantizer": {"name": "vector", "dim": 4, "codebook_size": 16, "rate": rate},
    }
    decoder = {"name": "lapped", "downsample": 2}
    torch.manual_seed(0)
    tokenizer = build_tokenizer(
        {
            "level1": level | {"decoder": decoder | {"out_channels": 1}},
            "level2": level | {"decoder": decoder | {"added": 1}},
        },
        1,
    )
    x = torch.rand(4, 1, 32, 32)
    x[..., 16:] = 0.5
    for _ in range(20):
        tokenizer(x)
    assert (tokenizer.levels[1].quantizer.rate.share.std(1) > 0).sum() > 1
    fine = tokenizer.eval().encode(x)[1]
    assert torch.equal(tokenizer(x).levels[1].codes, fine)


def test_the_weight_spreads_in_training_alone() -> None:
    quantizer = VectorQuantizer(2, 4, rate=RateTerm(0.5, spread=4.0))
    rate = quantizer.rate
    seen = []
    for _ in range(64):
        seen.append((rate.penalties()[0] / rate.eval().penalties()[0]).item())
        rate.train()
        rate.update(torch.ones(4))
    assert 0.25 <= min(seen) < 0.27 and 3.7 < max(seen) <= 4
    halves = sum(one < 1 for one in seen)
    assert 31 <= halves <= 33


def test_a_traced_graph_searches_alike() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(3, 8, rate=RateTerm(0.3, contexts=4)).eval()
    quantizer.rate.share.copy_(torch.rand(4, 8).softmax(-1).pow(2))
    z, activity = torch.randn(50, 3), torch.rand(50) * 20

    def codes(z: torch.Tensor, activity: torch.Tensor) -> torch.Tensor:
        quantizer.activity = activity
        return quantizer.encode(z)

    expected = codes(z, activity)
    traced = torch.compile(codes, backend="eager", fullgraph=True)
    assert torch.equal(traced(z, activity), expected)
    penalties = quantizer.rate.penalties()[quantizer.rate.contexts(activity, 50)]
    costs = torch.cdist(z, quantizer.codebook).square() + penalties
    assert torch.equal(costs.argmin(1), expected)
    quantizer.activity = None
    assert quantizer.encode(z[:0]).shape == (0,)
