"""The data of a prior: codes, attributes and captions, split into fitted and held out."""

from __future__ import annotations

import hashlib
import json
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from vocabula.data import DataWarning, TokenFile, read_tokens
from vocabula.data.captions import Captions, read_captions
from vocabula.data.code_arrays import CodeArrays, read_codes, value_count
from vocabula.data.code_batches import split_codes
from vocabula.errors import DataError, plural
from vocabula.priors import TextTokenizer
from vocabula.priors.conditioned import CaptionTokens, ConditionedCodes
from vocabula.priors.crops import Crops, crops_of
from vocabula.priors.sources import Sources
from vocabula.signals.attributes import CLASS
from vocabula.tokenizers import SignalTokenizer

LONGEST = 64
"""Text tokens of the context where no option says how many."""
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class PriorData:
    """Codes of all levels with their conditions.

    Attributes:
        fitted: the data to learn from, at the coarsest level.
        held_out: the data to measure on, at the coarsest level.
        attributes: number of values of each attribute that is a condition, by name.
        names: what their values are called, by the attribute's name; without those that have none.
        text: the tokenizer of the captions, or None.
        text_length: number of tokens per caption; 0 for none.
        identity: values that a resumed run must find unchanged, by name.
    """

    fitted: ConditionedCodes
    held_out: ConditionedCodes
    attributes: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]
    text: TextTokenizer | None
    text_length: int
    identity: dict[str, str]

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the images, if all are equal; None for signals of other axes."""
        sizes = self.fitted.arrays.extents
        if sizes.shape[1] != 2 or (sizes != sizes[0]).any():
            return None
        return int(sizes[0, 0]), int(sizes[0, 1])

    def corners(self, extent: Sequence[int]) -> PriorData:
        """The same data with signals of equal grids; see `ConditionedCodes.corners`."""
        fitted, held_out = self.fitted.corners(extent), self.held_out.corners(extent)
        return replace(self, fitted=fitted, held_out=held_out)

    def of_level(self, level: int) -> PriorData:
        """The same data with another level to predict."""
        fitted, held_out = replace(self.fitted, level=level), replace(self.held_out, level=level)
        return replace(self, fitted=fitted, held_out=held_out)


def read_prior_data(
    tokenizer: SignalTokenizer,
    sources: Sources,
    *,
    share: float = 0.05,
    most: int = 2000,
    seed: int = 0,
    vocabulary: int = 1024,
    text_length: int | None = None,
    text: TextTokenizer | None = None,
    context: int | None = None,
    reach: int = 0,
    whole: bool = True,
) -> PriorData:
    """Read and check everything that a prior learns from.

    Args:
        tokenizer: what made the codes.
        sources: where the data are.
        share: fraction of the signals that is held out.
        most: largest number of signals held out.
        seed: seed of the draw of held-out signals.
        vocabulary: most tokens of the captions.
        text_length: tokens per caption; None: those of the longest training caption, at most 64.
        text: the captions' tokenizer; None learns one from the training captions.
        context: positions of the coarsest level that are seen at once, along each axis; None: whole
            signals, or of pictures of different sizes crops, see `crops_of`.
        reach: how many positions around a crop the prior sees; see `Prior.surround`.
        whole: whether it takes any grid; see `Prior.any_grid`.

    Raises:
        TokensError: a file is missing, damaged, or made by another tokenizer.
        DataError: grids do not fit crops, attributes do not fit the names of their values, captions
            are missing, or there are too few signals.
    """
    names_of_codes = tokenizer.code_names()
    new = text is None
    file = read_tokens(sources.tokens, fingerprint=names_of_codes)
    arrays = read_codes(file)
    values = _value_counts(arrays, file.names) if sources.classes else {}
    names = {name: own for name, own in file.names.items() if name in values and own}
    texts = _captions(sources, arrays)
    if sources.held_out is None:
        fitted, other, texts, other_texts = _split(arrays, texts, share, most, seed)
    else:
        held_out = read_tokens(sources.held_out, fingerprint=names_of_codes)
        fitted, other = arrays, _other(held_out, arrays, most, seed)
        other_texts = _captions(sources, other)
        _check_attributes(other, arrays.name, values, names, held_out.names)
    length = 0
    if texts is not None:
        flat = list(chain(*texts))
        text = text or TextTokenizer.train(flat, size=vocabulary)
        length = text_length or min(LONGEST, max(token_counts(text, flat)))
        if new:
            _warn_of_captions([*texts, *(other_texts or ())], text, length)

    def conditioned(codes: CodeArrays, own: Captions | None) -> ConditionedCodes:
        tokens = CaptionTokens.of(own, text, length) if text and own is not None else None
        found = ConditionedCodes(codes, 0, tuple(values), tokens, tokenizer.channels, context)
        return found if crops is None else _cropped(found, crops)

    _check_context(arrays, context)
    crops = None
    if arrays.sizes is not None:
        crops = crops_of(arrays, tokenizer, reach=reach, whole=whole, positions=context)
    identity = {
        "tokenizer": names_of_codes.written,
        "codes": arrays.digest()[:16],
        "held_out": other.digest()[:16],
        "captions": _digest(texts),
        "held_out_captions": _digest(other_texts),
        **_identity_of(values, names),
    }
    return PriorData(
        conditioned(fitted, texts),
        conditioned(other, other_texts),
        values,
        names,
        text if texts is not None else None,
        length,
        identity,
    )


def _cropped(data: ConditionedCodes, crops: Crops) -> ConditionedCodes:
    """The signals that crops can be learned from; see `Crops.fitting`."""
    fits = crops.fitting(data.arrays)
    found = replace(data, context=None, crops=crops)
    return found if len(fits) == len(data) else found.take(fits)


def _check_context(arrays: CodeArrays, context: int | None) -> None:
    """Refuse a context for signals of equal grids of several axes, or without axes."""
    axes = arrays.extents.shape[1]
    if context is not None and axes != 1 and arrays.sizes is None:
        raise DataError(
            f"context.positions: expected none, as {arrays.name} has signals of one size and "
            f"{plural(axes, 'axis', 'axes')}, got {context}; leave it out"
        )


def _identity_of(values: Mapping[str, int], names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What a resumed run must find unchanged of the attributes."""
    found = {
        "classes": str(values.get(CLASS, 0)),
        "class_names": _digest(names.get(CLASS, ()) if CLASS in values else None),
    }
    others = {name: [n, names.get(name)] for name, n in values.items() if name != CLASS}
    if others:  # else the identity is that of earlier releases
        found["attributes"] = _digest(others)
    return found


