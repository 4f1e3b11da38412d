"""An attribute that the package does not name, from the token file to the samples: a speaker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from priors.builders import PRIORS, every_prior, make, random_codes, two_books
from priors.generators import make_generator
from vocabula import registry
from vocabula.data.code_arrays import read_codes, value_count
from vocabula.data.code_batches import train_code_batches
from vocabula.data.token_file import TokenFile, read_tokens
from vocabula.data.token_records import TokenBatch
from vocabula.errors import DataError, OptionError
from vocabula.pipelines.sample import sample_folder
from vocabula.pipelines.sample_options import SampleOptions
from vocabula.priors import (
    CodeGrid,
    Condition,
    Conditioning,
    Drawing,
    Origin,
    PixelCNN,
    load,
    load_generator,
    save,
)
from vocabula.priors import data as prior_data
from vocabula.priors.card import prior_card
from vocabula.priors.conditioned import ConditionedCodes
from vocabula.priors.data import read_prior_data
from vocabula.priors.sources import Sources
from vocabula.priors.vocabulary import TokenVocabulary
from vocabula.reports.prior import build_prior_report
from vocabula.tokenizers import load as load_tokenizer
from vocabula.training import load_config, train_prior

SPEAKERS = ("anna", "ben")
convolutional = pytest.mark.parametrize("kind", ["pixelcnn", "pixelsnail"])


class SpokenBatch(TokenBatch):
    """Codes of which the label is the speaker; the class has no bearing on them."""

    @property
    def attributes(self) -> dict[str, Any]:
        numbers = np.array([int(path.partition(".")[0]) for path in self.paths])
        return {"class": numbers // 2 % 3, "speaker": self.labels}


class SpokenFile(TokenFile):
    """A file of tokens with two attributes."""

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        return {"class": (), "speaker": SPEAKERS}

    def batches(self) -> Iterator[TokenBatch]:
        for batch in super().batches():
            yield SpokenBatch(batch.levels, batch.paths, batch.labels, batch.extents)


def read_spoken(path: Any, **options: Any) -> TokenFile:
    tokens = read_tokens(path, **options)
    tokens.__class__ = SpokenFile
    return tokens


@pytest.fixture
def spoken(coded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tokenizer and codes: each code is the one before it plus 1, or plus 2 if ben speaks."""
    monkeypatch.setattr(prior_data, "read_tokens", read_spoken)
    return coded(classes=2)


def followed(codes: Tensor, step: int) -> float:
    """The share of codes (B, h, w) that are the code before them plus `step`."""
    return float(((codes[:, :, 1:] - codes[:, :, :-1]) % 16 == step).double().mean())


# ---------------------------------------------------------------- the whole way


@pytest.mark.parametrize(
    ("model", "options"),
    [
        pytest.param("pixelcnn", ["prior.hidden=16", "prior.layers=2"], marks=pytest.mark.slow),
        ("transformer", ["prior.hidden=32", "prior.layers=1", "prior.heads=2"]),
    ],
)
def test_samples_are_drawn_by_speaker(
    model: str, options: list[str], spoken: Any, tmp_path: Path
) -> None:
    common = ["training.steps=150", "training.batch_size=32", "optimizer.learning_rate=0.02"]
    common += ["schedule.warmup=5", "training.threads=1", "held_out.every=50", "prior.dropout=0"]
    common += ["conditioning.dropout=0.3", "training.memory_check=false"]
    out = tmp_path / "prior"
    config = load_config(model, [*options, *common])
    (figures,) = train_prior(config, spoken.run, spoken.tokens, out, progress=False)["levels"]
    saved = figures["nats_per_token_without_condition"] - figures["nats_per_token"]
    assert saved > 0.1  # who speaks is half of a bit for one or two codes of each row
    generator = load_generator(out)
    assert generator.conditioning.values == {"class": 3, "speaker": 2}
    assert generator.names_of("speaker") == SPEAKERS and generator.class_names == ()
    anyone = generator.sample(64, seed=0).levels[0]
    for step, speaker in enumerate(SPEAKERS, 1):
        drawn = {
            guidance: generator.sample(
                64, attributes={"speaker": speaker}, drawing=Drawing(guidance=guidance), seed=0
            ).levels[0]
            for guidance in (0.0, 1.0, 2.0)
        }
        for guidance in (1.0, 2.0):
            assert followed(drawn[guidance], step) > 2 * followed(drawn[guidance], 3 - step)
        assert not torch.equal(drawn[1.0], drawn[2.0])
        assert (drawn[0.0] == anyone).double().mean() > 0.99  # equal but for rounding
    report = build_prior_report(generator, out, tmp_path / "page.html", samples=6)
    (level,) = report["levels"]
    assert level["nats_per_token"] == pytest.approx(figures["nats_per_token"], rel=1e-4)
    assert level["nats_per_token_without_condition"] > level["nats_per_token"]
    both = {"speaker": [0, 1] * 32, "class": 2}
    codes = generator.sample(64, attributes=both, seed=0).levels[0]
    assert followed(codes[::2], 1) > followed(codes[1::2], 1)


