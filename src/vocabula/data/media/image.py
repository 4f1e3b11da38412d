"""Images as a folder of PNG files, named after the images that they came from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vocabula.data.media.base import Batches, Media, whole_batches
from vocabula.data.names import OutputNames
from vocabula.data.png import check_channels, picture
from vocabula.errors import OutputError
from vocabula.files import check_new_folder, new_folder


class PictureFolder(Media):
    """A folder of PNG files.

    Names come from the source paths, sub-folders included, are unique and always lie below the
    folder; see `OutputNames`. The files appear there when all of them are complete; with
    `overwrite`, files of the same name are replaced and all others stay.
    """

    samples: ClassVar[str] = "samples.png"
    decoded: ClassVar[str] = "decoded"

    def __init__(self, channels: int, verb: str) -> None:
        check_channels(channels, verb)
        super().__init__(channels, verb)

    def check(self, out: Path, *, overwrite: bool) -> None:
        """Refuse a place without a name, and a folder that has files."""
        if out.absolute().name == "":
            raise OutputError(f"{out}: expected a folder with a name; choose another place")
        check_new_folder(out, overwrite=overwrite)

    def write(
        self,
        out: Path,
        batches: Batches,
        count: int | None,
        *,
        overwrite: bool,
    ) -> list[Path]:
        """Write uint8 images (B, C, H, W), a file each."""
        names, written = OutputNames(out), []
        with new_folder(out, overwrite=overwrite) as draft:
            for images, paths in whole_batches(batches):
                pictures = images.permute(0, 2, 3, 1).contiguous().numpy()
                for image, path in zip(pictures, paths, strict=True):
                    name = names.take(path)
                    (draft / name).parent.mkdir(parents=True, exist_ok=True)
                    picture(image).save(draft / name)
                    written.append(out / name)
        return written
