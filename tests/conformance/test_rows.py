"""Every registered quantizer has its row, and every row can be saved as settings."""

from __future__ import annotations

import inspect
import json

import pytest
import torch

from conformance.rows import ROWS, D, Row, data, prepare
from conformance.whole_grids import inside, on_vectors
from vocabula import quantizers, registry
from vocabula.quantizers import Quantizer


def test_every_public_quantizer_has_its_row() -> None:
    public = {
        thing
        for thing in vars(quantizers).values()
        if inspect.isclass(thing) and issubclass(thing, Quantizer) and not inspect.isabstract(thing)
    }
    assert {type(inside(row.make())) for row in ROWS} == public


def test_every_public_quantizer_is_registered() -> None:
    registered = {registry.lookup("quantizer", name) for name in registry.names("quantizer")}
    tested = {type(inside(row.make())) for row in ROWS}
    assert tested == {c for c in registered if issubclass(c, Quantizer)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_settings_round_trip(row: Row) -> None:
    original = prepare(row)
    saved = registry.spec(inside(original))
    assert json.loads(json.dumps(saved)) == saved
    registry.check("quantizer", saved)
    built = registry.build("quantizer", saved)
    assert type(built) is type(inside(original))
    assert registry.spec(built) == saved
    copy = on_vectors(built)
    copy.load_state_dict(original.state_dict())
    z = data(20)
    assert torch.equal(copy.eval()(z).values, original.eval()(z).values)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_says_its_width_and_books(row: Row) -> None:
    quantizer = prepare(row)
    assert quantizer.dim == D
    assert quantizer.code_shape == (() if quantizer.books == 1 else (quantizer.books,))
    expected = float(torch.tensor(quantizer.codebook_sizes).double().log2().sum())
    assert quantizer.bits == pytest.approx(expected)
    assert str(quantizer.codebook_sizes) in repr(quantizer)
