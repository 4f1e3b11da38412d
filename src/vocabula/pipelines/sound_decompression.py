"""Writes the recordings of compressed files as .wav or .flac files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from vocabula.codec.inspection import Inspection
from vocabula.data.long_signal import Parts
from vocabula.data.media.audio import FORMATS, AudioFiles
from vocabula.errors import OptionError
from vocabula.files import check_new_file, check_new_folder
from vocabula.pipelines.decompress import Decompression, Listed
from vocabula.pipelines.picture_targets import SUFFIX
from vocabula.pipelines.signal_decompression import named_batches
from vocabula.pipelines.targets import different_targets


class SoundDecompression(Decompression):
    """A file of one recording becomes a recording, a file of several a folder of recordings."""

    thing = "recording"
    _suffix = ".wav"

    def targets(
        self, listed: Listed, found: Sequence[Inspection], out: Path | None, overwrite: bool
    ) -> list[Path]:
        """See `Decompression.targets`."""
        if out is not None and out.suffix.lower() in FORMATS and not out.is_dir():
            self._suffix = out.suffix.lower()
            if out.stem == "*":
                out = out.parent
            elif len(listed) != 1 or found[0].signals > 1:
                raise OptionError(
                    f"{out}: expected one file of one recording for the name of a recording, got "
                    f"{sum(one.signals for one in found)} recordings; give a folder, or "
                    f"FOLDER/*{self._suffix}"
                )
            else:
                _media(found[0]).check(out, overwrite=overwrite)
                return [out]
        wanted = []
        for (path, inner), one in zip(listed, found, strict=True):
            name = path.name.removesuffix(SUFFIX) or "recording"
            name += self._suffix * (one.signals == 1)
            wanted.append((path, (path.parent if out is None else out / inner) / name))

        def check(number: int, target: Path) -> None:
            single = found[number].signals == 1
            (check_new_file if single else check_new_folder)(target, overwrite=overwrite)

        return different_targets(wanted, beside=out is None, check=check)

    def write(
        self, signals: Iterator[Tensor | Parts], found: Inspection, target: Path, overwrite: bool
    ) -> Iterator[Path]:
        """See `Decompression.write`."""
        place = target if found.signals == 1 else target / f"*{self._suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        batches = named_batches(signals, found.header)
        yield from _media(found).write(place, batches, found.signals, overwrite=overwrite)


def _media(found: Inspection) -> AudioFiles:
    header = found.header
    return AudioFiles(header.channels, "decompress", sample_rate=header.signal.rate)