def test_codes_come_with_all_their_attributes(spoken: Any) -> None:
    arrays = read_codes(read_spoken(spoken.tokens))
    assert arrays.attributes.keys() == {"class", "speaker"}
    assert arrays.attributes["speaker"].tolist() == [0, 1] * 48
    assert [value_count(arrays, name, None) for name in ("class", "speaker")] == [3, 2]
    batch = next(train_code_batches(arrays, batch_size=8, seed=0))
    assert torch.equal(batch.attributes["speaker"], batch.indices % 2)
    taken = arrays.take(np.array([3, 0]))
    assert taken.attributes["speaker"].tolist() == [1, 0]
    turned = {**arrays.attributes, "speaker": 1 - arrays.attributes["speaker"]}
    assert replace(arrays, attributes=turned).digest() != arrays.digest()
    renamed = {"class": arrays.attributes["class"], "voice": arrays.attributes["speaker"]}
    assert replace(arrays, attributes=renamed).digest() != arrays.digest()
    data = ConditionedCodes(arrays, attributes=("speaker",))
    assert list(data.of(batch)[1].attributes) == ["speaker"]


def test_attributes_are_part_of_what_a_run_learns_from(
    spoken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(spoken.run)
    data = read_prior_data(tokenizer, Sources(spoken.tokens))
    assert data.attributes == {"class": 3, "speaker": 2} and data.names == {"speaker": SPEAKERS}
    none = read_prior_data(tokenizer, Sources(spoken.tokens, classes=False))
    assert not none.attributes and not none.names and not none.held_out.attributes
    assert "attributes" in data.identity and "attributes" not in none.identity
    monkeypatch.setattr(SpokenFile, "names", {"class": (), "speaker": ("ann", "ben")})
    assert read_prior_data(tokenizer, Sources(spoken.tokens)).identity != data.identity


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ({"class": ("a", "b", "c")}, r"expected the attribute speaker, as in .*, got class; enc"),
        ({"class": (), "speaker": ("ben", "anna")}, r"expected speaker 0 to be 'anna', as in"),
    ],
)
def test_held_out_codes_must_have_the_same_attributes(
    held_out: dict[str, Any], message: str, spoken: Any, coded: Callable[..., Any]
) -> None:
    other = coded(8, classes=2, name="other")

    class Other(SpokenFile):
        names = held_out  # type: ignore[assignment]

    def read(path: Any, **options: Any) -> TokenFile:
        tokens = read_spoken(path, **options)
        if path == other.tokens:
            tokens.__class__ = Other
        return tokens

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior_data, "read_tokens", read)
        with pytest.raises(DataError, match=message):
            read_prior_data(
                load_tokenizer(spoken.run), Sources(spoken.tokens, held_out=other.tokens)
            )


