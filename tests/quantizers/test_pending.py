"""Statistics that wait for an update survive saving; without them a state looks as ever."""

from __future__ import annotations

import copy
import datetime
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from processes import spawn
from vocabula.nn import MLPDecoder, MLPEncoder
from vocabula.quantizers import (
    EMA,
    Annealing,
    Gradient,
    GumbelQuantizer,
    Normal,
    ProductQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vocabula.quantizers.local_state import local_tensors
from vocabula.signals import Vector
from vocabula.tokenizers import Tokenizer, load
from vocabula.training.restoring import load_model


def data(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))


def vector(**options: object) -> VectorQuantizer:
    return VectorQuantizer(4, 8, auto_update=False, **options)


MAKES = {
    "k-means": vector,
    "gradient": lambda: vector(learning=Gradient(), initialization=Normal()),
    "no revival": lambda: vector(revival=None, initialization=Normal()),
    "gumbel": lambda: GumbelQuantizer(
        4, 8, temperature=Annealing(1.0, 0.1, steps=3), auto_update=False
    ),
    "residual": lambda: ResidualQuantizer([vector()], repeat=2, auto_update=False),
    "product": lambda: ProductQuantizer([VectorQuantizer(2, 4)] * 2, auto_update=False),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize("assign", [False, True])
def test_a_micro_batch_before_the_save_counts_after_it(make: type[Quantizer], assign: bool) -> None:
    torch.manual_seed(0)
    original, loaded = make(), make()
    original(data(40, 0))
    original.update()
    original(data(40, 1))
    state = copy.deepcopy(original.state_dict())
    assert any("pending_" in name for name in state)
    loaded.load_state_dict(state, strict=True, assign=assign)
    for quantizer in (original, loaded):
        torch.manual_seed(1)
        quantizer(data(40, 2))
        quantizer.update()
    assert original.state_dict().keys() == make().state_dict().keys()
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    for name, tensor in local_tensors(original).items():
        assert torch.equal(local_tensors(loaded)[name], tensor), name


def test_by_hand() -> None:
    """The codeword is the mean of the vectors before and after the save."""
    one, two = (
        VectorQuantizer(
            1, 1, learning=EMA(decay=0.5, eps=1e-9), initialization=Normal(), auto_update=False
        )
        for _ in "ab"
    )
    one.codebook = torch.zeros(1, 1)
    one(torch.full((2, 1), 3.0))
    two.load_state_dict(one.state_dict())
    two(torch.full((1, 1), 9.0))
    two.update()
    # N = (1 + 3) / 2, m = (0 + 3 + 3 + 9) / 2
    torch.testing.assert_close(two.codebook, torch.full((1, 1), 7.5 / 2))


def test_an_older_state_leaves_nothing_waiting() -> None:
    quantizer = vector()
    quantizer(data(40, 0))
    quantizer.update()
    settled = copy.deepcopy(quantizer.state_dict())
    assert not any("pending" in name for name in settled)
    quantizer(data(40, 1))
    quantizer.load_state_dict(settled)
    assert quantizer.state_dict().keys() == settled.keys()


def test_a_size_that_does_not_fit_is_named() -> None:
    quantizer = vector()
    quantizer(data(40, 0))
    state = quantizer.state_dict() | {"pending_counts": torch.ones(3)}
    with pytest.raises(RuntimeError, match="size mismatch for pending_counts"):
        vector().load_state_dict(state)
    with pytest.raises(RuntimeError, match="pending_other"):
        vector().load_state_dict(quantizer.state_dict() | {"pending_other": torch.ones(3)})


def tokenizer() -> Tokenizer:
    torch.manual_seed(0)
    encoder, decoder = MLPEncoder(4, 4, hidden=8), MLPDecoder(4, 4, hidden=8)
    return Tokenizer(encoder, vector(initialization=Normal()), decoder, signal=Vector(4))


def test_a_saved_tokenizer_keeps_them_and_its_identity(tmp_path: Path) -> None:
    original = tokenizer().train()
    original.quantizer(data(40, 0))
    original.quantizer.update()
    before = original.fingerprint()
    original.quantizer(data(40, 1))
    assert original.fingerprint() == before
    original.save_pretrained(tmp_path)
    read = load(tmp_path)
    assert read.fingerprint() == before
    other = tokenizer()
    load_model(other, original.state_dict())
    for each in (original, read, other):
        each.quantizer.update()
    assert torch.equal(read.quantizer.codebook, original.quantizer.codebook)
    assert torch.equal(other.quantizer.codebook, original.quantizer.codebook)


def work(rank: int, folder: str) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    quantizer = VectorQuantizer(
        1, 1, learning=EMA(decay=0.5, eps=1e-9), initialization=Normal(), auto_update=False
    )
    quantizer.codebook = torch.zeros(1, 1)
    waiting = {
        "pending_counts": torch.full((1,), 2.0),
        "book.pending_sums": torch.full((1, 1), 6.0),
    }
    quantizer.load_state_dict(quantizer.state_dict() | waiting)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = quantizer.state_dict()
    told = any("call update() before saving" in str(w.message) for w in caught)
    quantizer.update()
    torch.save((told, sorted(state), quantizer.codebook), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_in_a_group_they_count_once_and_a_save_says_that_they_are_lost(tmp_path: Path) -> None:
    spawn(work, str(tmp_path), ranks=2)
    for rank in range(2):
        told, names, codebook = torch.load(tmp_path / f"{rank}.pt")
        assert told == (rank == 0)  # the other process has nothing that waits
        assert not any("pending" in name for name in names)
        # N = (1 + 2) / 2, m = 6 / 2
        torch.testing.assert_close(codebook, torch.full((1, 1), 2.0))