def _split(
    arrays: CodeArrays, texts: Captions | None, share: float, most: int, seed: int
) -> tuple[CodeArrays, CodeArrays, Captions | None, Captions | None]:
    if len(arrays) < 2:
        raise DataError(
            f"{arrays.name}: expected at least 2 signals, one to learn from and one to measure on, "
            f"got {len(arrays)}; encode more of them"
        )
    pictures = arrays.origins
    unknown = arrays.crops == 1 and len(set(pictures)) == 1  # one name for all is useless
    kept, out = split_codes(len(arrays) if unknown else pictures, share=share, most=most, seed=seed)
    if not len(kept):
        raise DataError(
            f"{arrays.name}: expected at least 2 pictures, one to learn from and one to measure on,"
            f" got {len(arrays)} signals of one; encode more pictures, or name others with"
            " --held-out"
        )
    parts = [None if texts is None else [texts[i] for i in which] for which in (kept, out)]
    return arrays.take(kept), arrays.take(out).loaded(), parts[0], parts[1]


def _other(file: TokenFile, arrays: CodeArrays, most: int, seed: int) -> CodeArrays:
    """Up to a number of codes from a file of held-out tokens that fit the grids of `arrays`."""
    other = read_codes(file)
    if arrays.sizes is not None:
        other = other.mixed()
    elif other.grids != arrays.grids and not _shorter(other, arrays):
        raise DataError(
            f"{other.name}: expected codes of grid {arrays.grids}, as in {arrays.name}, got "
            f"{other.grids}; encode signals of the same size"
        )
    if len(other) <= most:
        return other.loaded()
    return other.take(split_codes(len(other), share=1.0, most=most, seed=seed)[1]).loaded()