def test_values_that_are_no_indices_are_refused(spoken: Any) -> None:
    arrays = read_codes(read_spoken(spoken.tokens))
    with pytest.raises(DataError, match=r"1\.png: expected a value of speaker below 1, the number"):
        value_count(arrays, "speaker", ["anna"])
    large = replace(arrays, attributes={"speaker": np.full(len(arrays), 2**40)})
    with pytest.raises(DataError, match=r"expected values of speaker below 65536, got 1099511"):
        value_count(large, "speaker", None)


# -------------------------------------------------------------- within a prior

BOTH = Conditioning(classes=3, attributes={"speaker": 4, "room": 2})


def given(batch: int = 4, **more: Any) -> Condition:
    values = {"class": 3, "speaker": 4, "room": 2}
    return Condition({name: torch.arange(batch) % n for name, n in values.items()}, **more)


@every_prior
def test_each_attribute_matters_and_is_withheld(kind: str) -> None:
    prior = make(kind, two_books((2, 2)), replace(BOTH, dropout=1 - 1e-12))
    codes = random_codes(prior.codes, 4)
    known, without = prior.log_prob(codes, given()), prior.log_prob(codes)
    for name in BOTH.values:
        attributes = {**given().attributes, name: (given().attributes[name] + 1) % 2}
        assert not torch.allclose(prior.log_prob(codes, Condition(attributes)), known)
        alone = Condition({name: given().attributes[name]})
        assert not torch.allclose(prior.log_prob(codes, alone), without)
    torch.testing.assert_close(prior.log_prob(codes, given().without()), without)
    torch.testing.assert_close(prior.train().loss(codes, given()), prior.eval().loss(codes))


@every_prior
def test_probabilities_sum_to_one_and_samples_follow_the_cache(kind: str) -> None:
    prior = make(kind, CodeGrid((4,), (1, 1)), BOTH)
    every = torch.arange(4).reshape(4, 1, 1)
    one = given(1)
    four = one.beside(one).beside(one.beside(one))
    assert prior.log_prob(every, four).exp().sum().item() == pytest.approx(1, abs=1e-12)
    wide = make(kind, two_books((2, 3)), BOTH)
    drawn = wide.sample((5, 2, 3), given(5), guidance=1.5, seed=0)
    assert torch.equal(drawn, wide.sample((5, 2, 3), given(5), guidance=1.5, seed=0, cache=False))


@every_prior
def test_attributes_are_saved_and_loaded_in_any_order(kind: str, tmp_path: Path) -> None:
    prior = make(kind, two_books((3, 3)), BOTH)
    prior.origin = Origin("f00d", {"class": ("a", "b", "c"), "speaker": ("w", "x", "y", "z")})
    save(prior, tmp_path)
    loaded = load(tmp_path)
    assert loaded.origin == prior.origin and loaded.fingerprint() == prior.fingerprint()
    codes = random_codes(prior.codes, 4)
    assert torch.equal(loaded.log_prob(codes, given()), prior.log_prob(codes, given()))
    assert loaded.condition(1, attributes={"speaker": "y"}).attributes["speaker"].tolist() == [2]
    turned = make(kind, two_books((3, 3)), replace(BOTH, attributes={"room": 2, "speaker": 4}))
    assert turned.fingerprint() == prior.fingerprint()
    assert "3 classes, 2 values of room, 4 values of speaker" in prior_card(prior, {})


def test_tokens_of_attributes_by_hand() -> None:
    """3 + 5 + 5 symbols, 3 classes and "no class", 2 rooms and none, 4 speakers and none, start."""
    vocabulary = TokenVocabulary(two_books((2,)), BOTH)
    assert (vocabulary.size, vocabulary.start, vocabulary.prefix_length) == (26, 25, 4)
    none = torch.tensor([-1])
    known = Condition({"class": none, "speaker": torch.tensor([1]), "room": torch.tensor([0])})
    assert vocabulary.prefix(known, 1, torch.device("cpu")).tolist() == [[16, 17, 21, 25]]
    unknown = BOTH.complete(None, 1, torch.device("cpu"))
    assert vocabulary.prefix(unknown, 1, torch.device("cpu")).tolist() == [[16, 19, 24, 25]]


