"""The portable model: the document's arithmetic, and the same bits however it is computed."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from processes import on_instructions
from vocabula import codec
from vocabula.codec import PortableModel, portable, symbol_kernel
from vocabula.codec.integer_network import IntegerNetwork, curve_table, exponential_table
from vocabula.codec.span import Block
from vocabula.errors import CodecError, OptionError
from vocabula.priors import CodeGrid, Condition, Conditioning, PixelCNN, PortablePrior, load
from vocabula.priors.portable import SymbolNetwork

from . import specified
from .golden.make import (
    FOLDER,
    PORTABLE,
    PORTABLE_LEVELS,
    PORTABLE_RECORDINGS,
    RECORDINGS,
    golden_codes,
    golden_model,
    golden_prior,
    levels_model,
    recordings_model,
    write_levels,
    write_recordings,
)
from .specified_portable import Level, Portable

SHA256 = {
    "portable-k64": "b6014234e94a7a15",
    "portable-books": "45d11a378c1eb98f",
    "portable-levels": "8f608960a1eff6d2",
    "portable-recordings": "eeafef8e734d85dd",
}
MODELS: dict[str, Callable[[], PortableModel]] = {
    **{name: lambda sizes=sizes: golden_model(sizes) for name, sizes in PORTABLE.items()},
    PORTABLE_LEVELS: levels_model,
    PORTABLE_RECORDINGS: recordings_model,
}


def trained(prior: PortablePrior, seed: int = 0) -> PortablePrior:
    """A prior with weights that are not small, as if trained."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(std=0.1 if parameter.ndim > 1 else 0.5)
    return prior.eval()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_golden_files_decode_for_ever(coder: str, name: str) -> None:
    content = (FOLDER / f"{name}.vcb").read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == SHA256[name]
    found = codec.read_codes(content, models=[MODELS[name]()]).codes
    if name in PORTABLE:
        for codes, expected in zip(found, golden_codes(PORTABLE[name]), strict=True):
            assert np.array_equal(codes, expected)
    else:
        same = RECORDINGS if name == PORTABLE_RECORDINGS else "adaptive-levels"
        adaptive = codec.read_codes(FOLDER / f"{same}.vcb").codes
        for levels, expected in zip(found, adaptive, strict=True):
            assert all(map(np.array_equal, levels, expected))


@pytest.mark.parametrize("name", MODELS)
def test_golden_files_are_written_alike(coder: str, name: str) -> None:
    file = io.BytesIO()
    if name in PORTABLE:
        sizes = PORTABLE[name]
        codec.write_codes(file, golden_codes(sizes), sizes, entropy=MODELS[name]())
    else:
        write = write_recordings if name == PORTABLE_RECORDINGS else write_levels
        write(file, MODELS[name]())
    assert file.getvalue() == (FOLDER / f"{name}.vcb").read_bytes()


@pytest.mark.slow
def test_a_trained_prior_of_full_size_decodes_for_ever(threads: None) -> None:
    """Codes of 100 pictures of CIFAR-10, with the prior that the benchmarks measure."""
    folder = Path(__file__).parents[2] / "benchmarks/models/cifar10"
    model = PortableModel([load(folder)])  # type: ignore[list-item]
    content = (FOLDER / "portable-trained.vcb").read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "ae6b31182acb8f83"
    codes = codec.read_codes(content, models=[model]).codes
    digest = hashlib.sha256(np.stack(codes).astype("<u2").tobytes()).hexdigest()
    assert digest[:16] == "0963c8fa026ffdf8"
    file = io.BytesIO()
    torch.set_num_threads(2)
    codec.write_codes(file, codes, [512], entropy=model)
    assert file.getvalue() == content


def _as_specified(prior: PortablePrior) -> Level:
    tensors: dict[str, Any] = {n: t.tolist() for n, t in prior.state_dict().items()}
    sizes, largest = list(prior.codes.codebook_sizes), prior.codes.largest_symbol
    series = len(prior.codes.grid) == 1 and prior.codes.grid != (1,)
    interleaved = prior.order == "interleaved"
    return Level(sizes, largest, prior.reach, tensors, series=series, interleaved=interleaved)


