"""One graph for torch.compile and torch.export, with the results of eager execution."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from conformance.rows import BY_NAME, ROWS, Row, data, prepare, vector
from vocabula.quantizers import Gradient, Quantizer

LEARNING_ONLY = {
    "vector, normal start, no revival",
    "vector, gradient",
    "vector, cosine, ema",
    "vector, rotation",
    "vector, diveq",
    "vector, diveq, noise",
    "vector, index backpropagation",
    "vector, diversity",
    "vector, diversity, ema",
    "vector, orthogonality",
    "vector, stochastic",
    "gumbel, k-means",
    "gumbel, soft",
    "gumbel, annealed",
    "residual, ema",
    "residual, dropout",
    "residual, structured dropout",
}
"""Rows that search and look up as others do: evaluation and export meet no code of their own."""
OF_PARTS = {
    "vector, normal start, no revival",  # inductor compiles it, below
    "vector, gradient",
    "vector, cosine",
    "vector, cosine, ema",
    "vector, low-dimensional",
    "vector, rotation",
    "vector, diveq",
    "vector, diversity",
    "vector, diversity, ema",
    "vector, orthogonality",
    "vector, stochastic",
    "gumbel",
    "gumbel, soft",
    "lookup free",
    "lookup free, several books",
    "finite scalar, symmetric",
    "finite scalar, clamped",
    "finite scalar, projected",
    "residual",
    "residual, ema",
    "residual, index backpropagation",
    "residual, structured dropout",
    "residual, beam",
    "residual, beam, rate",
    "residual, shared book",
    "residual, lookup free",
    "residual, spherical",
    "residual, finite scalar",
    "residual, finite scalar, beam",
    "conditional residual",
    "conditional residual, preselection",
    "multi-scale",
    "multi-scale, a book each",
    "multi-scale, dropout",
    "product",
    "product, dropout",
}
"""Rows each part of which another row trains, or `OPTIONS`, which has many parts at once.

Their graphs are traced and compared as all others. A second pass over the operations of a graph,
one by one, makes it free of mutation and adds its backward. It has nothing new to meet in them.
Evaluation and export, which are less, trace their parts alone.
"""
OPTIONS = Row(
    "vector, many options",
    lambda: vector(
        codebook_dim=3,
        distance="cosine",
        learning=Gradient(),
        estimator="rotation",
        diversity_weight=0.1,
        orthogonality_weight=0.1,
        sampling_temperature=0.5,
    ),
    random=True,
)
OF_OTHERS = {
    "lookup free, several books",
    "finite scalar, symmetric",
    "finite scalar, clamped",
    "finite scalar, projected",
    "residual, index backpropagation",
    "residual, lookup free",
    "residual, finite scalar",
    "residual, finite scalar, beam",
    "residual, beam, rate",
    "conditional residual",
    "multi-scale",
    "multi-scale, a book each",
    "product",
}
"""Rows the parts of which other rows export."""
DISTINCT = [row for row in ROWS if row.name not in LEARNING_ONLY | OF_OTHERS]
ALIKE = {
    "vector, cosine",
    "vector, low-dimensional",
    "vector, attention",
    "lookup free, spherical",
    "lookup free, projected",
    "finite scalar",
    "finite scalar, rotated",
    "residual, shared book",
    "residual, spherical",
    "residual, beam",
}
"""Rows whose passes of training and evaluation differ by nothing but what other rows evaluate."""
EVALUATED = [row for row in DISTINCT if row.name not in ALIKE]


def with_backward(*arguments: object) -> object:
    """The backend "aot_eager", which then would search the least memory between the passes."""
    from functorch.compile import nop
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import default_partition

    return aot_autograd(fw_compiler=nop, partition_fn=default_partition)(*arguments)


def run(quantizer: Quantizer, forward: object, seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    z = data(24, 4, seed=seed).requires_grad_()
    mask = torch.arange(96).reshape(24, 4) % 5 > 0
    result = forward(z, mask)
    quantizer.zero_grad()
    (100 * result.loss + result.values.square().mean()).backward()
    outputs = [result.values, result.loss, *result.losses.values(), z.grad]
    return [*outputs, *(p.grad for p in quantizer.parameters() if p.grad is not None)]


def agree(row: Row, training: bool, backend: str | Callable[..., object]) -> None:
    eager, traced = (prepare(row, training=training) for _ in "ab")
    compiled = torch.compile(traced, fullgraph=True, backend=backend)
    for seed in range(3 if training else 1):  # with k-means again before the third
        expected, ours = run(eager, eager, seed), run(traced, compiled, seed)
        for a, b in zip(ours, expected, strict=True):
            assert (a - b).abs().max() <= 1e-4 * b.abs().max() + 1e-9
    state = traced.state_dict()
    for name, value in eager.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("row", [*ROWS, OPTIONS], ids=lambda row: row.name)
def test_training_compiles_to_one_graph(row: Row) -> None:
    agree(row, True, "eager" if row.name in OF_PARTS else with_backward)


@pytest.mark.slow
@pytest.mark.parametrize("row", EVALUATED, ids=lambda row: row.name)
def test_evaluation_compiles_to_one_graph(row: Row) -> None:
    agree(row, False, "eager")  # which changes nothing, and whose losses are those of training


def test_rows_that_are_named_exist() -> None:
    assert BY_NAME.keys() > LEARNING_ONLY | OF_PARTS | OF_OTHERS | ALIKE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # inside torch
def test_compiles_with_the_default_compiler() -> None:
    # Without revival, whose draws differ: a compiled generator is not the eager one.
    agree(BY_NAME["vector, normal start, no revival"], training=True, backend="inductor")


def test_a_graph_initializes_a_new_quantizer() -> None:
    torch.manual_seed(0)
    eager, traced = (BY_NAME["vector"].make() for _ in "ab")
    traced.load_state_dict(eager.state_dict())
    compiled = torch.compile(traced, fullgraph=True, backend="aot_eager")
    for seed in range(4):
        z = 50 + data(100, seed=seed)
        torch.manual_seed(seed)
        expected = eager(z).values
        torch.manual_seed(seed)
        torch.testing.assert_close(compiled(z).values, expected)
    torch.testing.assert_close(traced.codebook, eager.codebook)


class Both(nn.Module):
    """Vectors to codes and other codes to vectors, in one graph."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, z: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        return self.quantizer.encode(z), self.quantizer.decode(codes)


@pytest.mark.slow
@pytest.mark.parametrize("row", DISTINCT, ids=lambda row: row.name)
def test_exports_with_a_dynamic_batch(row: Row) -> None:
    quantizer = prepare(row, training=False)
    batch = torch.export.Dim("batch", min=2, max=4096)

    def inputs(rows: int) -> tuple[Tensor, Tensor]:
        return data(rows, 3, seed=rows), quantizer.encode(data(rows, 3, seed=100 + rows))

    shapes = ({0: batch}, {0: batch})
    program = torch.export.export(Both(quantizer), inputs(12), dynamic_shapes=shapes).module()
    for rows in (12, 5, 40):
        z, codes = inputs(rows)
        ours = program(z, codes)
        assert torch.equal(ours[0], quantizer.encode(z))
        assert torch.equal(ours[1], quantizer.decode(codes))
