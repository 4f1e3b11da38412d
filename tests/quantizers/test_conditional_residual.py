from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from vocabula import registry
from vocabula.errors import CodeError, OptionError
from vocabula.quantizers import (
    ConditionalResidualQuantizer,
    Gradient,
    Quantizer,
    ResidualQuantizer,
)


def moved(**options: object) -> ConditionalResidualQuantizer:
    """A quantizer of 3 stages of 8 codes whose networks are far from the identity."""
    torch.manual_seed(0)
    quantizer = ConditionalResidualQuantizer(4, 8, stages=3, **options)
    quantizer(torch.randn(100, 4))
    with torch.no_grad():
        for parameter in quantizer.networks.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return quantizer.eval()


def codewords(quantizer: ConditionalResidualQuantizer, stage: int, total: Tensor) -> Tensor:
    """All codewords (K, D) of a stage after the partial sum (D,), by the formula of the paper."""
    book = quantizer.stages[stage].codebook
    if stage == 0:
        return book
    network = quantizer.networks[stage - 1]
    joined = torch.cat([network.of_code.weight, network.of_sum.weight], dim=1)
    both = torch.cat([book, total.expand(len(book), -1)], dim=1)
    state = book + both @ joined.T + network.of_code.bias
    for enter, leave in zip(network.enter, network.leave, strict=True):
        state = state + (state @ enter.weight.T).clamp_min(0) @ leave.weight.T
    return state.detach()


def test_codes_are_the_nearest_of_each_rows_own_codebook() -> None:
    quantizer, z = moved(), torch.randn(40, 4)
    codes = quantizer.encode(z)
    different = 0
    for row, found in zip(z, codes, strict=True):
        total = torch.zeros(4)
        for stage in range(3):
            book = codewords(quantizer, stage, total)
            squares = (row - total - book).square().sum(-1)
            assert found[stage] == squares.argmin()
            plain = (row - total - quantizer.stages[stage].codebook).square().sum(-1).argmin()
            different += int(found[stage] != plain)
            total = total + book[found[stage]]
        torch.testing.assert_close(quantizer.decode(found), total)
    assert different > 10  # a plain residual search would choose otherwise


def test_blocks_of_rows_give_what_all_rows_give(monkeypatch) -> None:
    quantizer, z = moved(), torch.randn(50, 4)
    expected = quantizer.encode(z)
    module = sys.modules[ConditionalResidualQuantizer.__module__]
    monkeypatch.setattr(module, "rows_per_block", lambda _: 7)
    assert torch.equal(quantizer.encode(z), expected)


def test_preselection_of_all_is_exact_and_of_one_is_the_nearest_entry() -> None:
    quantizer, z = moved(), torch.randn(60, 4)
    exact = quantizer.encode(z)
    quantizer.preselection = 7
    most = quantizer.encode(z)
    error = (z - quantizer.decode(exact)).square().mean()
    assert (most != exact).any()
    assert (z - quantizer.decode(most)).square().mean() < 1.2 * error
    quantizer.preselection = 1
    codes = quantizer.encode(z)
    left = z - quantizer.decode(codes[:, :1])
    squares = (left[:, None] - quantizer.stages[1].codebook).square().sum(-1)
    assert torch.equal(codes[:, 1], squares.argmin(-1))


def test_it_starts_as_plain_residual_quantization() -> None:
    torch.manual_seed(0)
    quantizer = ConditionalResidualQuantizer(4, 8, stages=3)
    quantizer(torch.randn(100, 4))
    plain = ResidualQuantizer(quantizer.eval().stages).eval()
    z = torch.randn(50, 4)
    assert torch.equal(quantizer.encode(z), plain.encode(z))
    assert torch.equal(quantizer(z).values, plain(z).values)


def test_prefixes_decode_to_partial_sums() -> None:
    quantizer, z = moved(), torch.randn(30, 4)
    codes = quantizer.encode(z)
    for stages in (1, 2):
        absent = codes.clone()
        absent[:, stages:] = -1
        assert torch.equal(quantizer.decode(codes[:, :stages]), quantizer.decode(absent))
    losses = quantizer(z).losses["codebook"]
    for stages in (1, 2, 3):
        error = (z - quantizer.decode(codes[:, :stages])).square().mean()
        torch.testing.assert_close(losses[stages - 1].detach(), error)
    with pytest.raises(CodeError, match="drop the last stages"):
        quantizer.decode(torch.tensor([[-1, 0, 0]]))


