"""Captions as tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from priors.builders import make, two_books
from vocabula.errors import CheckpointError, DataError, OptionError
from vocabula.priors import Conditioning, Origin, TextTokenizer

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CAPTIONS = [f"a handwritten {digit}" for digit in DIGITS]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(CAPTIONS, size=200)


def test_captions_survive(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.encode(CAPTIONS, 8)
    assert tokens.shape == (10, 8) and tokens.dtype == torch.int64
    assert tokenizer.decode(tokens) == CAPTIONS
    assert len({tuple(row) for row in tokens.tolist()}) == 10


def test_words_that_are_frequent_are_one_token(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.encode(["a handwritten one"], 8)[0]
    assert int((tokens > 0).sum()) == 3
    assert tokens.tolist()[3:] == [0] * 5
    assert int(tokens.max()) < tokenizer.size <= 200


def test_case_width_and_spaces_do_not_matter(tokenizer: TextTokenizer) -> None:
    same = tokenizer.encode(
        ["a  Handwritten ONE ", "a handwritten one", "a handwritten \uff4fne"], 6
    )
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2])


def test_learning_is_deterministic(tokenizer: TextTokenizer) -> None:
    again = TextTokenizer.train(CAPTIONS, size=200)
    assert torch.equal(again.encode(CAPTIONS, 8), tokenizer.encode(CAPTIONS, 8))


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", "expected words, got ''; leave it out or write some"),
        ("  ", "expected words, got '  '"),
        ("a qne", "expected characters of the training captions, got 'q' in 'a qne'"),
        ("\u4e03", "expected characters of the training captions, got '\u4e03'"),
        ("one " * 9, "expected at most 8 tokens, got 9"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tokenizer: TextTokenizer, caption: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        tokenizer.encode([caption], 8)


def test_what_cannot_be_written_can_be_cut(tokenizer: TextTokenizer) -> None:
    rows = tokenizer.encode(["", "one oq", "one " * 9], 4, strict=False)
    one = int(tokenizer.encode(["one"], 1))
    assert rows[0].tolist() == [0] * 4 and rows[2].tolist() == [one] * 4
    assert rows[1, 0] == one and 1 in rows[1].tolist()


def test_the_names_of_special_tokens_are_ordinary_words(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    """Else "[PAD]" would be a caption that says "no text"."""
    for name in ("[PAD]", "a [PAD] one", "[UNK]"):
        with pytest.raises(DataError, match=r"expected characters of the training captions"):
            tokenizer.encode([name], 8)
    learned = TextTokenizer.train(["a [PAD] one", "[UNK]"])
    learned.save(tmp_path)
    for same in (learned, TextTokenizer.load(tmp_path)):
        assert same.decode(same.encode(["a [PAD] one", "[UNK]"], 8)) == ["a [pad] one", "[unk]"]


def test_no_captions_at_all() -> None:
    with pytest.raises(DataError, match="captions: expected texts, got none that is not empty"):
        TextTokenizer.train(["", " "])


def test_files(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = TextTokenizer.load(tmp_path)
    assert loaded.size == tokenizer.size
    assert torch.equal(loaded.encode(CAPTIONS, 8), tokenizer.encode(CAPTIONS, 8))
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(
        CheckpointError, match="expected a text tokenizer, got a missing or damaged"
    ):
        TextTokenizer.load(tmp_path)


def test_a_prior_turns_words_into_conditions(tokenizer: TextTokenizer) -> None:
    known = Conditioning(classes=10, text_tokens=tokenizer.size, text_length=8)
    prior = make("pixelcnn", two_books((2, 2)), known)
    prior.text_tokenizer = tokenizer
    prior.origin = Origin(names={"class": tuple(DIGITS)})
    by_text = prior.condition(2, text="A handwritten seven")
    assert torch.equal(by_text.text[1], tokenizer.encode(["a handwritten seven"], 8)[0])
    for label in ("seven", 7, "7"):
        given = prior.condition(3, attributes={"class": label})
        assert given.attributes["class"].tolist() == [7, 7, 7]
    for label in ("ten", 10, -1, "-1"):
        with pytest.raises(
            DataError, match=r"class: expected an index in \[0, 10\) or one of zero"
        ):
            prior.condition(1, attributes={"class": label})


def test_a_prior_without_text_or_classes_says_so(tokenizer: TextTokenizer) -> None:
    prior = make("pixelcnn", two_books((2, 2)))
    with pytest.raises(DataError, match="this prior was trained without captions"):
        prior.condition(1, text="one")
    with pytest.raises(DataError, match="this prior was trained without classes"):
        prior.condition(1, attributes={"class": 0})
    with pytest.raises(OptionError, match=f"expected at least {tokenizer.size}"):
        prior.text_tokenizer = tokenizer
