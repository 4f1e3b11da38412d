"""The token file of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType

from vocabula.data.token_file import read_tokens
from vocabula.data.token_writer import TokenWriter
from vocabula.priors import Generator, Samples
from vocabula.signals.attributes import CLASS


class CodesFile:
    """The token file of samples, if requested; appended records are kept on Ctrl-C.

    Args:
        path: the file to write, or None: nothing is written.
        generator: what draws.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
    """

    def __init__(self, path: Path | None, generator: Generator, *, overwrite: bool) -> None:
        self._path = path
        self._writer: TokenWriter | None = None
        if path is None:
            return
        tokenizer = generator.tokenizer
        self._further = [name for name in generator.conditioning.values if name != CLASS]
        self._names = tokenizer.code_names()
        self._writer = TokenWriter(
            path,
            fingerprint=self._names.written,
            levels=[level.spec for level in tokenizer.levels],
            signal=tokenizer.signal.kind,
            source="samples",
            label_names=generator.class_names or None,
            attributes={name: generator.names_of(name) for name in self._further},
            overwrite=overwrite,
        )

    def keep(self, count: int) -> int:
        """Copy the first `count` records of the file that is replaced.

        Returns:
            The number of records copied; `count` if no file is written.

        Raises:
            TokensError: the file is damaged or holds codes of another tokenizer.
        """
        if self._writer is None or self._path is None:
            return count
        if not self._path.exists():
            return 0
        for record in islice(read_tokens(self._path, fingerprint=self._names), count):
            self._writer.append(record)
        return self._writer.count

    def append(
        self, samples: Samples, names: Sequence[str], attributes: Sequence[Mapping[str, int]]
    ) -> None:
        """Add the codes of samples of one size, with the names of their files and attributes."""
        if self._writer is None:
            return
        codes = [level.cpu() for level in samples.levels]
        labels = [values.get(CLASS) for values in attributes]
        further = {name: [own.get(name) for own in attributes] for name in self._further}
        size = samples.signals.shape[2:]
        self._writer.extend(codes, names, labels, size, further)

    def __enter__(self) -> CodesFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)
