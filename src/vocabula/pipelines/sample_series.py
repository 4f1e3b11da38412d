"""What is stored besides samples: how they were drawn, how many, and their codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabula.errors import OptionError, OutputError
from vocabula.files import check_new_folder, dump_json, input_error, replace_file
from vocabula.priors.order import new_seed

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
