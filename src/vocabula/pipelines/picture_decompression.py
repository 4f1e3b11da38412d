"""Writes the images of compressed files as PNG pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from vocabula.codec.header import Header
from vocabula.codec.inspection import Inspection
from vocabula.codec.profiles import profiles_of
from vocabula.data.long_signal import Parts
from vocabula.data.names import OutputNames
from vocabula.data.png import check_channels, picture
from vocabula.errors import OptionError
from vocabula.files import check_new_file, check_new_folder, is_stream, new_file, new_folder
from vocabula.pipelines.decompress import Decompression, Listed
from vocabula.pipelines.picture_targets import SUFFIX
from vocabula.pipelines.targets import different_targets

_Shown = tuple[Tensor, bytes]  # an image and its colour profile, empty without one


class PictureDecompression(Decompression):
    """A file of one image becomes a picture, a file of several a folder of pictures."""

    thing = "picture"

    def targets(
        self, listed: Listed, found: Sequence[Inspection], out: Path | None, overwrite: bool
    ) -> list[Path]:
        """See `Decompression.targets`."""
        for one in found:
            check_channels(one.header.channels, "decompress")
        if out is not None and (out.suffix.lower() == ".png" or is_stream(out)):
            if len(listed) != 1 or found[0].signals > 1:
                raise OptionError(
                    f"{out}: expected one file of one image for the name of a picture, got "
                    f"{sum(one.signals for one in found)} images; give a folder"
                )
            check_new_file(out, overwrite=overwrite)
            return [out]
        wanted = []
        for (path, inner), one in zip(listed, found, strict=True):
            name = (path.name.removesuffix(SUFFIX) or "image") + ".png" * (one.signals == 1)
            wanted.append((path, (path.parent if out is None else out / inner) / name))

        def check(number: int, target: Path) -> None:
            single = found[number].signals == 1
            (check_new_file if single else check_new_folder)(target, overwrite=overwrite)

        return different_targets(wanted, beside=out is None, check=check)

    def write(
        self, signals: Iterator[Tensor | Parts], found: Inspection, target: Path, overwrite: bool
    ) -> Iterator[Path]:
        """See `Decompression.write`."""
        none = [b""] * found.signals
        profiles = profiles_of(found.header.attachments, str(target)) or none
        write = _write_one if found.signals == 1 else _write_folder
        images = (one.whole()[0] if isinstance(one, Parts) else one for one in signals)
        yield from write(zip(images, profiles, strict=True), found, target, overwrite)


def _write_one(
    images: Iterable[_Shown], found: Inspection, target: Path, overwrite: bool
) -> Iterator[Path]:
    with new_file(target, overwrite=overwrite) as draft:
        for image in images:  # one; read to the end of the file, where trailing bytes show
            _save(image, draft)
    yield target


def _write_folder(
    images: Iterable[_Shown], found: Inspection, target: Path, overwrite: bool
) -> Iterator[Path]:
    names = _names(found.header, found.signals, target)
    with new_folder(target, overwrite=overwrite) as folder:
        for name, image in zip(names, images, strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _save(image, folder / name)
            yield target / name


def _names(header: Header, count: int, folder: Path) -> list[str]:
    """File names of the images: from the header, made safe and unique, or numbers."""
    width = len(str(count))
    names = OutputNames(folder)
    wanted = header.names or [f"{i + 1:0{width}}.png" for i in range(count)]
    return [str(names.take(name)) for name in wanted]


def _save(shown: _Shown, path: Path) -> None:
    image, profile = shown
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    picture(pixels).save(path, format="PNG", icc_profile=profile or None)