@pytest.mark.slow
def test_the_specification_suffices_to_decode() -> None:
    """`specified_portable` is written from docs/vcb.md and knows nothing of the library."""
    coarse = CodeGrid((64,), (3, 4))
    fine = golden_prior(CodeGrid((16, 9, 16), (6, 8)), (coarse,))
    short, long = CodeGrid((16,), (7,)), CodeGrid((9, 5), (14,))
    cases = {
        "portable-k64": [golden_prior(CodeGrid((64,), (24, 32), largest_symbol=64))],
        "portable-levels": [golden_prior(coarse), fine],
        PORTABLE_RECORDINGS: [golden_prior(short), golden_prior(long, (short,))],
    }
    for name, priors in cases.items():
        content = (FOLDER / f"{name}.vcb").read_bytes()
        model = Portable([_as_specified(prior) for prior in priors])
        for books, levels in zip(
            specified.read(content, portable=model),
            codec.read_codes(content, models=[MODELS[name]()]).codes,
            strict=True,
        ):
            grids = [np.atleast_3d(level) for level in (levels if len(priors) > 1 else [levels])]
            expected = [grid[..., book] for grid in grids for book in range(grid.shape[-1])]
            for book, codes in zip(books, expected, strict=True):
                assert np.array_equal(np.array(book), codes)


def test_the_specification_knows_digits() -> None:
    prior = golden_prior(CodeGrid((3, 20), (2, 3), largest_symbol=5))
    codes = [np.arange(12).reshape(2, 3, 2) % [3, 20] * [1, 1], np.array([[[2, 19]]])]
    file = io.BytesIO()
    codec.write_codes(file, codes, [3, 20], entropy=PortableModel([prior]))
    found = specified.read(file.getvalue(), portable=Portable([_as_specified(prior)]))
    for books, expected in zip(found, codes, strict=True):
        assert np.array_equal(np.stack([np.array(book) for book in books], -1), expected)


