"""The sections of a configuration: what each holds, and which there are.

A tokenizer of one level has the sections encoder, quantizer and decoder, one of several levels has
``level1`` (the coarsest), ``level2``, ..., each with an encoder, a quantizer and a decoder. The
configuration of a prior has a section ``prior`` in their place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vocabula import registry
from vocabula.errors import OptionError
from vocabula.levels import is_level, level_names

FLAT = ("encoder", "quantizer", "decoder")
SHARED = ("likelihood", "data", "optimizer", "schedule", "training")
OF_KIND = ("signal", "scaling")
"""Sections of kinds other than images, which configurations of images leave out."""

LOOKS = ("perceptual", "adversary")
"""Sections of terms beside the reconstruction loss, which most configurations leave out."""

PRIOR = (
    *("prior", "conditioning", "captions", "held_out", "context"),
    *("optimizer", "schedule", "training"),
)

WIRED = {
    "encoder": ("in_channels", "dim"),
    "decoder": ("dim", "out_channels", "axes", "attributes", "names"),
    "signal": ("channels",),
    "scaling": ("channels",),
}
"""Options of networks that follow from other parts, so that settings may leave them out."""
FROM_DATA = {
    "prior": ("codes", "conditioning"),
    "conditioning": ("classes", "text_tokens", "text_length", "upper", "attributes", "vectors"),
}
"""Options that follow from the tokens and captions, so that settings must leave them out."""


def section_names(given: Collection[str]) -> tuple[str, ...]:
    """The sections of the configuration that has the sections `given`, in order.

    Raises:
        OptionError: the levels are not numbered without gaps, or a prior has looks.
    """
    if is_prior(given):
        for name in LOOKS:
            if name in given:
                raise OptionError(
                    f"{name}: expected the configuration of a tokenizer, got that of a prior; "
                    "leave the section out"
                )
        return PRIOR
    kind, looks = ([name for name in some if name in given] for some in (OF_KIND, LOOKS))
    return (*kind, *(level_names(given) or FLAT), *looks, *SHARED)


def is_prior(given: Collection[str]) -> bool:
    """Whether the configuration that has the sections `given` is that of a prior."""
    return "prior" in given


def hidden_options(section: str) -> tuple[str, ...]:
    """Options of a section, or of its part, that are not shown unless they are given."""
    return WIRED.get(section, ()) + FROM_DATA.get(section, ())


def kind_of(section: str) -> str:
    """The kind of component that a section holds."""
    return "level" if is_level(section) else section


def networks(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where the encoder, quantizer and decoder of each level are: a prefix and their tables.

    The prefix is ``level1.`` and so on, and empty where there is one level.
    """
    names = level_names(sections)
    if not names:
        yield "", sections
    for name in names:
        yield f"{name}.", sections[name]


def check_section(section: str, table: Mapping[str, Any]) -> None:
    """Check every option of a section without building anything.

    Raises:
        OptionError: the first option that is unknown, missing or out of range.
    """
    for option in FROM_DATA.get(section, ()):
        if option in table:
            raise OptionError(
                f"{section}.{option}: expected nothing, got {table[option]!r}; it follows from the "
                "tokens and captions: leave it out"
            )
    if not is_level(section):
        registry.check(section, table, path=section, wired=hidden_options(section))
        return
    parts = [part for part in FLAT if part in table]
    others = {key: value for key, value in table.items() if key not in parts}
    registry.check("level", others, path=section, wired=parts)
    for part in parts:
        registry.check(part, table[part], path=f"{section}.{part}", wired=WIRED.get(part, ()))
