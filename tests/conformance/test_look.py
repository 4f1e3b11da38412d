"""Where only the look learns, nothing that codes depend on moves, not even averages and counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from builders import HALF, SMALL, tiny_tokenizer
from conformance.rows import ROWS, D, Row
from vocabula.nn import VQVAEDecoder, VQVAEEncoder
from vocabula.nn.base import Encoder
from vocabula.quantizers import VectorQuantizer
from vocabula.tokenizers import SignalTokenizer, Tokenizer, build_tokenizer
from vocabula.tokenizers.gaussian_bottleneck import GaussianBottleneck
from vocabula.training.optimizers import AdamW
from vocabula.training.schedules import Constant
from vocabula.training.settings import Stage, TrainingOptions
from vocabula.training.trainer import Trainer

OTHERS = [Row("gaussian", lambda: GaussianBottleneck(D))]  # type: ignore[arg-type, return-value]


def trained(tokenizer: SignalTokenizer, *parts: str, channels: int = 1) -> Trainer:
    """A trainer after one step of everything and two of `parts`, by their difference in state."""
    every = ("encoder", "quantizer", "decoder", "likelihood")
    stages = (Stage(train=every, steps=1), Stage(train=parts, steps=2))
    options = TrainingOptions(steps=3, batch_size=4, stages=stages, channels_last=False)
    trainer = Trainer(
        tokenizer, options=options, optimizer=AdamW(weight_decay=0.1), schedule=Constant()
    )
    torch.manual_seed(0)
    trainer.train_step(torch.rand(4, channels, 16, 16))
    return trainer


def step(trainer: Trainer, channels: int = 1) -> None:
    for _ in range(2):
        trainer.train_step(torch.rand(4, channels, 16, 16))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("row", "part"),
    [(ROWS[0], "decoder"), *((row, "look") for row in [*ROWS, *OTHERS])],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_no_bottleneck_moves(row: Row, part: str) -> None:
    torch.manual_seed(0)
    quantizer, width = row.make(), {"hidden": 2, "residual_layers": 0, "downsample": 4}
    encoder, decoder = (
        VQVAEEncoder(1, quantizer.dim, **width),
        VQVAEDecoder(quantizer.dim, 1, **width),
    )
    trainer = trained(Tokenizer(encoder, quantizer, decoder), part)
    before, shown = [state(encoder), state(quantizer)], state(decoder)
    step(trainer)
    for module, old in zip((encoder, quantizer), before, strict=True):
        now = state(module)
        assert now.keys() == old.keys()
        assert [name for name in old if not now[name].equal(old[name])] == []
    assert any(not state(decoder)[name].equal(value) for name, value in shown.items())


@pytest.mark.parametrize("part", ["look", "decoder"])
def test_finer_codes_of_a_hierarchy_depend_on_coarser_decoders(part: str) -> None:
    trainer = trained(tiny_tokenizer("levels", channels=1).train(), part)
    before = trainer.tokenizer.codes_digest()
    step(trainer)
    assert (trainer.tokenizer.codes_digest() == before) == (part == "look")


def test_levels_that_see_nothing_of_one_another_keep_their_codes() -> None:
    quantizer = {"name": "vector", "dim": 8, "codebook_size": 16}
    levels = [{"encoder": n, "decoder": n, "quantizer": quantizer} for n in (SMALL, HALF)]
    specs = {f"level{i + 1}": {"name": "independent", **level} for i, level in enumerate(levels)}
    scales = {"name": "multi_scale", "stages": [quantizer], "scales": [1, 2]}
    for sections in (specs, {"encoder": SMALL, "decoder": SMALL, "quantizer": scales}):
        torch.manual_seed(0)
        trainer = trained(build_tokenizer(sections, 1), "decoder")
        before, whole = trainer.tokenizer.codes_digest(), trainer.tokenizer.fingerprint()
        step(trainer)
        assert trainer.tokenizer.codes_digest() == before
        assert trainer.tokenizer.fingerprint() != whole


class Counting(Encoder):
    """A network whose statistics move in every pass of training."""

    axes = 2

    def __init__(self) -> None:
        super().__init__()
        self.in_channels, self.dim, self.stride = 1, D, 2
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, D, 2, 2))
        self.norm = nn.BatchNorm2d(D)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x))


def test_running_statistics_of_a_frozen_encoder_rest() -> None:
    torch.manual_seed(0)
    encoder = Counting()
    decoder = VQVAEDecoder(D, 1, hidden=2, residual_layers=0, downsample=2)
    trainer = trained(Tokenizer(encoder, VectorQuantizer(D, 16), decoder), "look")
    assert int(encoder.norm.num_batches_tracked) == 1
    before = state(encoder)
    step(trainer)
    assert all(value.equal(before[name]) for name, value in state(encoder).items())