@pytest.mark.parametrize("grids", [[(1, 1)], [(9, 13), (1, 1), (16, 3)]])
def test_interleaved_order_comes_back(grids: list[tuple[int, int]]) -> None:
    """Two levels of several books, on pictures of several sizes in one segment."""
    coarse, fine = CodeGrid((5, 4), (4, 4)), CodeGrid((6, 3, 70), (8, 8), largest_symbol=16)
    small = {"hidden": 12, "layers": 1, "embedding": 5, "reach": 3, "order": "interleaved"}
    priors = [
        PortablePrior(coarse, **small),
        PortablePrior(fine, Conditioning(upper=(coarse,)), **small),
    ]
    model = PortableModel([trained(prior) for prior in priors])
    above = [tuple(-(-n // 2) for n in grid) for grid in grids]
    rng = np.random.default_rng(0)
    block = Block(
        (priors[0].codes.codebook_sizes, priors[1].codes.codebook_sizes),
        tuple(tuple((1, grid) for grid in level) for level in (above, grids)),
    )
    for stage, books in enumerate(block.books):
        size = block.positions(stage)
        block.codes += [rng.integers(0, k, size).astype(np.uint32) for k in books]
    for stage in range(2):
        known = Block(block.books, block.grids, block.codes[: block.streams(stage).start])
        content = model.encode(block, stage)
        found = model.decode(known, stage, content)
        expected = [block.codes[stream] for stream in block.streams(stage)]
        assert all(map(np.array_equal, found, expected))
        assert 8 * len(content) <= model.bits(block, stage) * 1.001 + 64
    nats, starts = 0.0, [0, 0]
    for sizes in zip(above, grids, strict=True):
        codes = []
        for stage, grid in enumerate(sizes):
            part = slice(starts[stage], starts[stage] + math.prod(grid))
            books = [block.codes[s][part].astype(np.int64) for s in block.streams(stage)]
            codes.append(torch.from_numpy(np.stack(books, -1)).reshape(1, *grid, -1))
            starts[stage] = part.stop
        with torch.inference_mode():
            nats -= float(priors[1].log_prob(codes[1], Condition(upper=(codes[0],))))
    assert model.bits(block, 1) == pytest.approx(nats / math.log(2), rel=2e-3, abs=1e-2)


def test_where_it_would_lose_the_adaptive_model_codes() -> None:
    """Codes that the prior holds improbable; it is chosen stage by stage."""
    prior = trained(PortablePrior(CodeGrid((64,), (8, 8)), hidden=12, layers=1))
    model = PortableModel([prior], falls_back=True)
    flat = Block(((64,),), (((1, (32, 32)),),), [np.full(1024, 7, np.uint32)])
    likely = Block(((64,),), (((1, (8, 8)),),))
    likely.codes = [prior.sample((1, 8, 8), seed=0).flatten().numpy().astype(np.uint32)]
    for block, adaptive in ((flat, True), (likely, False)):
        content = model.encode(block, 0)
        network = PortableModel([prior]).encode(block, 0)
        assert (len(content) < len(network)) == adaptive and len(content) <= len(network)
        known = Block(block.books, block.grids)
        (codes,) = PortableModel([prior]).decode(known, 0, content)
        assert np.array_equal(codes, block.codes[0])
    with pytest.raises(CodecError, match="expected the words of an encoder"):
        model.decode(Block(flat.books, flat.grids), 0, b"\2" + model.encode(flat, 0)[1:])


def test_codes_that_are_nearly_always_zero_cost_their_entropy() -> None:
    """0.012 bits a code, with 256 codewords: steps and tables add less than a hundredth."""
    shares = torch.full((256,), 0.001 / 255, dtype=torch.float64)
    shares[0] = 0.999
    prior = PortablePrior(CodeGrid((256,), (8, 8)), hidden=4, layers=0, order="interleaved")
    with torch.no_grad():
        prior.networks[0].last.weight.zero_()
        prior.networks[0].last.bias.copy_(shares.log())
    codes = torch.zeros(200, 1000, dtype=torch.long)
    codes.view(-1)[:200] = 1 + torch.arange(200)
    block = Block(((256,),), (((1, (200, 1000)),),), [codes.flatten().numpy().astype(np.uint32)])
    nats = -float(shares[0].log() * (200_000 - 200) + shares[1].log() * 200)
    assert PortableModel([prior]).bits(block, 0) == pytest.approx(nats / math.log(2), rel=0.01)


def test_the_specification_knows_the_interleaved_order() -> None:
    """A stage is decoded from the words that the library wrote, by the document alone."""
    small = {"hidden": 6, "layers": 1, "embedding": 3, "reach": 2, "order": "interleaved"}
    coarse, fine = CodeGrid((5, 4), (2, 3)), CodeGrid((6, 20), (4, 6), largest_symbol=5)
    first = trained(PortablePrior(coarse, **small))
    second = trained(PortablePrior(fine, Conditioning(upper=(coarse,)), **small))
    rng = np.random.default_rng(0)
    block = Block(((5, 4), (6, 20)), (((1, (3, 3)),), ((1, (6, 6)),)))
    block.codes = [rng.integers(0, k, 9).astype(np.uint32) for k in (5, 4)]
    block.codes += [rng.integers(0, k, 36).astype(np.uint32) for k in (6, 20)]
    content = PortableModel([first, second]).encode(block, 1)
    message = specified.Message(content)
    specification = Portable([_as_specified(first), _as_specified(second)])
    known = [([(3, 3)], codes.tolist()) for codes in block.codes[:2]]
    for stream in (2, 3):
        found = specification.codes(message, stream, [(6, 6)], known)
        assert found == block.codes[stream].tolist()
        known.append(([(6, 6)], found))


def test_tables_by_their_definitions() -> None:
    x = np.arange(-2048, 2048) / 256
    exact = x / (1 + np.exp(-x)) * 256
    assert np.abs(curve_table() - exact).max() <= 0.5 + 1e-9
    exact = np.exp(-np.arange(18 * 256) / 256) * 2**28
    assert np.abs(exponential_table()[:-1] - exact).max() <= 1 + 1e-6
    assert exponential_table()[-1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "grid"),
    [
        *((sizes, (6, 7)) for sizes in ((512,), (4, 300), (1, 7), (2000,), (2,))),
        *((sizes, (42,)) for sizes in ((512,), (4, 300, 6))),
    ],
)
def test_bits_are_those_of_the_prior(sizes: tuple[int, ...], grid: tuple[int, ...]) -> None:
    """What it writes is the float network's own nats, as near as its steps allow."""
    prior = trained(PortablePrior(CodeGrid(sizes, grid), hidden=24, layers=2, reach=2))
    model = PortableModel([prior])
    codes = prior.sample((3, *grid), seed=0)
    with torch.inference_mode():
        nats = -prior.log_probs(codes).reshape(-1, len(sizes)).double().sum(0)
    books = codes.reshape(-1, len(sizes)).T.numpy().astype(np.uint32)
    grids = ((3, (*grid, 1)[:2]),)
    block = Block(tuple((k,) for k in sizes), (grids,) * len(sizes), list(books))
    for stage, k in enumerate(sizes):
        expected = float(nats[stage]) / math.log(2)
        bits = model.bits(block, stage)
        assert bits == pytest.approx(expected, rel=2e-3, abs=1e-2)
        assert 8 * len(model.encode(block, stage)) <= bits * 1.001 + 64
        assert k > 1 or bits == 0


def test_in_float_it_is_nearly_the_same_network() -> None:
    prior = trained(PortablePrior(CodeGrid((512,), (8, 8)), hidden=64, reach=3))
    codes = prior.sample((16, 8, 8), seed=1)
    with torch.inference_mode():
        on_steps = float(prior.loss(codes))
        prior.steps = False
        plain = float(prior.loss(codes))
    assert on_steps == pytest.approx(plain, rel=0.01)


@pytest.mark.slow
def test_the_same_bytes_however_it_is_computed(
    monkeypatch: pytest.MonkeyPatch, threads: None
) -> None:
    """One picture or many to a segment, a position or thousands at a time, one thread or two."""
    grids = golden_codes([32, 2000])
    model = golden_model([32, 2000])
    contents = set()
    for count, size in ((1, 2**25), (2, 2**25), (1, 1), (2, 40_000)):
        torch.set_num_threads(count)
        monkeypatch.setattr(portable, "CHUNK_BYTES", size)
        file = io.BytesIO()
        codec.write_codes(file, grids, [32, 2000], entropy=model, jobs=count)
        contents.add(file.getvalue())
        found = codec.read_codes(FOLDER / "portable-books.vcb", models=[model], jobs=count)
        assert all(map(np.array_equal, found.codes, grids))
    assert contents == {(FOLDER / "portable-books.vcb").read_bytes()}


def test_sums_do_not_depend_on_their_order() -> None:
    """Columns in another order are the same sums: as every partial sum is exact."""
    network = SymbolNetwork(500, [], 64, 1, 300)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=3)
    order = torch.randperm(500)
    x = torch.randint(-(2**15), 2**15, (50, 500)).double()
    one = IntegerNetwork(network, torch.device("cpu")).logits(x, [])
    network.first.weight.data = network.first.weight.data[:, order]
    other = IntegerNetwork(network, torch.device("cpu")).logits(x[:, order], [])
    assert torch.equal(one, other)
    assert float(one.std()) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_another_instruction_set_gives_the_same(capability: str) -> None:
    """In another process, with two threads, and floats on other instructions."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from make import FOLDER, golden_codes, golden_model\n"
        "import io, numpy as np; from vocabula import codec\n"
        "model = golden_model([32, 2000]); path = FOLDER / 'portable-books.vcb'\n"
        "found = codec.read_codes(path, models=[model], jobs=2).codes\n"
        "print(all(map(np.array_equal, found, golden_codes([32, 2000]))))\n"
        "file = io.BytesIO()\n"
        "codec.write_codes(file, golden_codes([32, 2000]), [32, 2000], entropy=model)\n"
        "print(file.getvalue() == path.read_bytes())"
    )
    assert on_instructions(capability, program, FOLDER).split() == ["True", "True"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same() -> None:
    model = PortableModel(
        [golden_prior(CodeGrid((32, 2000), (24, 32), largest_symbol=64))], device="cuda"
    )
    found = codec.read_codes(FOLDER / "portable-books.vcb", models=[model])
    assert all(map(np.array_equal, found.codes, golden_codes([32, 2000])))


def test_a_file_of_another_prior_is_refused() -> None:
    other = PortableModel([trained(PortablePrior(CodeGrid((64,), (24, 32)), hidden=8, layers=0))])
    with pytest.raises(CodecError, match=r"expected the portable entropy model [0-9a-f]{16}, got"):
        codec.read_codes(FOLDER / "portable-k64.vcb", models=[other])
    with pytest.raises(CodecError, match="got none"):
        codec.read_codes(FOLDER / "portable-k64.vcb")


def test_another_kind_of_prior_is_refused() -> None:
    with pytest.raises(OptionError, match="expected a portable prior, got a PixelCNN"):
        PortableModel([PixelCNN(CodeGrid((8,), (2, 2)), hidden=4, layers=1)])  # type: ignore[list-item]


def test_priors_that_do_not_follow_one_another_are_refused() -> None:
    """A finer level's prior alone would be given its own codes as those of the coarser one."""
    coarse, fine = CodeGrid((4,), (2, 2)), CodeGrid((4,), (4, 4))
    first = PortablePrior(coarse, hidden=4, layers=0)
    second = PortablePrior(fine, Conditioning(upper=[coarse]), hidden=4, layers=0)
    PortableModel([first, second])
    for priors in ([second], [second, first], [first, first]):
        with pytest.raises(OptionError, match="a prior for each level, the coarsest first"):
            PortableModel(priors)


def test_codes_beyond_the_book_are_damage() -> None:
    """Two digits of base 3 can say 7 and 8, of which a book of 7 has none."""
    prior = trained(PortablePrior(CodeGrid((7,), (2, 2), largest_symbol=3), hidden=4, layers=0))
    model = PortableModel([prior])
    block = Block(((7,),), (((1, (2, 2)),),), [np.full(4, 8, np.uint32)])
    content = model.encode(block, 0)
    with pytest.raises(CodecError, match="expected codes below 7, got 8"):
        model.decode(Block(((7,),), block.grids), 0, content)


def test_digits_after_impossible_ones_are_damage() -> None:
    """48 of 28 codes: after its second digit there is no third that any code has."""
    prior = trained(PortablePrior(CodeGrid((28,), (2, 2), largest_symbol=3), hidden=4, layers=0))
    model = PortableModel([prior])
    block = Block(((28,),), (((1, (2, 2)),),), [np.full(4, 48, np.uint32)])
    content = model.encode(block, 0)
    with pytest.raises(CodecError, match="expected codes below 28, got 48"):
        model.decode(Block(((28,),), block.grids), 0, content)


def test_coarser_grids_that_are_too_small_are_refused() -> None:
    """A file may claim any grids: what lies outside the coarser one is not looked up."""
    model = levels_model()
    streams = [np.zeros(n, np.uint32) for n in (1, 64, 64)]
    grids = (((1, (1, 1)),), ((1, (8, 8)),))
    block = Block(((64,), (16, 9)), grids, streams)
    with pytest.raises(OptionError, match=r"expected \(4, 4\) coarser codes .* got \(1, 1\)"):
        model.encode(block, 1)
    with pytest.raises(CodecError, match=r"expected \(4, 4\) coarser codes .* got \(1, 1\)"):
        model.decode(Block(block.books, grids, streams[:1]), 1, bytes(8))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    prior = trained(PortablePrior(CodeGrid((7,), (2, 2)), hidden=4, layers=0))
    with torch.no_grad():
        next(prior.parameters())[0, 0] = value
    with pytest.raises(OptionError, match="expected finite weights"):
        PortableModel([prior])


def test_sums_beyond_float64_are_refused() -> None:
    network = SymbolNetwork(1, [], 4, 0, 1)
    torch.nn.init.constant_(network.last.weight, 8.5)
    IntegerNetwork(network, torch.device("cpu"))  # 4 x 2^15 x 2^15 = 2^32
    network.last.weight.data = torch.full((1, 1), 8.5).expand(1, 2**22 + 2**10)
    with pytest.raises(OptionError, match=r"expected sums below 2\^52"):  # 2^22 x 2^30
        IntegerNetwork(network, torch.device("cpu"))


@pytest.mark.skipif(not symbol_kernel.serves(torch.device("cpu")), reason="no kernels were built")
@pytest.mark.parametrize("order", ["raster", "interleaved"])
@pytest.mark.parametrize("hidden", [3, 17])
def test_the_kernel_gives_the_tables_of_torch(
    order: str, hidden: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values at both ends of their range, digits that cannot follow others, ragged sizes."""
    coarse, fine = CodeGrid((5, 40), (4, 4)), CodeGrid((7, 30), (8, 8), largest_symbol=3)
    small = {"hidden": hidden, "layers": 2, "embedding": 3, "reach": 2, "order": order}
    prior = trained(PortablePrior(fine, Conditioning(upper=(coarse,)), **small))
    with torch.no_grad():
        for network in prior.networks:
            network.last.weight.mul_(20)  # logits beyond their bounds
            network.inner[0].bias.add_(torch.linspace(-130, 130, hidden))
    model = PortableModel([trained(PortablePrior(coarse, **small)), prior])
    grids = (((1, (4, 6)), (2, (1, 1))), ((1, (7, 11)), (2, (1, 2))))
    block = Block(((5, 40), (7, 30)), grids)
    rng = np.random.default_rng(0)
    for stage, books in enumerate(block.books):
        positions = block.positions(stage)
        block.codes += [rng.integers(0, k, positions).astype(np.uint32) for k in books]
    for stream in (2, 3):
        context = model.context(block, 1, stream)
        for number, digits in model.digits(stream, block.codes[stream]):
            context.own.put(number, slice(None), digits)
        which = torch.randperm(context.positions)[:50]
        slots = [n for n, slot in enumerate(prior.codes.slots) if slot.book == stream - 2]
        for number in slots:
            size = prior.codes.slots[number].size

            def highest(part: torch.Tensor, size: int = size) -> np.ndarray:
                return (part.numpy() % size).astype(np.int64)

            for most in (None, highest):
                tables = model.tables(context, stream, number)
                symbol_kernel._constants.cache_clear()  # as by another thread that began at once
                taken = [np.full(4609, 7, dtype) for dtype in (np.int16, np.int32)]
                compiled = tables.rows(which, most)
                assert len(taken) == 2
                with monkeypatch.context() as without:
                    without.setattr(portable, "serves", lambda device: False)
                    plain = model.tables(context, stream, number).rows(which, most)
                assert np.array_equal(compiled, plain)
                assert (compiled[:, 0] == 0).all() and (compiled[:, -1] == 2**24).all()


@pytest.mark.slow
def test_levels_give_one_another_context() -> None:
    """The finer level's codes cost less where the coarser ones say what they are."""
    coarse = CodeGrid((4,), (4, 4))
    prior = PortablePrior(CodeGrid((4,), (8, 8)), Conditioning(upper=[coarse]), hidden=32, layers=1)
    prior.train()
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.01)
    torch.manual_seed(0)
    for _ in range(60):
        upper = torch.randint(4, (16, 4, 4))
        fine = upper.repeat_interleave(2, 1).repeat_interleave(2, 2)
        optimizer.zero_grad()
        prior.loss(fine, Condition(upper=(upper,))).backward()
        optimizer.step()
    model = PortableModel([trained(PortablePrior(coarse, hidden=8, layers=0)), prior.eval()])
    books = [upper.reshape(-1).numpy(), fine.reshape(-1).numpy()]
    grids = (((16, (4, 4)),), ((16, (8, 8)),))
    block = Block(((4,), (4,)), grids, [codes.astype(np.uint32) for codes in books])
    assert model.bits(block, 1) < 0.2 * 16 * 64  # of 2 bits each without


def test_memory_for_places_is_limited() -> None:
    """Many tiny grids have wide margins: counted before anything is taken for them."""
    model = golden_model([64])
    file = io.BytesIO()
    codec.write_codes(file, [np.zeros((1, 1), np.int64)] * 2000, [64], entropy=model)
    assert len(codec.read_codes(file.getvalue(), models=[model]).codes) == 2000
    block = Block(((64,),), (((2000, (1, 1)),),))
    assert model.memory(block, 0) >= 2000 * (5 * 5 + 1) * 8
    limits = codec.Limits(memory=2**20)  # what is computed at a time is small for a small file
    codec.read_codes(FOLDER / "portable-levels.vcb", models=[levels_model()], limits=limits)
    limits = codec.Limits(memory=model.memory(block, 0))  # and nothing for the codes
    with pytest.raises(CodecError, match="expected memory of at most"):
        codec.read_codes(file.getvalue(), models=[model], limits=limits)


def test_damaged_messages_end_in_an_error() -> None:
    """Every truncation and a thousand flipped bits: the right codes never, others never unseen."""
    content = (FOLDER / "portable-levels.vcb").read_bytes()
    model = levels_model()
    damaged = [content[:n] for n in range(0, len(content), 7)]
    for bit in range(0, 8 * len(content), 17):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for one in damaged:
        with pytest.raises(CodecError):
            codec.read_codes(one, models=[model])
    random = np.random.default_rng(0)
    block = Block(((64,), (16, 9)), (((2, (3, 4)),), ((2, (6, 8)),)))
    for _ in range(30):
        words = random.integers(0, 2**32, 20, dtype=np.uint32).tobytes()
        with pytest.raises(CodecError):
            model.decode(block, 0, words)
