"""The model card of a saved prior: what it is, how to load it, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vocabula.errors import picture_size, plural
from vocabula.signals.attributes import attribute_words
from vocabula.tokenizers.card import card_sections, figure

if TYPE_CHECKING:
    from vocabula.priors.prior import Prior

TEMPLATE = """\
---
library_name: {library}
tags:
- vocabula
- autoregressive-prior
---

# Prior over codes

A {kind} over grids of {grid} with codebooks of {sizes}, conditioned on {conditions}.

```python
from vocabula.priors import load

prior = load("path/to/this/folder")
codes = prior.sample((16, {grid_comma}), seed=0)
```
{foreign}
Fingerprint: `{fingerprint}`

Tokenizer that its codes belong to: `{tokenizer}`

{sections}"""
FOREIGN = """
It is an ordinary causal language model of the transformers library too:
`AutoModelForCausalLM.from_pretrained("path/to/this/folder")`. A prompt is {prefix} tokens long and
ends with token {start}; {count} tokens follow.
"""


def prior_card(
    prior: Prior,
    settings: Mapping[str, Any],
    *,
    data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> str:
    """The text of README.md in Markdown, with the header that model hubs read.

    Args:
        prior: the model.
        settings: its configuration.
        data: what it was trained on.
        metrics: figures by name, each with its unit in the name.
        command: what made it.
    """
    codes, vocabulary = prior.codes, getattr(prior, "vocabulary", None)
    foreign = ""
    if vocabulary is not None:
        count = codes.positions * len(codes.slots)
        foreign = FOREIGN.format(
            prefix=vocabulary.prefix_length, start=vocabulary.start, count=count
        )
    rows = [f"- {name}: {figure(value)}" for name, value in (metrics or {}).items()]
    return TEMPLATE.format(
        library="transformers" if foreign else "vocabula",
        kind=type(prior).__name__,
        grid=plural(picture_size(*codes.grid), "position"),
        grid_comma=", ".join(map(str, codes.grid)),
        sizes=", ".join(map(str, codes.codebook_sizes)),
        conditions=_conditions(prior),
        foreign=foreign,
        fingerprint=prior.fingerprint(),
        tokenizer=prior.origin.tokenizer or "not stated",
        sections=card_sections(
            settings, data=data, metrics="\n".join(rows) or None, command=command
        ),
    )


def _conditions(prior: Prior) -> str:
    known = prior.conditioning
    parts = attribute_words(known.values)
    parts += [f"text of at most {plural(known.text_length, 'token')}"] if known.text_tokens else []
    parts += [f"a vector of {plural(known.vectors, 'number')}"] if known.vectors else []
    parts += [f"the codes of {plural(len(known.upper), 'coarser level')}"] if known.upper else []
    return ", ".join(parts) or "nothing"
