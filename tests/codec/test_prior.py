"""The prior model: what a network predicts, coded and decoded by the same steps."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from priors.builders import PRIORS, make, random_codes
from priors.generators import make_generator
from vocabula import codec
from vocabula.codec import Limits, PriorModel, prior, writer
from vocabula.codec.batches import batches
from vocabula.codec.build import build_of
from vocabula.codec.header_parsing import parse_header
from vocabula.codec.integers import checksum
from vocabula.codec.layout import Attachment
from vocabula.codec.segment import parse_head, seed_of
from vocabula.codec.span import Block
from vocabula.errors import CodecError, CodecWarning, OptionError
from vocabula.priors import CodeGrid, Conditioning, Generator, PixelCNN

every_prior = pytest.mark.parametrize("kind", PRIORS)


def model_of(generator: Generator) -> PriorModel:
    return PriorModel(generator.priors)


def images_of(*sizes: tuple[int, int]) -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.rand(1, *size) for size in sizes]


def grids_of(content: bytes, **options: Any) -> list[list[Any]]:
    """The codes of each signal, as a list of grids."""
    found = codec.read_codes(content, **options).codes
    return [list(codes) if isinstance(codes, tuple) else [codes] for codes in found]


def same(one: Sequence[Sequence[Any]], other: Sequence[Sequence[Any]]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
    )


@every_prior
@pytest.mark.parametrize("levels", [1, 2])
def test_images_come_back(kind: str, levels: int) -> None:
    """One level has two books, those of a residual quantizer; two levels have one each."""
    generator = make_generator(kind, levels, classes=3)
    model = model_of(generator)
    sizes = [(12, 16)] * 3
    if "pixel" in kind:
        sizes += [(20, 8), (12, 16), (1, 1), (20, 8)]
    elif levels == 1:
        sizes += [(8, 16), (4, 16), (8, 16)]  # fewer rows are all that a transformer takes
    images = images_of(*sizes)
    content = codec.to_bytes(images, generator.tokenizer, entropy=model)
    wanted = codec.to_bytes(images, generator.tokenizer)
    assert same(grids_of(content, models=[model]), grids_of(wanted))
    ours = codec.read(content, generator.tokenizer, models=[model])
    theirs = codec.read(wanted, generator.tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    found = codec.inspect(content)
    assert len(found.header.stages) == levels
    assert found.header.build == model.build == build_of(torch.device("cpu"))


def grid_model(codes: CodeGrid, kind: str = "pixelcnn") -> PriorModel:
    return PriorModel([make(kind, codes)])


def packed(codes: Tensor, model: PriorModel, **options: Any) -> bytes:
    assert model.books is not None
    file = io.BytesIO()
    grids = [grid.numpy() for grid in codes]
    codec.write_codes(file, grids, model.books, entropy=model, **options)
    return file.getvalue()


def block_of(codes: Tensor, sizes: tuple[int, ...]) -> Block:
    """Codes (B, h, w, books) as entropy models take them."""
    count, *grid, books = codes.shape
    flat = codes.reshape(-1, books).T.numpy().astype(np.uint32)
    return Block((sizes,), (((count, tuple(grid)),),), list(flat))


@pytest.mark.slow
@every_prior
@pytest.mark.parametrize(
    "codes",
    [
        CodeGrid((9,), (6, 5)),
        CodeGrid((3, 23), (6, 5), largest_symbol=5),  # 23 in two digits of base 5
        CodeGrid((1, 2, 1), (6, 5)),
        CodeGrid((2**18,), (3, 2)),
    ],
    ids=["one book", "digits", "one codeword", "262144"],
)
def test_bytes_are_what_the_network_predicts(kind: str, codes: CodeGrid) -> None:
    model = grid_model(codes, kind)
    drawn = model.priors[0].sample((5, *codes.grid), seed=0)
    with torch.no_grad():
        nats = -float(model.priors[0].log_prob(drawn).sum())
    block = block_of(drawn.reshape(5, *codes.grid, -1), codes.codebook_sizes)
    bits = model.bits(block, 0)
    assert bits == pytest.approx(nats / math.log(2), rel=1e-3)
    content = model.encode(block, 0)
    assert 8 * len(content) <= 1.001 * bits + 8 * (1 + 8)  # the first byte and two words
    back = model.decode(Block(block.books, block.grids), 0, content)
    assert same([back], [block.codes])


def test_signals_of_equal_grids_are_coded_together() -> None:
    runs = ((2, (3, 4)), (1, (5, 1)), (70, (3, 4)), (1, (300, 300)), (1, (300, 300)))
    found = list(batches(Block(((4,),), (runs,)), 0))
    assert [batch.signals for batch in found] == [64, 8, 1, 1, 1]
    assert [batch.grids for batch in found] == [((3, 4),)] * 2 + [((5, 1),)] + [((300, 300),)] * 2
    assert found[0].firsts[0, :4].tolist() == [0, 12, 29, 41]  # 24 codes, 5 of another grid
    assert found[3].firsts.tolist() == [[72 * 12 + 5]]


def test_a_network_that_wavers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where two runs differ: adaptive instead, and every file opens."""
    codes = CodeGrid((9,), (6, 5))
    model, drawn = grid_model(codes), random_codes(codes, 4)
    rows, calls = prior._rows, []

    def wavering(logits: Tensor) -> Any:
        calls.append(0)
        return rows(logits * (1 + 0.01 * len(calls)))

    with monkeypatch.context() as patch:
        patch.setattr(prior, "_rows", wavering)
        with pytest.warns(CodecWarning, match="coded by the adaptive model instead"):
            content = packed(drawn, model)
    assert same(grids_of(content, models=[model]), [[grid] for grid in drawn.numpy()])
    plain = io.BytesIO()
    codec.write_codes(plain, [grid.numpy() for grid in drawn], [9])
    stages = [codec.inspect(c).stage_bytes[0] for c in (content, plain.getvalue())]
    assert stages[0] == 1 + stages[1]


