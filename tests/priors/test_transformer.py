"""The Transformer prior as a language model of the transformers library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from priors.builders import condition, conditioning, make, random_codes, two_books
from vocabula.priors import CodeGrid, Condition, Conditioning, save
from vocabula.priors.vocabulary import TokenVocabulary

architectures = pytest.mark.parametrize("kind", ["gpt2", "llama"])
UPPER = CodeGrid((4,), (2,))


def test_the_vocabulary_by_hand() -> None:
    """6 text tokens, 3 + 5 + 5 symbols, 4 coarser codes, 2 classes, "no class", start."""
    known = Conditioning(classes=2, text_tokens=6, text_length=3, upper=[UPPER])
    vocabulary = TokenVocabulary(two_books((2,)), known)
    assert vocabulary.size == 6 + 13 + 4 + 3 + 1
    assert vocabulary.offsets == [6, 9, 14]
    assert (vocabulary.start, vocabulary.prefix_length) == (26, 3 + 1 + 2 + 1)
    given = Condition(
        {"class": torch.tensor([1, -1])},
        torch.tensor([[5, 2, 0], [0, 0, 0]]),
        upper=(torch.tensor([[0, 3], [2, 1]]),),
    )
    prefix = vocabulary.prefix(given, 2, torch.device("cpu"))
    assert prefix.tolist() == [[5, 2, 0, 24, 19, 22, 26], [0, 0, 0, 25, 21, 20, 26]]
    symbols = torch.tensor([[[0, 0, 0], [2, 4, 2]]])
    assert vocabulary.tokens(symbols).tolist() == [[6, 9, 14, 8, 13, 16]]


def test_a_code_is_its_own_token_where_it_can_be() -> None:
    vocabulary = TokenVocabulary(CodeGrid((512,), (2, 2)), Conditioning())
    assert vocabulary.tokens(torch.arange(4).view(1, 2, 2, 1)).tolist() == [[0, 1, 2, 3]]
    assert (vocabulary.size, vocabulary.start, vocabulary.prefix_length) == (513, 512, 1)


@architectures
@pytest.mark.parametrize("given", ["nothing", "class", "text", "upper"])
def test_the_folder_opens_in_transformers(kind: str, given: str, tmp_path: Path) -> None:
    prior = make(kind, two_books((2, 3)), conditioning(given, (2, 3)))
    save(prior, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.model_type == kind and config.eos_token_id is None
    assert config.bos_token_id == prior.vocabulary.start
    tokens = torch.randint(prior.vocabulary.size, (2, 9))
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, prior.model(tokens).logits)
        expected = by_hand(prior, model, given)
    torch.testing.assert_close(*expected, rtol=0, atol=1e-9)


def by_hand(prior: object, model: torch.nn.Module, given: str) -> tuple[Tensor, Tensor]:
    """Log-probabilities of codes, by the prior and from the plain model's logits."""
    codes = random_codes(prior.codes, 2)
    wanted = condition(given, (2, 3), 2)
    complete = prior.conditioning.complete(wanted, 2, prior.device)
    vocabulary = prior.vocabulary
    symbols = prior.codes.split(codes)
    tokens = torch.cat(
        [vocabulary.prefix(complete, 2, prior.device), vocabulary.tokens(symbols)], 1
    )
    logits = model(tokens[:, :-1]).logits[:, vocabulary.prefix_length - 1 :]
    total = torch.zeros(2, dtype=torch.float64)
    for time, (start, size) in enumerate([(0, 3), (3, 5), (8, 5)] * 6):
        start += prior.conditioning.text_tokens
        row = logits[:, time, start : start + size]
        symbol = tokens[:, vocabulary.prefix_length + time] - start
        if time % 3 == 2:  # 23 codes: after a first digit 4 only 0, 1 and 2
            last = symbols.flatten(1)[:, time - 1] == 4
            row = row.masked_fill(last[:, None] & (torch.arange(5) > 2), -torch.inf)
        total += row.log_softmax(-1).gather(1, symbol[:, None])[:, 0]
    return prior.log_prob(codes, wanted), total


@architectures
def test_the_loss_is_that_of_transformers(kind: str) -> None:
    prior = make(kind, CodeGrid((7,), (2, 3)), conditioning("class", (2, 3)))
    codes, wanted = random_codes(prior.codes, 4), condition("class", (2, 3), 4)
    complete = prior.conditioning.complete(wanted, 4, prior.device)
    prefix = prior.vocabulary.prefix(complete, 4, prior.device)
    tokens = torch.cat([prefix, codes.flatten(1)], 1)
    labels = tokens.clone()
    labels[:, : prefix.shape[1]] = -100
    theirs = prior.model(tokens, labels=labels).loss
    torch.testing.assert_close(prior.loss(codes, wanted), theirs.double(), rtol=1e-5, atol=0)


@architectures
def test_generate_gives_the_same_codes(kind: str, tmp_path: Path) -> None:
    prior = make(kind, CodeGrid((9,), (3, 4)))
    save(prior, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    prompt = torch.full((2, 1), prior.vocabulary.start)
    tokens = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=12,
        do_sample=False,
        suppress_tokens=[prior.vocabulary.start],
        pad_token_id=0,
    )
    assert torch.equal(tokens[:, 1:].view(2, 3, 4), prior.sample((2, 3, 4), top_k=1))
