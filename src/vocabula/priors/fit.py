"""Whether priors and a tokenizer fit one another."""

from __future__ import annotations

from collections.abc import Sequence

from vocabula.errors import OptionError, picture_size, plural
from vocabula.priors.prior import Prior
from vocabula.signals.attributes import CLASS
from vocabula.signals.code_names import CodeNames, as_names
from vocabula.signals.codes import positions_of
from vocabula.tokenizers import CodeLevel, SignalTokenizer


def check_fit(tokenizer: SignalTokenizer, priors: Sequence[Prior]) -> None:
    """Check that each level has a prior that was made for this tokenizer's codes.

    Args:
        tokenizer: the tokenizer.
        priors: the prior of each level, the coarsest first.

    Raises:
        OptionError: they do not fit one another.
    """
    levels = tokenizer.levels
    if len(priors) != len(levels):
        raise OptionError(
            f"generator: expected a prior for each of {len(levels)} levels, the coarsest first, "
            f"got {len(priors)}; train one for each level of the tokenizer"
        )
    codes = tokenizer.code_names()
    for i, (prior, level) in enumerate(zip(priors, levels, strict=True)):
        name = f"prior of {level.title or 'the codes'}"
        check_origin(name, prior, codes)
        _check_books(name, prior, level)
        _check_upper(name, prior, priors[:i])
        _check_same_condition(name, prior, priors[0])
    _check_grids(tokenizer, priors)


def check_origin(name: str, prior: Prior, codes: CodeNames | str) -> None:
    """Check that a prior was made for the codes of a tokenizer, by their names or its fingerprint.

    Raises:
        OptionError: it was made for another tokenizer's codes.
    """
    made_for = prior.origin.tokenizer
    names = as_names(codes)
    if made_for and not names.know(made_for):
        raise OptionError(
            f"{name}: expected one of tokenizer {names.in_words(12)}, got one of tokenizer "
            f"{made_for[:12]}; use the tokenizer whose codes it was trained on, or train another"
        )


def _check_books(name: str, prior: Prior, level: CodeLevel) -> None:
    got, wanted = prior.codes.spec, level.quantizer.spec
    axes = len(positions_of(level.strides))
    if got != wanted or len(prior.codes.grid) != axes:
        raise OptionError(
            f"{name}: expected codebooks {wanted.codebook_sizes} on a grid of "
            f"{plural(axes, 'axis', 'axes')}, got "
            f"{got.codebook_sizes} on "
            f"{len(prior.codes.grid)}; train it on codes of this tokenizer"
        )


def _check_upper(name: str, prior: Prior, coarser: Sequence[Prior]) -> None:
    """A level's prior must be conditioned on the codes of all coarser levels."""
    wanted = [(other.codes.codebook_sizes, other.codes.grid) for other in coarser]
    got = [(upper.codebook_sizes, upper.grid) for upper in prior.conditioning.upper]
    if got != wanted:
        raise OptionError(
            f"{name}: expected it to be conditioned on coarser codes (codebooks, grid) "
            f"{wanted}, got {got}; train it on token files of this tokenizer"
        )


def _check_same_condition(name: str, prior: Prior, first: Prior) -> None:
    """A finer level must know the same attributes, texts and vectors as the coarsest level."""
    known, others = prior.conditioning, first.conditioning
    values = ((n, size, others.values.get(n, 0)) for n, size in known.values.items())
    for what, mine, its in (
        *(("classes" if n == CLASS else f"values of {n}", *sizes) for n, *sizes in values),
        ("vector width", known.vectors, others.vectors),
        ("text length", known.text_length, others.text_length),
        ("text vocabulary", _text(prior), _text(first)),
    ):
        if mine and mine != its:
            raise OptionError(
                f"{name}: expected the {what} of the coarsest level's prior, {its}, got {mine}; "
                "train all levels on the same captions and attributes"
            )


def _text(prior: Prior) -> str:
    return prior.text_tokenizer.fingerprint()[:12] if prior.text_tokenizer else ""


def _check_grids(tokenizer: SignalTokenizer, priors: Sequence[Prior]) -> None:
    """All levels must cover the same elements, those of the priors' training signals."""
    size = trained_extent(tokenizer, priors[0])
    wanted = tuple(map(positions_of, tokenizer.grids(*size)))
    got = tuple(prior.codes.grid for prior in priors)
    if got != wanted:
        raise OptionError(
            f"priors: expected grids {wanted} for {tokenizer.signal.plural} of "
            f"{picture_size(*size)} {tokenizer.signal.unit}s, got {got}; train them on tokens of "
            f"{tokenizer.signal.plural} of one size"
        )


def trained_extent(tokenizer: SignalTokenizer, prior: Prior) -> tuple[int, ...]:
    """The size along each axis of the signals that the coarsest prior was trained on."""
    sides = zip(prior.codes.grid, tokenizer.strides, strict=False)  # a signal may have no axes
    return prior.origin.image_size or tuple(size * stride for size, stride in sides)