def test_any_name_can_be_that_of_an_attribute() -> None:
    names = ("type", "keys", "training", "forward", "labels", "größe")
    known = Conditioning(attributes=dict.fromkeys(names, 2))
    prior = make("pixelcnn", two_books((2, 2)), known)
    condition = Condition({name: torch.tensor([1]) for name in names})
    assert prior.log_prob(random_codes(prior.codes, 1), condition).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"speaker": torch.tensor([4, 0])}, r"condition\.speaker: expected values in \[-1, 4\), g"),
        ({"speaker": torch.tensor([0])}, r"condition\.speaker: expected 2, one per signal, got 1"),
        ({"speaker": torch.zeros(2)}, r"condition\.speaker: expected integers of 1 axes, batch"),
        ({"accent": torch.zeros(2).long()}, r"condition\.accent: .* made without accent: leave"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Tensor], message: str) -> None:
    prior = make("pixelcnn", two_books((2, 2)), BOTH)
    with pytest.raises(DataError, match=message) as caught:
        prior.log_prob(random_codes(prior.codes, 2), Condition(wrong))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"speaker": "cleo"}, r"speaker: expected an index in \[0, 2\) or one of anna, ben, got"),
        ({"speaker": 2}, r"speaker: expected an index in \[0, 2\)"),
        ({"speaker": [0]}, "speaker: expected one, or 2, got 1; repeat some"),
        ({"accent": 0}, "accent: .*; this prior was trained without accent: leave it out"),
    ],
)
def test_words_for_no_value_are_refused(wanted: dict[str, Any], message: str) -> None:
    generator = make_generator(attributes={"speaker": 2}, names={"speaker": SPEAKERS})
    with pytest.raises(DataError, match=message):
        generator.sample(2, attributes=wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": {"class": 2}}, r"conditioning\.attributes: expected names of .*'class'"),
        ({"attributes": {"my speaker": 2}}, "got 'my speaker'; rename it"),
        ({"attributes": {"speaker": 0}}, r"expected a table of names, each with an integer >= 1"),
        ({"attributes": ["speaker"]}, r"expected a table of names, each with an integer >= 1"),
        ({"vectors": -1}, r"vectors: expected an integer >= 0, got -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Conditioning(**options)


def test_settings_without_them_stay_as_they_were() -> None:
    plain = registry.spec(Conditioning(classes=2))
    assert list(plain) == ["name", "classes", "text_tokens", "text_length", "upper", "dropout"]
    assert registry.spec(Conditioning(classes=2, attributes={})) == plain
    assert registry.spec(BOTH)["attributes"] == {"speaker": 4, "room": 2}
    assert registry.build("conditioning", registry.spec(BOTH)) == BOTH


# ------------------------------------------------------------------- generators


def test_finer_levels_know_the_same_attributes() -> None:
    generator = make_generator("pixelcnn", 2, attributes={"speaker": 2})
    other = make_generator("pixelcnn", 2, attributes={"speaker": 3})
    with pytest.raises(OptionError, match=r"expected the values of speaker of .* prior, 2, got 3"):
        type(generator)(generator.tokenizer, [generator.priors[0], other.priors[1]])
    drawn = generator.sample(2, attributes={"speaker": 1}, seed=0).levels
    first = generator.priors[0].sample(
        (2, *drawn[0].shape[1:3]), Condition({"speaker": torch.tensor([1, 1])}), seed=0
    )
    assert torch.equal(drawn[0], first)


def test_a_folder_of_samples_names_the_speaker(tmp_path: Path) -> None:
    generator = make_generator(
        channels=3, classes=3, attributes={"speaker": 2}, names={"speaker": SPEAKERS}
    )
    options = SampleOptions(2, {"class": (1,), "speaker": ("ben", 0)}, seed=1)
    sample_folder(generator, options, tmp_path, codes=tmp_path / "c.parquet")
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["00000-one-ben.png", "00001-one-anna.png"]
    settings = json.loads((tmp_path / "samples.json").read_text())["settings"]
    assert settings["labels"] == [1] and settings["attributes"] == {"speaker": [1, 0]}
    assert [record.label for record in read_tokens(tmp_path / "c.parquet")] == [1, 1]
    more = replace(options, count=3)
    assert sample_folder(generator, more, tmp_path, resume=True).finished == 3
    for changed in ({"class": (1,)}, {"class": (1,), "speaker": (0,)}):
        with pytest.raises(OptionError, match=r"sample\.attributes: expected that of the samples"):
            sample_folder(generator, replace(more, attributes=changed), tmp_path, resume=True)


# ---------------------------------------------------------------------- vectors


@convolutional
def test_a_vector_is_a_condition_like_the_others(kind: str, tmp_path: Path) -> None:
    prior = make(kind, two_books((2, 3)), Conditioning(classes=3, vectors=2, dropout=1 - 1e-12))
    codes, vectors = random_codes(prior.codes, 4), torch.randn(4, 2)
    known = Condition({"class": torch.arange(4) % 3}, vectors=vectors)
    nats, without = prior.log_prob(codes, known), prior.log_prob(codes)
    other = Condition(known.attributes, vectors=vectors + 1)
    assert not torch.isclose(prior.log_prob(codes, other), nats).any()
    torch.testing.assert_close(prior.train().loss(codes, known), prior.eval().loss(codes))
    some = prior.log_prob(codes, known.without(torch.tensor([True, False, True, False])))
    torch.testing.assert_close(some[::2], without[::2])
    torch.testing.assert_close(some[1::2], nats[1::2])
    zero = Condition(vectors=torch.zeros(4, 2))  # the vector 0 is a vector
    assert not torch.isclose(prior.log_prob(codes, zero), without).any()
    drawn = prior.sample((4, 2, 3), known, guidance=2.0, seed=0)
    save(prior, tmp_path)
    assert torch.equal(load(tmp_path).sample((4, 2, 3), known, guidance=2.0, seed=0), drawn)


def test_a_prior_learns_where_it_has_no_vector_too() -> None:
    torch.manual_seed(0)
    known = Conditioning(vectors=2, dropout=0.5)
    prior = PixelCNN(CodeGrid((4,), (2, 3)), known, hidden=12, layers=2)
    codes, vectors = torch.randint(4, (8, 2, 3)), torch.randn(8, 2)
    prior.train().loss(codes, Condition(vectors=vectors)).backward()
    for name, parameter in prior.encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.zeros(2, 3), r"expected floating point of shape \(2, 2\), got float32 of shape"),
        (
            torch.zeros(2, 2).long(),
            r"expected floating point .*, got int64 of shape \(2, 2\); give",
        ),
        (torch.tensor([[1.0, 2.0], [1.0, torch.inf]]), "expected finite numbers, or a row of NaN"),
        (torch.zeros(1, 2), "expected 2, one per signal, got 1"),
    ],
)
def test_wrong_vectors_are_refused(vectors: Tensor, message: str) -> None:
    prior = make("pixelcnn", two_books((2, 2)), Conditioning(vectors=2))
    with pytest.raises(DataError, match=rf"condition\.vectors: {message}"):
        prior.log_prob(random_codes(prior.codes, 2), Condition(vectors=vectors))


@every_prior
def test_a_prior_that_was_made_without_vectors_says_so(kind: str) -> None:
    prior = make(kind, two_books((2, 2)), BOTH)
    with pytest.raises(DataError, match=r"condition\.vectors: expected none, got some; this prior"):
        prior.log_prob(random_codes(prior.codes, 2), Condition(vectors=torch.zeros(2, 2)))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_transformer_takes_no_vectors(kind: str) -> None:
    with pytest.raises(OptionError, match=r"transformer\.conditioning: expected no vectors, got"):
        PRIORS[kind](CodeGrid((4,), (2, 2)), Conditioning(vectors=2))
