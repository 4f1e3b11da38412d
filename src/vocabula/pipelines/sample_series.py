"""What is stored besides samples: how they were drawn, how many, and their codes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from vocabula.data.token_file import read_tokens
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import OptionError, OutputError
from vocabula.files import check_new_folder, dump_json, input_error, replace_file
from vocabula.priors import Generator, Samples
from vocabula.priors.order import new_seed
from vocabula.signals.attributes import CLASS

MANIFEST = "samples.json"
"""The file that says how a folder's samples were drawn."""
FORMAT = "vocabula-samples"


@dataclass(slots=True)
class Series:
    """A folder of samples that are drawn one after the other, perhaps in several runs.

    Attributes:
        folder: where they are.
        settings: everything that determines sample i, including the seed.
        finished: number of samples in it.
    """

    folder: Path
    settings: dict[str, Any]
    finished: int = 0

    @classmethod
    def open(
        cls, folder: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool
    ) -> Series:
        """The series in a folder: a new one, or the existing one.

        Args:
            folder: the folder, created when the first sample is written.
            settings: the requested settings; a seed of None takes the existing series' seed, or one
                from torch's own state.
            resume: continue the series in the folder, if there is one.
            overwrite: the folder may hold something.

        Raises:
            OutputError: the folder holds something and neither is allowed; or the series to
                continue is missing or damaged.
            OptionError: the series to continue has other settings.
        """
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"{folder}: expected a folder or a name that ends in .png, got another file; "
                "choose another name"
            )
        earlier = _read(folder) if resume else None
        if earlier is None:
            check_new_folder(folder, overwrite=overwrite)
            return cls(folder, {**settings, "seed": new_seed(settings["seed"])})
        wanted = {**settings, "seed": earlier.settings.get("seed")}
        if settings["seed"] is not None:
            wanted["seed"] = settings["seed"]
        names = dict.fromkeys([*wanted, *earlier.settings])
        changed = [name for name in names if wanted.get(name) != earlier.settings.get(name)]
        if changed:
            name = changed[0]
            raise OptionError(
                f"sample.{name}: expected that of the samples in {folder}, "
                f"{earlier.settings.get(name)!r}, got {wanted.get(name)!r}; resume with the same "
                "options, or choose another folder"
            )
        return earlier

    def save(self, finished: int) -> None:
        """Record that the first `finished` samples are written."""
        self.finished = finished
        content = {"format": FORMAT, "finished": finished, "settings": self.settings}
        replace_file(self.folder / MANIFEST, dump_json(content))


def _read(folder: Path) -> Series | None:
    """The series in a folder, or None if it holds nothing."""
    path = folder / MANIFEST
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(
                f"{folder}: expected samples to go on with, got files without {MANIFEST}; "
                "choose another folder or use --overwrite in place of --resume"
            )
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT:
            return Series(folder, dict(content["settings"]), int(content["finished"]))
    except OSError as error:
        raise input_error(path, error, OutputError) or error from None
    except (ValueError, LookupError, TypeError):
        pass
    raise OutputError(
        f"{path}: expected how the samples were drawn, got a damaged or foreign file; "
        "use --overwrite in place of --resume"
    )


class CodesFile:
    """The token file of samples, if requested; appended records are kept on Ctrl-C.

    Args:
        path: the file to write, or None: nothing is written.
        generator: what draws.
        size: of every sample along each axis.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
    """

    def __init__(
        self, path: Path | None, generator: Generator, size: tuple[int, ...], *, overwrite: bool
    ) -> None:
        self._path, self._size = path, size
        self._writer: TokenWriter | None = None
        if path is None:
            return
        tokenizer = generator.tokenizer
        self._further = [name for name in generator.conditioning.values if name != CLASS]
        self._fingerprint = tokenizer.fingerprint()
        self._writer = TokenWriter(
            path,
            fingerprint=self._fingerprint,
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
        for record in islice(read_tokens(self._path, fingerprint=self._fingerprint), count):
            self._writer.append(record)
        return self._writer.count

    def append(
        self, samples: Samples, names: Sequence[str], attributes: Sequence[Mapping[str, int]]
    ) -> None:
        """Add the codes of samples, with the names of their files and their attributes, if any."""
        if self._writer is None:
            return
        codes = [level.cpu() for level in samples.levels]
        labels = [values.get(CLASS) for values in attributes]
        further = {name: [own.get(name) for own in attributes] for name in self._further}
        self._writer.extend(codes, names, labels, self._size, further)

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
