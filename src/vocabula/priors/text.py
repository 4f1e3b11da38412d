"""Captions as tokens: byte-pair encoding, learned from the captions of the training data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocabula.errors import CheckpointError, DataError
from vocabula.files import input_error, write_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
PAD, UNKNOWN = "[PAD]", "[UNK]"


class TextTokenizer:
    """Turns captions into integers and back; token 0 is padding, token 1 an unknown character.

    Letters are compared in lower case and Unicode form NFKC; a token never spans two words. It is
    saved in the file format of the tokenizers library.

    Args:
        backend: the tokenizers library's object.

    Attributes:
        size: number of tokens.

    Example:
        >>> tokenizer = TextTokenizer.train(["a handwritten seven", "a handwritten one"])
        >>> tokenizer.decode(tokenizer.encode(["A handwritten one"], 8))
        ['a handwritten one']

    Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units".
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        # "[PAD]" in a caption is five characters, not the token that says "no text"
        backend.encode_special_tokens = True
        self._unknown = backend.token_to_id(UNKNOWN)
        self.size = int(backend.get_vocab_size())

    @classmethod
    def train(cls, captions: Iterable[str], *, size: int = 1024) -> TextTokenizer:
        """Learn a vocabulary of at most `size` tokens; every character seen has one.

        Raises:
            DataError: there is no caption with a character in it.
        """
        from tokenizers import (
            Regex,
            Tokenizer,
            decoders,
            models,
            normalizers,
            pre_tokenizers,
            trainers,
        )

        kept = [caption for caption in captions if caption.strip()]
        if not kept:
            raise DataError(
                "captions: expected texts, got none that is not empty; check the column or files"
            )
        backend = Tokenizer(models.BPE(unk_token=UNKNOWN))
        backend.normalizer = normalizers.Sequence(
            [
                normalizers.NFKC(),
                normalizers.Lowercase(),
                normalizers.Replace(Regex(r"\s+"), " "),
                normalizers.Strip(),
            ]
        )
        # words carry their leading space: a continuation mark would be numbered at random
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=[PAD, UNKNOWN], show_progress=False
        )
        backend.train_from_iterator(kept, trainer)
        return cls(backend)

    def encode(self, captions: Sequence[str], length: int, *, strict: bool = True) -> Tensor:
        """Tokens (B, length), int64, padded with 0.

        Args:
            captions: texts.
            length: number of tokens T.
            strict: refuse captions that cannot be encoded; False cuts long captions, and encodes
                unknown characters as token 1 and an empty caption as "no text".

        Raises:
            DataError: with `strict`, a caption is empty, too long or has unknown characters.
        """
        rows = torch.zeros(len(captions), length, dtype=torch.long)
        for row, caption in zip(rows, captions, strict=True):
            tokens = self._backend.encode(caption).ids
            if strict:
                self._check(caption, tokens, length)
            row[: len(tokens)] = torch.tensor(tokens[:length], dtype=torch.long)
        return rows

    def decode(self, tokens: Tensor) -> list[str]:
        """The captions of tokens (B, T), in lower case, one space between words."""
        return [str(self._backend.decode(row)) for row in tokens.tolist()]

    def unknown_characters(self, text: str) -> str:
        """The distinct characters of a text that no training caption had."""
        characters = dict.fromkeys(text)
        return "".join(c for c in characters if self._unknown in self._backend.encode(c).ids)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the vocabulary and its rules."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` into a folder."""
        write_bytes(folder / FILE, self._backend.to_str(pretty=True).encode())

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Read ``tokenizer.json`` from a folder.

        Raises:
            CheckpointError: missing, damaged or unreadable.
        """
        from tokenizers import Tokenizer

        path = folder / FILE
        try:
            text = path.read_text(encoding="utf-8")
            json.loads(text)
            return cls(Tokenizer.from_str(text))
        except Exception as error:  # the library raises plain Exception
            missing = isinstance(error, FileNotFoundError)
            unreadable = None if missing else input_error(path, error, CheckpointError)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise unreadable or CheckpointError(
                f"{path}: expected a text tokenizer, got a missing or damaged file ({reason}); "
                "copy the folder again"
            ) from None

    def _check(self, caption: str, tokens: list[int], length: int) -> None:
        if not tokens:
            raise DataError(f"text: expected words, got {caption!r}; leave it out or write some")
        if self._unknown in tokens:
            raise DataError(
                f"text: expected characters of the training captions, got "
                f"{self.unknown_characters(caption)!r} in {caption!r}; use other words"
            )
        if len(tokens) > length:
            raise DataError(
                f"text: expected at most {length} tokens, got {len(tokens)} for {caption!r}; "
                "shorten it"
            )
