"""Every function traces as one graph, and gives what it gives eagerly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

import vocabula.functional as V

Z = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
COUNTED = {"context_nats"}
"""What counts the distinct values of its input, whose number no graph can know."""
ASKING = {"readable", "transforming"}
"""What asks in which mode torch is, and computes nothing."""
BOOK = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
CODES = torch.arange(40) % 10
MASK = torch.arange(40) % 4 > 0

FUNCTIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "nearest_codeword": lambda z: V.nearest_codeword(z, BOOK),
    "nearest_codewords": lambda z: V.nearest_codewords(z, BOOK, 3, distance="cosine"),
    "sample_codeword": lambda z: V.sample_codeword(z, BOOK, 0.5),
    "straight_through": lambda z: V.straight_through(z, BOOK[CODES]),
    "rotation": lambda z: V.rotation(z, BOOK[CODES]),
    "directional": lambda z: V.directional(z, BOOK[CODES]),
    "index_backpropagation": lambda z: V.index_backpropagation(z, BOOK, CODES),
    "code_counts": lambda z: V.code_counts(CODES, 10, MASK),
    "code_sums": lambda z: V.code_sums(z, CODES, 10, MASK),
    "usage": lambda z: V.usage(V.code_counts(CODES, 20)),
    "perplexity": lambda z: V.perplexity(V.code_counts(CODES, 10, MASK)),
    "entropy": lambda z: V.entropy(z.softmax(-1)),
    "masked_mean": lambda z: V.masked_mean(z, MASK),
    "masked_row_mean": lambda z: V.masked_row_mean(z, None),
    "kmeans": lambda z: V.kmeans(z, 4, mask=MASK, weights=CODES),
    "pack_bits": lambda z: V.pack_bits(z > 0),
    "unpack_bits": lambda z: V.unpack_bits(CODES, 5),
    "pack_digits": lambda z: V.pack_digits((z > 0).long(), (2,) * 6),
    "code_statistics": lambda z: V.code_statistics(z, CODES, 20),
    "nearest_of_books": lambda z: V.nearest_of_books(
        z.unflatten(-1, (2, 3)), BOOK.unflatten(-1, (2, 3)).transpose(0, 1)
    ),
    "residual_codes": lambda z: V.residual_codes(z, torch.stack([BOOK, 0.3 * BOOK])),
    "finite_scalar": lambda z: V.finite_scalar(z.double(), (3, 4, 5, 6, 7, 8)),
    "finite_scalar_values": lambda z: V.finite_scalar_values(CODES, (3, 4), z.dtype),
    "unpack_digits": lambda z: V.unpack_digits(CODES, (3, 4)),
    "binary_entropies": lambda z: V.binary_entropies(
        z.reshape(40, 2, 3), scale=1.0, inverse_temperature=1.0, mask=MASK
    ),
    "soft_assignment_entropies": lambda z: V.soft_assignment_entropies(
        z, BOOK, temperature=1.0, mask=MASK
    ),
    "all_reduce_sum": lambda z: V.all_reduce_sum(z),
    "all_reduce_sum_grad": lambda z: V.all_reduce_sum_grad(z),
    "broadcast": lambda z: V.broadcast(z),
    "all_gather_rows": lambda z: V.all_gather_rows(z),
    "world_size": lambda z: z * V.world_size(),
    "rank": lambda z: z + V.rank(),
}


def run(function: Callable[[torch.Tensor], object]) -> tuple[list[torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    z = Z.clone().requires_grad_()
    result = function(z)
    outputs = list(result) if isinstance(result, tuple) else [result]
    total = sum((o.sum() for o in outputs if o.requires_grad), start=0 * z.sum())
    (gradient,) = torch.autograd.grad(total, z)
    return outputs, gradient


def test_every_public_function_is_here() -> None:
    public = {name for name in V.__all__ if callable(getattr(V, name))}
    assert set(FUNCTIONS) == public - COUNTED - ASKING


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiles_to_one_graph(name: str) -> None:
    compiled = torch.compile(FUNCTIONS[name], fullgraph=True, backend="aot_eager")
    outputs, gradient = run(compiled)
    expected, expected_gradient = run(FUNCTIONS[name])
    for ours, theirs in zip(outputs, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.allclose(ours, theirs)
    assert torch.allclose(gradient, expected_gradient)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nearest_codeword", "binary_entropies", "code_sums", "rotation"])
def test_one_graph_serves_every_batch_size(name: str) -> None:
    """What operators make of unknown sizes in a backward pass is among torch's rules, below."""
    functions = {
        "nearest_codeword": lambda z: V.nearest_codeword(z, BOOK),
        "code_sums": lambda z: V.code_sums(z, V.nearest_codeword(z, BOOK), 10),
        "rotation": lambda z: V.rotation(z, z + 1),
        "binary_entropies": lambda z: V.binary_entropies(
            z.unsqueeze(1), scale=1.0, inverse_temperature=1.0
        )[1],
    }
    compiled = torch.compile(functions[name], fullgraph=True, backend="eager", dynamic=True)
    for rows in (40, 7, 21):
        assert torch.allclose(compiled(Z[:rows]), functions[name](Z[:rows]))


class Nearest(torch.nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return V.nearest_codeword(z, BOOK)


def test_exports() -> None:
    dynamic = ({0: torch.export.Dim("rows", min=2)},)
    program = torch.export.export(Nearest(), (Z,), dynamic_shapes=dynamic)
    assert torch.equal(program.module()(Z[:13]), V.nearest_codeword(Z[:13], BOOK))


@pytest.mark.slow
def test_operators_keep_torchs_rules() -> None:
    ops = torch.ops.vocabula
    logits, table = Z[:5].reshape(5, 2, 3).clone().requires_grad_(), BOOK.clone().requires_grad_()
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    for op, arguments in [
        (ops.nearest, (Z, BOOK, True)),
        (ops.nearest_several, (Z, BOOK, 2, False)),
        (ops.binary_joint, (logits, MASK[:5])),
        (ops.soft_assignment, (Z.clone().requires_grad_(), table, MASK, torch.tensor(1.0))),
        (ops.all_reduce_sum, (Z.clone().requires_grad_(),)),
        (ops.kmeans, (Z, MASK, 3, 2, 0)),
    ]:
        torch.library.opcheck(op.default, arguments, test_utils=checks)


@pytest.mark.slow
def test_neither_kernels_nor_a_search_import_a_compiler() -> None:
    code = (
        "import sys, torch, vocabula.functional as F\n"
        "from vocabula.functional import gpu; gpu.register()\n"
        "z = torch.randn(9, 4)\n"
        "F.nearest_codeword(z, z), F.residual_codes(z, z[None]), F.nearest_codewords(z, z, 2)\n"
        "print({'torch._dynamo', 'triton'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
