"""Some neighbouring images of a source, as a source of their own."""

from __future__ import annotations

from dataclasses import replace

from vocabula.data.source import ImageSource, Sample


class ImagePart(ImageSource):
    """The images from `first` to before `last` of a source.

    Args:
        source: all images.
        first: index of the first one.
        last: index after the last one.
    """

    def __init__(self, source: ImageSource, first: int, last: int) -> None:
        super().__init__(
            source.name, source.channels, label_names=source.label_names, strict=source.strict
        )
        self._whole, self._first, self._last = source, first, last

    def __len__(self) -> int:
        """The number of images."""
        return self._last - self._first

    def describe(self, index: int) -> str:
        """The name of one image, the same as in the whole source."""
        return self._whole.describe(self._first + index)

    def path(self, index: int) -> str:
        """See `ImageSource.path`."""
        return self._whole.path(self._first + index)

    def pixels(self, index: int) -> int:
        """Height times width of one image."""
        return self._whole.pixels(self._first + index)

    def smallest(self) -> tuple[int, int] | None:
        """See `ImageSource.smallest`."""
        return self._whole.smallest()

    def _read(self, index: int) -> Sample:
        return replace(self._whole._read(self._first + index), index=index)
