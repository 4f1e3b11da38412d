"""Tokenizers compile and export to one graph for every batch and size of image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from vocabula.tokenizers import SignalTokenizer, build_tokenizer

NETWORK = {"name": "vqvae", "hidden": 4, "residual_hidden": 2, "residual_layers": 1}
VECTOR = {"name": "vector", "dim": 6, "codebook_size": 16, "initialization": "normal"}
FLAT = {"encoder": NETWORK, "decoder": NETWORK, "quantizer": VECTOR}
RESIDUAL = FLAT | {"quantizer": {"name": "residual", "stages": [VECTOR] * 2}}
SPECS = {"flat": FLAT, "two levels": {"level1": FLAT, "level2": RESIDUAL}}


def forward(tokenizer: SignalTokenizer, x: Tensor) -> tuple[Tensor, Tensor]:
    result = tokenizer(x)
    return result.output, result.loss


CALLS: dict[str, Callable[..., Any]] = {
    "forward": forward,
    "encode": lambda tokenizer, x: tokenizer.encode(x),
    "decode": lambda tokenizer, *codes: tokenizer.decode(codes),
}
SIZES = [(5, 32, 36), (2, 17, 40), (3, 30, 34)]


class Call(nn.Module):
    def __init__(self, name: str, specs: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokenizer: SignalTokenizer = build_tokenizer(SPECS[specs], 3).eval()
        self.name = name

    def forward(self, *inputs: Tensor) -> Any:
        return CALLS[self.name](self.tokenizer, *inputs)

    def example(self, size: tuple[int, int, int]) -> tuple[Tensor, ...]:
        x = torch.rand(size[0], 3, *size[1:], generator=torch.Generator().manual_seed(1))
        if self.name != "decode":
            return (x,)
        codes = self.tokenizer.encode(x)
        return codes if isinstance(codes, tuple) else (codes,)


def same(ours: Any, expected: Any) -> None:
    for a, b in zip(
        *((x if isinstance(x, tuple) else (x,)) for x in (ours, expected)), strict=True
    ):
        torch.testing.assert_close(a, b)


# The two kinds of tokenizers share how they are called: one of each traces what only it has.
# The pass of two levels encodes and decodes both, and their codes are exported.
CODES = [("encode", "flat"), ("decode", "flat")]
COMPILED = [("forward", "flat"), *CODES, ("forward", "two levels")]
EXPORTED = [("forward", "flat"), ("encode", "two levels"), ("decode", "two levels")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "specs"), COMPILED)
def test_one_graph_serves_every_size(name: str, specs: str) -> None:
    module, graphs = Call(name, specs), []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(module, dynamic=True, fullgraph=True, backend=count)
    for size in SIZES:
        same(compiled(*module.example(size)), module(*module.example(size)))
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "specs"), EXPORTED)
def test_exports_with_dynamic_batch_and_size(name: str, specs: str) -> None:
    module = Call(name, specs)
    rows, columns, batch = Dim("rows", min=2, max=64), Dim("columns", min=2, max=64), Dim("batch")
    height, width = Dim("height", min=17, max=512), Dim("width", min=17, max=512)
    shapes = [{0: batch, 2: height, 3: width}]
    if name == "decode":
        scales = (1, 4) if specs == "two levels" else (1,)
        shapes = [{0: batch, 1: s * rows, 2: s * columns} for s in scales]
    example = module.example(SIZES[0])
    exported = torch.export.export(module, example, dynamic_shapes=(tuple(shapes),)).module()
    for size in SIZES:
        same(exported(*module.example(size)), module(*module.example(size)))