def _shorter(other: CodeArrays, arrays: CodeArrays) -> bool:
    """Whether signals have one axis and none is longer than the longest of `arrays`."""
    pairs = zip(other.grids, arrays.grids, strict=True)
    return other.extents.shape[1] == 1 and all(own <= its for own, its in pairs)


def _value_counts(arrays: CodeArrays, names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Number of values of each attribute that some signal has."""
    counts = {name: value_count(arrays, name, names[name]) for name in arrays.attributes}
    return {name: count for name, count in counts.items() if count}


def _check_attributes(
    other: CodeArrays,
    learned: str,
    values: Mapping[str, int],
    names: Mapping[str, Sequence[str]],
    its: Mapping[str, Sequence[str]],
) -> None:
    """Refuse held-out attributes with other values, or values of other names, than the learned."""
    for name, count in values.items():
        found = other.attributes.get(name)
        if found is None:
            raise DataError(
                f"{other.name}: expected the attribute {name}, as in {learned}, got "
                f"{', '.join(other.attributes)}; encode both in the same way, or train without "
                "attributes (--no-classes)"
            )
        what = "labels" if name == CLASS else f"values of {name}"
        if value_count(other, name, names.get(name)) > count:
            raise DataError(
                f"{other.name}: expected {what} below {count}, as in {learned}, got "
                f"{int(found.max())}; measure on data of the same"
                f" {'classes' if name == CLASS else 'values'}"
            )
        if names.get(name) and its.get(name):
            _check_names(other, name, names[name], its[name])


def _check_names(
    other: CodeArrays, attribute: str, names: Sequence[str], its: Sequence[str]
) -> None:
    """Refuse held-out values whose names differ from those of the training data."""
    found = other.attributes[attribute]
    for index in np.unique(found[found >= 0]).tolist():
        mine, own = names[index], its[index] if index < len(its) else None
        if mine != own:
            raise DataError(
                f"{other.name}: expected {attribute} {index} to be {mine!r}, as in the codes that "
                f"are learned, got {own!r}; encode both with the same names, or train without them "
                "(--no-classes)"
            )


def _captions(sources: Sources, arrays: CodeArrays) -> Captions | None:
    if sources.captions is None:
        return None
    return read_captions(sources.captions, arrays.origins, column=sources.caption_column)


def token_counts(tokenizer: TextTokenizer, captions: Sequence[str]) -> list[int]:
    """The number of tokens of each caption."""
    different = list(dict.fromkeys(captions))
    counts: dict[str, int] = {}
    for first in range(0, len(different), _AT_ONCE):
        part = different[first : first + _AT_ONCE]
        # a token has at least one character, and each word one more for the space before it
        room = max(2 * len(unicodedata.normalize("NFKC", text)) + 1 for text in part)
        found = (tokenizer.encode(part, room, strict=False) != 0).sum(1)
        counts |= dict(zip(part, found.tolist(), strict=True))
    return [counts[text] for text in captions]


def _warn_of_captions(texts: Captions, tokenizer: TextTokenizer, length: int) -> None:
    """One warning about captions that are cut, and one about signals without a caption."""
    flat = list(chain(*texts))
    cut = sum(count > length for count in token_counts(tokenizer, flat))
    if cut:
        warnings.warn(
            f"captions: {cut} of {len(flat)} are longer than {length} tokens and are cut; "
            "captions.length sets how many are read",
            DataWarning,
            stacklevel=2,
        )
    missing = sum(not own for own in texts)
    if missing:
        warnings.warn(
            f"captions: {missing} of {len(texts)} signals have none; they are learned without text",
            DataWarning,
            stacklevel=2,
        )


def _digest(texts: Captions | Sequence[str] | Mapping[str, Any] | None) -> str:
    if texts is None:
        return "none"
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
