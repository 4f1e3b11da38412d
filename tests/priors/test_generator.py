"""Generators: samples level by level, whatever the batches; completions; what does not fit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from priors.generators import CAPTIONS, CLASSES, make_generator, make_priors, make_tokenizer
from vocabula.errors import DataError, OptionError
from vocabula.priors import Condition, Drawing, Generator, Origin, Samples
from vocabula.priors.order import join

KINDS = ("pixelcnn", "pixelsnail", "gpt2", "llama")
every_kind = pytest.mark.parametrize("kind", KINDS)
every_depth = pytest.mark.parametrize("levels", [1, 2, 3])


def same(one: Samples, other: Samples) -> bool:
    pairs = zip(one.levels, other.levels, strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and torch.allclose(
        one.images, other.images, atol=1e-6
    )


@pytest.mark.slow
@every_depth
@every_kind
def test_a_sample_depends_on_seed_and_number_alone(kind: str, levels: int) -> None:
    generator = make_generator(kind, levels, classes=3, text=True)
    labels, text = {"class": ["one", "two", 0, 1, 2]}, [CAPTIONS[i % 3] for i in range(5)]
    drawing = Drawing(guidance=1.5, top_k=9)
    whole = generator.sample(5, attributes=labels, text=text, seed=3, drawing=drawing)
    parts = generator.stream(5, attributes=labels, text=text, seed=3, drawing=drawing, batch_size=2)
    batches = list(parts)
    assert [len(part.images) for part in batches] == [2, 2, 1]
    assert same(join(batches), whole)
    rest = generator.sample(
        2,
        attributes={"class": labels["class"][3:]},
        text=text[3:],
        seed=3,
        drawing=drawing,
        start=3,
    )
    assert all(torch.equal(a, b[3:]) for a, b in zip(rest.levels, whole.levels, strict=True))
    other = generator.sample(5, attributes=labels, text=text, seed=4, drawing=drawing)
    assert not torch.equal(other.levels[0], whole.levels[0])


@every_depth
def test_images_are_what_the_codes_decode_to(levels: int) -> None:
    generator = make_generator("pixelcnn", levels)
    samples = generator.sample(3, seed=0)
    expected = generator.tokenizer.decode(samples.levels, size=(12, 16))
    assert torch.equal(samples.images, expected)
    assert samples.images.shape == (3, 1, 12, 16)


def test_each_level_is_drawn_given_the_coarser_ones() -> None:
    generator = make_generator("pixelcnn", 2)
    top, bottom = generator.priors
    drawn = generator.sample(2, seed=7).levels
    assert torch.equal(drawn[0], top.sample((2, 3, 4), seed=7))
    expected = top.log_prob(drawn[0]) + bottom.log_prob(drawn[1], Condition(upper=(drawn[0],)))
    torch.testing.assert_close(generator.log_prob(drawn), expected)


@pytest.mark.parametrize("kind", ["pixelcnn", "gpt2"])
def test_probabilities_of_all_codes_of_all_levels_sum_to_one(kind: str) -> None:
    """Two levels of 1 x 1 and 2 x 2 codes with books of 2: 2 x 16 pairs."""
    tokenizer = make_tokenizer(2, codebook_size=2)
    generator = Generator(tokenizer, make_priors(tokenizer, kind, size=(4, 4)))
    for prior in generator.priors:
        prior.double()
    every = torch.tensor(list(itertools.product(range(2), repeat=5)))
    levels = every[:, :1].view(-1, 1, 1), every[:, 1:].view(-1, 2, 2)
    assert abs(generator.log_prob(levels).exp().sum().item() - 1) < 1e-6


def test_a_finer_level_need_not_know_the_class() -> None:
    tokenizer = make_tokenizer(2)
    top = make_priors(tokenizer, "pixelcnn", classes=3)[0]
    bottom = make_priors(tokenizer, "pixelcnn")[1]
    generator = Generator(tokenizer, [top, bottom])
    drawn = generator.sample(2, attributes={"class": 1}, seed=0, drawing=Drawing(guidance=2.0))
    assert drawn.images.shape == (2, 1, 12, 16)


@pytest.mark.parametrize("kind", ["pixelcnn", "pixelsnail"])
def test_convolutions_draw_sizes_they_never_saw(kind: str) -> None:
    for levels in (1, 2):
        generator = make_generator(kind, levels)
        assert generator.sample(1, size=(9, 21), seed=0).images.shape == (1, 1, 9, 21)


def test_a_transformer_says_which_size_it_knows() -> None:
    generator = make_generator("gpt2")
    assert generator.sample(1, size=(8, 16), seed=0).images.shape == (1, 1, 8, 16)
    message = "size: expected 16 x 12 pixels, got 16 x 16, whose codes this TransformerPrior"
    with pytest.raises(OptionError, match=message):
        generator.sample(1, size=(16, 16))
    with pytest.raises(OptionError, match="got 16 x 8, whose codes this TransformerPrior cannot"):
        make_generator("gpt2", 2).sample(1, size=(8, 16))


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "count": ({"n": 0}, OptionError, "sample.n: expected an integer >= 1, got 0"),
    "start": ({"start": -1}, OptionError, "sample.start: expected an integer >= 0"),
    "batch": ({"batch_size": 0}, OptionError, "sample.batch_size: expected an integer >= 1"),
    "seed": ({"seed": -1}, OptionError, r"sample.seed: expected an integer in \[0, 2\^63\)"),
    "size": ({"size": (0, 4)}, OptionError, "size: expected H x W, both >= 1"),
    "class": ({"attributes": {"class": "tow"}}, DataError, "got 'tow'; did you mean 'two'"),
    "index": (
        {"attributes": {"class": [0, 3]}},
        DataError,
        r"in \[0, 3\) or one of zero, one, two, got 3",
    ),
    "labels": ({"attributes": {"class": [0]}}, DataError, "class: expected one, or 2, got 1"),
    "text": ({"text": ""}, DataError, "text: expected words, got ''"),
    "characters": ({"text": "q"}, DataError, "characters of the training captions, got 'q'"),
    "long": ({"text": "one " * 9}, DataError, "text: expected at most 8 tokens, got 9"),
    "guidance": ({"drawing": Drawing(guidance=2)}, OptionError, "got no class or text"),
}


@pytest.mark.parametrize(("options", "error", "message"), WRONG.values(), ids=list(WRONG))
def test_wrong_orders_are_refused_before_anything_is_drawn(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    generator = make_generator("pixelcnn", classes=3, text=True)
    with pytest.raises(error, match=message):
        generator.stream(**({"n": 2} | options))


def test_a_prior_that_never_did_without_needs_a_class() -> None:
    generator = make_generator("pixelcnn", classes=3, dropout=0.0)
    with pytest.raises(OptionError, match="expected a class or a text, got none"):
        generator.sample(1)
    assert len(generator.sample(1, attributes={"class": 0}).images) == 1


def test_progress_counts_all_batches_and_levels() -> None:
    told: list[tuple[int, int]] = []
    generator = make_generator("pixelcnn", 2)
    generator.sample(3, batch_size=2, progress=lambda done, of: told.append((done, of)))
    assert told == [(i, 2 * (12 + 48)) for i in range(1, 121)]
    assert generator.positions((12, 16)) == 60


# ------------------------------------------------------------------- completion


def upper_half(image: Tensor) -> Tensor:
    keep = torch.zeros(image.shape[-2:], dtype=torch.bool)
    keep[: image.shape[-2] // 2 + 2] = True  # 8 of 12 rows: two rows of codes
    return keep


@pytest.mark.slow
@every_depth
@every_kind
def test_completions_keep_the_known_codes(kind: str, levels: int) -> None:
    generator = make_generator(kind, levels, classes=3)
    images = torch.rand(2, 1, 12, 16)
    keep = upper_half(images)
    drawn = join(
        generator.complete(images, keep, copies=2, attributes={"class": 1}, seed=0, batch_size=3)
    )
    hidden = torch.where(keep, images, torch.rand(2, 1, 12, 16))
    again = join(generator.complete(hidden, keep, copies=2, attributes={"class": 1}, seed=0))
    assert drawn.images.shape == (4, 1, 12, 16) and same(drawn, again)
    for codes, level in zip(drawn.levels, generator.tokenizer.levels, strict=True):
        rows = 8 // level.stride
        assert torch.equal(codes[0, :rows], codes[1, :rows])
        assert not torch.equal(codes[0, rows:], codes[1, rows:])


def test_what_is_known_later_changes_nothing_before() -> None:
    """Codes are drawn in raster order: the lower half as given has no say in the upper half."""
    generator = make_generator("pixelcnn")
    images = torch.rand(2, 1, 12, 16)
    keep = torch.zeros(12, 16, dtype=torch.bool)
    keep[8:] = True
    drawn = join(generator.complete(images, keep, seed=5)).levels[0]
    assert torch.equal(drawn[:, :2], generator.sample(2, seed=5).levels[0][:, :2])


WRONG_PARTS = {
    "shape": (torch.ones(4, 4, dtype=torch.bool), r"expected booleans of shape \(12, 16\)"),
    "type": (torch.ones(12, 16), "got float32"),
    "nothing": (torch.zeros(12, 16, dtype=torch.bool), "holds a whole code, 4 x 4 pixels"),
    "all": (torch.ones(12, 16, dtype=torch.bool), "something left to draw, got all pixels"),
}


@pytest.mark.parametrize(("keep", "message"), WRONG_PARTS.values(), ids=list(WRONG_PARTS))
def test_wrong_parts_are_refused(keep: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_generator("pixelcnn").complete(torch.rand(1, 1, 12, 16), keep)
    with pytest.raises(DataError, match="expected 1 channel, got 3"):
        make_generator("pixelcnn").complete(torch.rand(1, 3, 12, 16), keep)


# ------------------------------------------------------------- what does not fit


def test_parts_that_do_not_fit_are_refused() -> None:
    one, two = make_tokenizer(1), make_tokenizer(2)
    flat, deep = make_priors(one, "pixelcnn"), make_priors(two, "pixelcnn")
    other = make_priors(one, "pixelcnn")[0]
    other.origin = Origin("f00d" * 16)
    size = make_priors(one, "pixelcnn")[0]
    size.origin = Origin(image_size=(20, 20))
    alone = make_priors(two, "pixelcnn")[1]
    alone.conditioning = flat[0].conditioning
    names = make_priors(two, "pixelcnn", classes=3)
    more = make_priors(two, "pixelcnn", classes=4)
    for tokenizer, priors, message in (
        (one, deep, "expected a prior for each of 1 levels, the coarsest first, got 2"),
        (two, deep[:1], "expected a prior for each of 2 levels, the coarsest first, got 1"),
        (one, [other], "got one of tokenizer f00df00df00d; use the tokenizer whose codes"),
        (one, [size], "expected grids .* for images of 20 x 20 pixels"),
        (two, [deep[0], alone], "level 2: expected it to be conditioned on coarser codes"),
        (two, [names[0], more[1]], "expected the classes of the coarsest level's prior, 3, got 4"),
    ):
        with pytest.raises(OptionError, match=message):
            Generator(tokenizer, priors)
    deep[0].origin = flat[0].origin = Origin()
    with pytest.raises(OptionError, match=r"expected codebooks \(16, 16\)"):
        Generator(one, deep[:1])


def test_what_a_generator_is() -> None:
    generator = make_generator("gpt2", 2, classes=3)
    assert generator.class_names == CLASSES and generator.image_size == (12, 16)
    assert generator.conditioning.classes == 3 and generator.device.type == "cpu"
    assert generator.to("cpu") is generator
    for prior in generator.priors:
        prior.origin = Origin()
    assert generator.image_size == (12, 16)  # all that the codes cover
    with pytest.raises(DataError, match="expected codes of 2 levels, the coarsest first, got 1"):
        generator.log_prob([torch.zeros(1, 3, 4, dtype=torch.long)])


def test_guidance_is_refused_before_anything_is_drawn() -> None:
    generator = make_generator("pixelcnn", 2, classes=3)
    fine = generator.priors[1]
    fine.conditioning = replace(fine.conditioning, dropout=0.0)
    drawing = Drawing(guidance=2.0)
    done: list[int] = []
    with pytest.raises(OptionError, match="dropout=0"):
        generator.sample(
            1, attributes={"class": 1}, drawing=drawing, progress=lambda *at: done.append(at[0])
        )
    assert not done


@pytest.mark.parametrize("levels", [1, 2])
def test_samples_are_drawn_under_vectors(levels: int) -> None:
    generator = make_generator("pixelcnn", levels, vectors=2)
    vectors = torch.tensor([[3.0, -3.0], [-3.0, 3.0], [torch.nan, torch.nan]])
    found = generator.sample(3, vectors=vectors, seed=0, batch_size=2)
    prior = generator.priors[0]
    drawn = prior.sample((3, *prior.codes.grid), Condition(vectors=vectors), seed=0)
    assert torch.equal(found.levels[0], drawn)
    others = generator.sample(3, seed=0)
    assert torch.equal(found.levels[0][2], others.levels[0][2])  # no vector
    assert not torch.equal(found.levels[0][:2], others.levels[0][:2])
    one = generator.sample(3, vectors=vectors[0], seed=0)
    assert torch.equal(one.levels[0][0], found.levels[0][0])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.zeros(3, 5), r"vectors: expected floating point of shape \(3, 2\)"),
        (torch.zeros(2, 2), r"vectors: expected 3, one per signal, got 2"),
        (torch.tensor([torch.inf, 0.0]), "vectors: expected finite numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_at_once(vectors: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_generator("pixelcnn", vectors=2).stream(3, vectors=vectors)
    with pytest.raises(DataError, match="vectors: expected none"):
        make_generator("pixelcnn").stream(3, vectors=torch.zeros(2))