def test_each_segment_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BITS", 2 * 4 * 30)
    codes = CodeGrid((9,), (6, 5))
    model, drawn = grid_model(codes), random_codes(codes, 5)
    read = PriorModel._read
    seen = []

    def failing(self: PriorModel, block: Block, stage: int, content: bytes) -> Any:
        seen.append(0)
        if len(seen) == 2:
            raise CodecError("words: expected others, got these; never mind")
        return read(self, block, stage, content)

    with monkeypatch.context() as patch:
        patch.setattr(PriorModel, "_read", failing)
        with pytest.warns(CodecWarning):
            content = packed(drawn, model)
    assert codec.inspect(content).segments == 3
    assert same(grids_of(content, models=[model]), [[grid] for grid in drawn.numpy()])


def test_probabilities_that_are_none_fall_back() -> None:
    codes = CodeGrid((9,), (6, 5))
    model, drawn = grid_model(codes), random_codes(codes, 2)
    with torch.no_grad():
        next(model.priors[0].parameters()).fill_(math.nan)
    with pytest.warns(CodecWarning):
        content = packed(drawn, model)
    assert same(grids_of(content, models=[model]), [[grid] for grid in drawn.numpy()])


@pytest.mark.slow
@every_prior
def test_bytes_depend_on_nothing_around(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on threads, torch's or ours, nor on gradients, nor on automatic precision."""
    monkeypatch.setattr(writer, "SEGMENT_BITS", 2 * 4 * 30)
    codes = CodeGrid((9,), (6, 5))
    model = PriorModel([make(kind, codes).float()])
    drawn = random_codes(codes, 5)
    content = packed(drawn, model)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert packed(drawn, model, jobs=2) == content
        assert torch.get_num_threads() == 2
        assert same(grids_of(content, models=[model], jobs=2), [[g] for g in drawn.numpy()])
    finally:
        torch.set_num_threads(before)
    with torch.autocast("cpu"), torch.inference_mode():
        assert packed(drawn, model) == content


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@every_prior
def test_codes_come_back_on_a_gpu(kind: str) -> None:
    codes = CodeGrid((3, 23), (6, 5), largest_symbol=5)
    model = PriorModel([make(kind, codes).float().cuda()])
    drawn = random_codes(codes, 5)
    content = packed(drawn, model)
    assert model.build.startswith(f"{torch.__version__} cuda ")
    assert content[-codec.inspect(content).stage_bytes[0]] == 0  # by the network
    assert same(grids_of(content, models=[model]), [[grid] for grid in drawn.numpy()])


# ---------------------------------------------------------------- what is wrong


def test_every_flipped_bit_is_refused() -> None:
    codes = CodeGrid((3, 23), (2, 3), largest_symbol=5)
    model = grid_model(codes)
    content = packed(random_codes(codes, 1), model)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            codec.read_codes(bytes(flipped), models=[model])
    for length in range(len(content)):
        with pytest.raises(CodecError):
            codec.read_codes(content[:length], models=[model])


def with_chunk(content: bytes, chunk: bytes) -> bytes:
    """A file of one segment and one stage with another chunk; only the codes' checksum is wrong."""
    length = int.from_bytes(content[6:10], "little")
    start, rest = content[:length], content[length:]
    header = parse_header(start, "x", Limits())
    head = parse_head(rest[1 : 1 + rest[0]], header, "x", Limits())
    old = head.chunks[0]
    new = type(old)(len(chunk), checksum(chunk), old.codes_crc)
    return start + type(head)(head.span, (new,), True).pack(seed_of(start, 0)) + chunk


@pytest.mark.slow
def test_forged_chunks_are_refused() -> None:
    codes = CodeGrid((3, 23), (2, 3), largest_symbol=5)
    model = grid_model(codes)
    content = packed(random_codes(codes, 1), model)
    chunk = content[-codec.inspect(content).stage_bytes[0] :]
    assert with_chunk(content, chunk) == content
    generator = np.random.default_rng(0)
    forged = [b"", b"\0", b"\1", b"\2" + chunk[1:], b"\1" + chunk[1:], chunk + bytes(4), chunk[:-4]]
    forged += [b"\0" + generator.bytes(len(chunk) - 1) for _ in range(50)]
    for other in forged:
        with pytest.raises(CodecError, match=r"compressed bytes: .*expected"):
            codec.read_codes(with_chunk(content, other), models=[model])


def test_another_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = CodeGrid((9,), (6, 5))
    model, drawn = grid_model(codes), random_codes(codes, 4)
    with monkeypatch.context() as patch:
        patch.setattr(prior, "build_of", lambda device: "9.9.9 NEON")
        content = packed(drawn, model)
    assert codec.inspect(content).header.build == "9.9.9 NEON"
    # as long as the probabilities are the same, the build does not matter
    assert same(grids_of(content, models=[model]), [[grid] for grid in drawn.numpy()])
    rows = prior._rows
    monkeypatch.setattr(prior, "_rows", lambda logits: rows(logits * 1.01))
    with pytest.raises(
        CodecError, match=r"ran on torch 9\.9\.9 NEON, and this is torch \d"
    ) as seen:
        codec.read_codes(content, models=[model])
    assert str(seen.value).startswith("compressed bytes: ") and "\n" not in str(seen.value)
    with pytest.raises(CodecError, match="file is damaged or its entropy model is another"):
        codec.read_codes(packed_as_is(drawn, model, rows, monkeypatch), models=[model])


def packed_as_is(drawn: Tensor, model: PriorModel, rows: Any, patch: pytest.MonkeyPatch) -> bytes:
    """A file of this build, made with other rows than those that are patched in."""
    now = prior._rows
    patch.setattr(prior, "_rows", rows)
    content = packed(drawn, model)
    patch.setattr(prior, "_rows", now)
    return content


@pytest.mark.parametrize("build", [b"", b"x" * 65, b"\xff", b"2.13\x1b[2J"])
def test_builds_that_no_writer_writes(build: bytes) -> None:
    codes = CodeGrid((9,), (6, 5))
    model = grid_model(codes)
    content = packed(random_codes(codes, 1), model)
    length = int.from_bytes(content[6:10], "little")
    header = parse_header(content[:length], "x", Limits())
    forged = type(header)(
        header.tokenizer, header.kind, header.channels, header.models, header.stages, 1,
        {Attachment.BUILD: build},
    )  # fmt: skip
    with pytest.raises(CodecError, match="expected a build"):
        parse_header(forged.pack(), "x", Limits())


def test_another_prior_is_refused() -> None:
    codes = CodeGrid((9,), (6, 5))
    model, other = grid_model(codes), grid_model(codes, "gpt2")
    elsewhere = PriorModel(model.priors, "ab" * 32)
    content = packed(random_codes(codes, 1), model)
    for models, got in (
        ([], "none"),
        ([other], other.hash.hex()),
        ([elsewhere], elsewhere.hash.hex()),
    ):
        needed = f"the prior entropy model {model.hash.hex()}, got {got}; give the prior"
        with pytest.raises(CodecError, match=needed):
            codec.read_codes(content, models=models)


@pytest.mark.slow
def test_memory_is_asked_for_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = CodeGrid((9,), (20, 25))
    model = grid_model(codes)
    content = packed(random_codes(codes, 1), model)
    monkeypatch.setattr(PixelCNN, "decoding", lambda *a: pytest.fail("memory was taken"))
    # the codes themselves are 2,000 bytes; as vectors of 12 float64 they are 48,000
    with pytest.raises(CodecError, match="memory of at most 40000"):
        codec.read_codes(content, models=[model], limits=Limits(memory=40_000))


@every_prior
def test_memory_is_about_what_decoding_takes(kind: str) -> None:
    """Of all tensors that decoding keeps; lists of integers aside."""
    codes = CodeGrid((9,), (20, 30))
    made = make(kind, codes)
    decoding = made.decoding(3, codes.grid, made.conditioning.complete(None, 3, made.device))
    with torch.no_grad():
        for _ in range(40):
            decoding.logits()
            decoding.push(torch.zeros(3, dtype=torch.long))
    own = {parameter.untyped_storage().data_ptr() for parameter in made.parameters()}
    kept = sum(size for at, size in storages(decoding).items() if at not in own)
    estimate = 3 * made.decoding_bytes(codes.grid)
    assert 0.9 * kept <= estimate <= 6 * kept


def storages(thing: Any, seen: set[int] | None = None) -> dict[int, int]:
    """Bytes of the storages of all tensors that an object holds, by address."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, torch.nn.Module):
        return {}
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        storage = thing.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()}
    parts: list[Any] = []
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing)
    elif hasattr(thing, "__dict__"):
        parts = list(vars(thing).values())
    found: dict[int, int] = {}
    for part in parts:
        found |= storages(part, seen)
    return found


def test_grids_that_a_transformer_never_saw() -> None:
    generator = make_generator("gpt2", channels=3)
    model = model_of(generator)
    with pytest.raises(OptionError, match=r"grid: expected \(3, 4\)"):
        codec.to_bytes(torch.rand(1, 3, 16, 16), generator.tokenizer, entropy=model)
    assert "a transformer knows positions" in model.refusal([(4, 4)])
    assert model.refusal([(3, 4)]) == ""


def test_a_prior_codes_a_level_in_one_piece() -> None:
    """The stages of a residual quantizer are one then, so there is nothing to cut."""
    generator = make_generator()
    model = model_of(generator)
    images = torch.stack(images_of((12, 16)))
    with pytest.raises(OptionError, match="expected 1 to 1 for this tokenizer, got 2; its codes"):
        codec.to_bytes(images, generator.tokenizer, entropy=model, stages=2)
    two = make_generator("pixelcnn", 2)
    content = codec.to_bytes(images, two.tokenizer, entropy=model_of(two))
    with pytest.raises(CodecError, match="expected 2 or more stages"):
        codec.read(content, two.tokenizer, models=[model_of(two)], stages=1)


def test_priors_that_cannot_serve() -> None:
    grid = CodeGrid((9,), (6, 5))
    dependent = make("pixelcnn", grid, Conditioning(classes=3, dropout=0.0))
    with pytest.raises(OptionError, match="can do without class and text"):
        PriorModel([dependent])
    with pytest.raises(OptionError, match="a prior for each level, got none"):
        PriorModel([])
    assert grid_model(CodeGrid((9,), (6, 5))).refusal([(6, 5), (12, 10)]) == ""
    with pytest.raises(OptionError, match="grids of 2 axes"):
        PriorModel([make("pixelcnn", CodeGrid((9,), (6,)))])
    model = grid_model(CodeGrid((9, 9), (6, 5)))
    for sizes in ([9], [9, 8], [9, 9, 9]):
        codes = np.zeros((6, 5, len(sizes))[: 2 + (len(sizes) > 1)], np.int64)
        with pytest.raises(OptionError, match="a prior of books of"):
            codec.write_codes(io.BytesIO(), [codes], sizes, entropy=model)
    two = make_generator("pixelcnn", 2)  # the books fit, but as levels, not as books of one
    with pytest.raises(OptionError, match="expected levels with books of"):
        codec.write_codes(
            io.BytesIO(), [np.zeros((6, 5, 2), np.int64)], [16, 16], entropy=model_of(two)
        )


def test_one_image_has_a_header_of_at_most_128_bytes() -> None:
    generator = make_generator()
    content = codec.to_bytes(images_of((12, 16)), generator.tokenizer, entropy=model_of(generator))
    found = codec.inspect(content)
    assert found.header_bytes + found.head_bytes + 1 + 8 <= 128


def test_nothing_warns_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = CodeGrid((9,), (6, 5))
        packed(random_codes(codes, 2), grid_model(codes))
