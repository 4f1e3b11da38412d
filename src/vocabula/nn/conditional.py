"""Decoders that know attributes, such as the speaker: which, what values are called, which miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.nn.base import Decoder
from vocabula.signals import Condition
from vocabula.signals.attributes import NOT_GIVEN, in_order


class AttributeEmbedding(nn.Module):
    """One vector for the attributes of a signal: the sum of a learned vector for each.

    Args:
        values: number of values of each attribute by name.
        width: of the vectors.
        dropout: probability in training that all of a signal's attributes are withheld.

    Shape:
        a `Condition` of B signals -> (B, width).
    """

    def __init__(self, values: Mapping[str, int], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.names, self.dropout = tuple(values), dropout
        # the first row of each says "not given"
        self.tables = nn.ModuleList(nn.Embedding(1 + n, width) for n in values.values())

    def forward(self, condition: Condition | None, batch: int, device: torch.device) -> Tensor:
        """The vectors (B, width) of the known attributes; others count as not given."""
        known = {} if condition is None else condition.attributes
        nothing = torch.full((batch,), NOT_GIVEN, device=device)
        hidden = nothing.bool() & False
        if self.training and self.dropout:
            hidden = torch.rand(batch, device=device) < self.dropout
        rows = [
            table(known.get(name, nothing).masked_fill(hidden, NOT_GIVEN) - NOT_GIVEN)
            for name, table in zip(self.names, self.tables, strict=True)
        ]
        return torch.stack(rows).sum(0)


class ConditionalDecoder(Decoder):
    """A decoder that attributes of the data modulate.

    A subclass calls `take` in its constructor, and `embedded` in its forward pass.

    Attributes:
        embedding: the vectors of the attributes.
    """

    conditional: ClassVar[bool] = True
    embedding: AttributeEmbedding

    def take(
        self,
        attributes: Mapping[str, int],
        names: Mapping[str, Sequence[str]] | None,
        given: Sequence[str] | None,
    ) -> dict[str, int]:
        """Set `attributes` and `names` to those that are taken, in order.

        Args:
            attributes: number of values of each attribute of the data.
            names: what the values are called, in order, where they have names.
            given: the attributes to take; None takes all.

        Returns:
            The attributes that are taken.

        Raises:
            OptionError: there is no attribute, `given` names an unknown one, or names and values
                differ in number.
        """
        owner = f"decoder {registry.name_of(self)}"
        taken = _taken(in_order(attributes), given, owner)
        self.attributes = taken
        self.names = {k: tuple(v) for k, v in (names or {}).items() if k in taken and v}
        _check_names(taken, self.names, owner)
        return taken

    def check_condition(self, condition: Condition | None) -> None:
        """Also check that no attribute is missing, unless the decoder learned to do without."""
        super().check_condition(condition)
        if self.training or self.embedding.dropout:
            return
        known = {} if condition is None else condition.attributes
        for name in self.embedding.names:
            if name not in known or bool((known[name] == NOT_GIVEN).any()):
                self.refuse_missing(name)

    def own_values(self, attribute: str, values: Tensor, names: Sequence[str]) -> Tensor:
        """See `Decoder.own_values`; who learned to do without takes new names as not given."""
        own = self.names.get(attribute, ())
        if self.embedding.dropout and own:
            new = [value for value, name in enumerate(names) if name not in own]
            strange = torch.isin(
                values, torch.tensor(new, dtype=values.dtype, device=values.device)
            )
            values = values.masked_fill(strange, NOT_GIVEN)
        return super().own_values(attribute, values, names)

    def embedded(self, condition: Condition | None, z: Tensor) -> Tensor:
        """The vectors (B, width) of the attributes of signals with vectors z (B, ...)."""
        found: Tensor = self.embedding(condition, len(z), z.device)
        return found


def _taken(
    attributes: Mapping[str, int], given: Sequence[str] | None, owner: str
) -> dict[str, int]:
    """The attributes that are taken, in order."""
    for name in given or ():
        if name not in attributes:
            raise OptionError(
                f"{owner}.given: expected some of {', '.join(attributes) or 'no attributes'}, "
                f"got {name!r}; name attributes of the data"
            )
    taken = {name: n for name, n in attributes.items() if given is None or name in given}
    if not taken:
        raise OptionError(
            f"{owner}: expected data with labels or other attributes, got none; give data that "
            "have some, or another decoder"
        )
    return taken


def _check_names(
    attributes: Mapping[str, int], names: Mapping[str, Sequence[str]], owner: str
) -> None:
    for name, own in names.items():
        if len(own) != attributes[name]:
            raise OptionError(
                f"{owner}.names: expected {attributes[name]} names of {name}, one for each "
                f"value, got {len(own)}; leave them out, or give as many"
            )
