"""One graph for torch.compile and torch.export, with the results of eager execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from conformance.rows import BY_NAME, ROWS, D, Row, data, prepare, vector
from vocabula.quantizers import Annealing, Gradient, GumbelQuantizer, Quantizer, RateTerm

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
OPTIONS = [
    Row(
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
    ),
    Row(
        "vector, many options, ema",
        lambda: vector(distance="cosine", diversity_weight=0.1, rate=RateTerm(0.02, decay=0.9)),
    ),
    Row(
        "gumbel, many options",
        lambda: GumbelQuantizer(D, 16, hard=False, temperature=Annealing(1.0, 0.1, steps=100)),
        random=True,
        soft=True,
    ),
]
"""Rows of many parts at once."""
WITH_BACKWARD = {
    "vector",  # k-means, revival and moving averages
    "vector, linear",
    "vector, index backpropagation",
    "vector, mlp",
    "vector, diveq, noise",
    "vector, rate, null",
    "vector, many options",
    "gumbel, k-means",
    "gumbel, many options",
    "bernoulli",
    "lookup free, spherical",
    "lookup free, projected",
    "finite scalar",
    "finite scalar, rotated",
    "finite scalar, noise",
    "residual, spherical",  # a stack, with its scales
}
"""Rows that have every operation between them.

A second pass over the operations of a graph, one by one, makes it free of mutation and adds its
backward. In the graphs of the other rows it has nothing new to meet.
"""
TRACED = {
    "vector, attention",
    "vector, many options, ema",
    "finite scalar, clamped",
    "residual, dropout",
    "residual, shared book",
    "residual, structured dropout",
    "residual, beam, rate",
    "residual, finite scalar, beam",
    "conditional residual",  # with preselection it is evaluated and exported
    "multi-scale, a book each",  # and convolutions
    "multi-scale, dropout",  # of a shared book
    "product, dropout",
}
"""Rows with branches of their own, of operations that others have.

The rows in neither set have no branch of their own. An option of a vector quantizer alone is one of
many in `OPTIONS`. A stack or a product asks nothing of its parts but what these do alone, and with
dropout or a beam it passes where it does without.
"""
TRAINED = [row for row in [*ROWS, *OPTIONS] if row.name in WITH_BACKWARD | TRACED]
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
    "vector, rate",
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
KINDS = list(dict.fromkeys(row.name.split(",")[0] for row in DISTINCT))


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
@pytest.mark.parametrize("row", TRAINED, ids=lambda row: row.name)
def test_training_compiles_to_one_graph(row: Row) -> None:
    agree(row, True, with_backward if row.name in WITH_BACKWARD else "eager")


@pytest.mark.slow
@pytest.mark.parametrize("row", EVALUATED, ids=lambda row: row.name)
def test_evaluation_compiles_to_one_graph(row: Row) -> None:
    agree(row, False, "eager")  # which changes nothing, and whose losses are those of training


def test_rows_that_are_named_exist() -> None:
    assert BY_NAME.keys() > LEARNING_ONLY | OF_OTHERS | ALIKE
    assert {row.name for row in TRAINED} == WITH_BACKWARD | TRACED


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # inside torch
def test_compiles_with_the_default_compiler() -> None:
    # Without revival, whose draws differ: a compiled generator is not the eager one.
    agree(BY_NAME["vector, normal start, no revival"], training=True, backend="inductor")


def test_a_graph_initializes_a_new_quantizer() -> None:
    torch.manual_seed(0)
    eager, traced = (BY_NAME["vector"].make() for _ in "ab")
    traced.load_state_dict(eager.state_dict())
    compiled = torch.compile(traced, fullgraph=True, backend="eager")
    for seed in range(4):
        z = 50 + data(100, seed=seed)
        torch.manual_seed(seed)
        expected = eager(z).values
        torch.manual_seed(seed)
        torch.testing.assert_close(compiled(z).values, expected)
    torch.testing.assert_close(traced.codebook, eager.codebook)


class Both(nn.Module):
    """Vectors to codes and other codes to vectors, of some quantizers in one graph."""

    def __init__(self, quantizers: Sequence[Quantizer]) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(quantizers)

    def forward(self, z: Tensor, codes: list[Tensor]) -> list[Tensor]:
        found = [quantizer.encode(z) for quantizer in self.quantizers]
        pairs = zip(self.quantizers, codes, strict=True)
        return [*found, *(quantizer.decode(own) for quantizer, own in pairs)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_exports_with_a_dynamic_batch(kind: str) -> None:
    """One graph has all rows of a kind, since to begin and end one takes longer than a row."""
    rows = [row for row in DISTINCT if row.name.split(",")[0] == kind]
    both = Both([prepare(row, training=False) for row in rows])
    batch = torch.export.Dim("batch", min=2, max=4096)

    def inputs(size: int) -> tuple[Tensor, list[Tensor]]:
        codes = [q.encode(data(size, 3, seed=100 + size)) for q in both.quantizers]
        return data(size, 3, seed=size), codes

    shapes = ({0: batch}, [{0: batch} for _ in rows])
    program = torch.export.export(both, inputs(12), dynamic_shapes=shapes).module()
    for size in (12, 5, 40):
        given = inputs(size)
        names = [row.name for row in rows] * 2
        for name, ours, expected in zip(names, program(*given), both(*given), strict=True):
            assert torch.equal(ours, expected), name
