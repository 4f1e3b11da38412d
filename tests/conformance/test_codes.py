"""Codes and values are two names of one thing, and evaluation leaves no trace."""

from __future__ import annotations

import pytest
import torch

from conformance.rows import ROWS, Row, data, prepare
from vocabula.errors import CodeError
from vocabula.quantizers import Quantizer
from vocabula.quantizers.local_state import local_tensors

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def held(quantizer: Quantizer) -> dict[str, torch.Tensor]:
    """All that a quantizer holds besides parameters."""
    return {**dict(quantizer.named_buffers()), **local_tensors(quantizer)}


@pytest.mark.parametrize(
    ("row", "training"),
    [
        pytest.param(row, training, id=f"{row.name}-{'training' if training else 'evaluation'}")
        for row in ROWS
        for training in (True, False)
        if not (row.soft and training)  # asked to return mixtures
    ],
)
def test_values_are_decoded_codes_bit_for_bit(row: Row, training: bool) -> None:
    quantizer = prepare(row, training=training, auto_update=False)
    for scale in (1e-3, 1.0, 100.0):
        result = quantizer(scale * data(40, 5))
        assert torch.equal(result.values, quantizer.decode(result.codes))


@by_row
def test_encode_gives_the_codes_of_evaluation(row: Row) -> None:
    quantizer = prepare(row)
    z = data(200)
    codes = quantizer.encode(z)
    assert torch.equal(quantizer.encode(z), codes)
    assert torch.equal(quantizer.eval()(z).codes, codes)
    assert torch.equal(quantizer(z).codes, codes)
    if not row.random:
        quantizer.auto_update = False
        assert torch.equal(quantizer.train()(z).codes, codes)


@by_row
def test_evaluation_changes_no_state(row: Row) -> None:
    quantizer = prepare(row, training=False)
    before = {name: t.clone() for name, t in held(quantizer).items()}
    parameters = {name: t.clone() for name, t in quantizer.named_parameters()}
    generator = torch.get_rng_state()
    for _ in range(3):
        quantizer(data(200).requires_grad_()).values.sum().backward()
        quantizer.decode(quantizer.encode(data(50)))
    quantizer.usage_report()
    assert all(torch.equal(t, before[name]) for name, t in held(quantizer).items())
    assert all(torch.equal(t, parameters[name]) for name, t in quantizer.named_parameters())
    assert torch.equal(torch.get_rng_state(), generator)


@by_row
def test_encode_and_decode_change_no_state_in_training(row: Row) -> None:
    quantizer = prepare(row)
    before = {name: t.clone() for name, t in held(quantizer).items()}
    quantizer.decode(quantizer.encode(data(50)))
    assert all(torch.equal(t, before[name]) for name, t in held(quantizer).items())


@by_row
def test_input_is_not_changed(row: Row) -> None:
    quantizer, z = prepare(row), data(50)
    mask = torch.arange(50) % 2 == 0
    quantizer(z, mask)
    codes = quantizer.encode(z)
    kept = codes.clone()
    quantizer.decode(codes)
    assert torch.equal(z, data(50))
    assert torch.equal(mask, torch.arange(50) % 2 == 0)
    assert torch.equal(codes, kept)


@by_row
def test_decode_refuses_what_is_no_code(row: Row) -> None:
    quantizer = prepare(row)
    codes = quantizer.encode(data(5))
    for bad in (codes - 10_000, codes + 10_000_000):
        with pytest.raises(CodeError, match="expected codes in"):
            quantizer.decode(bad)
    with pytest.raises(CodeError, match="expected integer codes"):
        quantizer.decode(codes.float())
    if quantizer.code_shape:
        with pytest.raises(CodeError, match=f"got \\(5, {quantizer.books + 1}\\)"):
            quantizer.decode(torch.cat([codes, codes[:, :1]], 1))


@by_row
def test_frozen_learns_nothing(row: Row) -> None:
    quantizer = prepare(row)
    quantizer.freeze()
    before = {name: t.clone() for name, t in quantizer.state_dict().items()}
    for seed in range(8):
        quantizer(3 * data(100, seed=seed))
    quantizer.update()
    after = quantizer.state_dict()
    assert all(torch.equal(t, after[name]) for name, t in before.items())
    assert not any(p.requires_grad for p in quantizer.parameters())
    quantizer.freeze(False)
    assert all(p.requires_grad for p in quantizer.parameters())


@by_row
def test_usage_report(row: Row) -> None:
    quantizer = prepare(row)
    quantizer(data(200))
    report = quantizer.usage_report()
    assert report.usage.shape == report.perplexity.shape == (quantizer.books,)
    assert ((report.usage > 0) & (report.usage <= 1)).all()
    sizes = torch.tensor(quantizer.codebook_sizes)
    assert ((report.perplexity >= 1) & (report.perplexity <= sizes + 1e-3)).all()
    assert (report.dead + (report.usage * sizes).round() == sizes).all()