def mixture(count: int, seed: int) -> Tensor:
    """Vectors (count, 8) of 20 Gaussian clusters, each stretched along its own directions."""
    fixed = torch.Generator().manual_seed(0)
    centers = 3 * torch.randn(20, 8, generator=fixed)
    shapes = torch.randn(20, 8, 2, generator=fixed)
    drawn = torch.Generator().manual_seed(seed)
    which = torch.randint(20, (count,), generator=drawn)
    inside = torch.randn(count, 2, 1, generator=drawn)
    noise = 0.1 * torch.randn(count, 8, generator=drawn)
    return centers[which] + (shapes[which] @ inside)[..., 0] + noise


def error_by_stage(quantizer: Quantizer, steps: int) -> list[float]:
    """The test error of 1, 2, 3 stages after training on the mixture."""
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=5e-3)
    for step in range(steps):
        optimizer.zero_grad()
        quantizer(mixture(256, seed=10 + step)).loss.backward()
        optimizer.step()
    z = mixture(2000, seed=1)
    codes = quantizer.eval().encode(z)
    return [(z - quantizer.decode(codes[:, :n])).square().mean().item() for n in (1, 2, 3)]


def test_trained_it_beats_plain_residual_quantization_at_every_later_stage() -> None:
    torch.manual_seed(0)
    # The first stage of both is a plain book; this one is refitted, and so the better of the two.
    plain = ResidualQuantizer.repeat(3, dim=8, codebook_size=16, learning=Gradient())
    conditional = ConditionalResidualQuantizer(8, 16, stages=3, hidden=32)
    a, b = error_by_stage(conditional, 150), error_by_stage(plain, 150)
    assert a[0] > a[1] > a[2]
    assert a[1] < 0.9 * b[1]
    assert a[2] < 0.8 * b[2]


def test_wrong_options_are_named() -> None:
    for options, words in (
        ({"stages": 0}, "stages: expected an integer >= 1, got 0"),
        ({"preselection": 0}, "preselection: expected an integer >= 1 or none, got 0"),
        ({"hiden": 3}, "did you mean 'hidden'"),
    ):
        with pytest.raises(OptionError, match=words):
            ConditionalResidualQuantizer(4, 8, **options)


def test_weights_count_as_repeated_rows() -> None:
    quantizer, z = moved().train(), torch.randn(12, 4)
    quantizer.freeze()
    times = torch.tensor([0, 1, 2, 3] * 3)
    weighted = quantizer(z, weight=times.float())
    repeated = quantizer(z.repeat_interleave(times, 0))
    for name in ("commitment", "codebook"):
        torch.testing.assert_close(weighted.losses[name], repeated.losses[name])
    assert not torch.allclose(weighted.loss, quantizer(z).loss)
    quantizer.freeze(False)
    quantizer.auto_update = False
    quantizer(z, weight=times.float())
    for book, codes in zip(quantizer.stages, weighted.codes.unbind(-1), strict=True):
        expected = torch.zeros(8).scatter_add(0, codes, times.float())
        torch.testing.assert_close(book.pending_counts, expected)


def test_entries_replaced_in_vain_start_nearer_to_the_entry_of_the_vector() -> None:
    quantizer = moved(auto_update=False).train()
    quantizer.update()  # what the start left
    book = quantizer.stages[1]
    book.revival.vain.fill_(3)
    z = torch.randn(1, 4)
    codes = quantizer(z).codes
    left = z - quantizer.decode(codes[:, :1])
    entry = book.codebook[codes[0, 1]]
    expected = entry + (left - entry) / 8  # three halvings
    torch.testing.assert_close(book.revival.drawn, expected.expand(8, 4))


@pytest.mark.parametrize("preselection", [None, 2])
def test_pruning_keeps_what_the_other_codes_mean(preselection: int | None) -> None:
    quantizer, z = moved(preselection=preselection), torch.randn(6, 4)
    codes = quantizer.encode(z)
    values = quantizer.decode(codes)
    maps = quantizer.prune([column.bincount(minlength=8) for column in codes.unbind(-1)])
    new = torch.stack([m[c] for m, c in zip(maps, codes.unbind(-1), strict=True)], -1)
    assert quantizer.codebook_sizes == tuple(len(c.unique()) for c in codes.unbind(-1))
    torch.testing.assert_close(quantizer.decode(new), values)
    if preselection is None:
        assert torch.equal(quantizer.encode(z), new)
    again = registry.build("quantizer", registry.spec(quantizer))
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again.eval().decode(new), quantizer.decode(new))


def test_a_list_of_sizes_has_one_for_each_stage() -> None:
    assert ConditionalResidualQuantizer(4, [8, 3], stages=2).codebook_sizes == (8, 3)
    with pytest.raises(OptionError, match=r"one for each of the 4 stages, got \[8, 3\]"):
        ConditionalResidualQuantizer(4, [8, 3])
