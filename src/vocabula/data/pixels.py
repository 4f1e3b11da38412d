"""From an encoded picture to an (H, W, C) uint8 array, and from one channel count to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

from vocabula.data.image_problems import BrokenImageError
from vocabula.data.picture_file import add_note, with_picture
from vocabula.errors import DataError, plural

FILE_CHANNELS = (1, 3, 4)
"""Channel counts that picture files can be decoded to: grey, RGB and RGBA."""

_GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_EXACT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_SIDEWAYS = (5, 6, 7, 8)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its orientation in EXIF."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights Pillow uses for grey


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture's header says, without decoding it: upright size and natural channels."""

    height: int
    width: int
    channels: int


def read_header(file: Path | bytes, notes: list[str] | None = None) -> Header:
    """Read size and channels of a picture; the pixels are not decoded.

    Args:
        file: a path, or the bytes of a file.
        notes: receives what is wrong with the picture's metadata, in words.

    Raises:
        BrokenImageError: it cannot be opened as a picture; see `with_picture`.
    """
    return with_picture(file, _header, notes)


def what_is_lost(file: Path | bytes, channels: int) -> str:
    """What `decode` to this many channels loses, in words; empty if it is exact.

    Args:
        file: a path, or the bytes of a file, that `read_header` reads.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
    """

    def lost(picture: Image.Image) -> str:
        mode, raw = picture.mode, [str(tile[3]) for tile in getattr(picture, "tile", ())]
        if _has_more_frames(picture):
            return "several frames"
        if channels != 4 and picture.has_transparency_data:
            return "transparency"
        if any(";16" in arguments for arguments in raw) or mode.startswith("I;16"):
            return "16 bits a channel"
        if mode not in _EXACT_MODES:
            return f"mode {mode}"
        return "colours" if channels == 1 and mode not in _GREY_MODES else ""

    return with_picture(file, lost)


def has_more_frames(file: Path | bytes) -> bool:
    """Whether a picture has several frames, of which `decode` reads the first.

    Args:
        file: a path, or the bytes of a file.

    Raises:
        BrokenImageError: it cannot be opened as a picture; see `with_picture`.
    """
    return with_picture(file, _has_more_frames)


def _has_more_frames(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # the file is damaged, and `decode` refuses it
        return False


def decode(file: Path | bytes, channels: int) -> NDArray[np.uint8]:
    """Decode a picture to (H, W, channels) uint8.

    EXIF rotation is applied. Transparent pixels are laid over white (for 4 channels, alpha is
    kept instead). Palettes become colours. 16-bit grey is scaled by 1/257, so 65535 becomes 255;
    32-bit float grey is taken to lie in [0, 1]. Only the first of several frames is read. Values
    are the file's own; the colour profile is not applied, see `color_profile`.

    Args:
        file: a path, or the bytes of a file.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        BrokenImageError: it is damaged, not a picture, or its values have no known range.
    """

    def pixels(picture: Image.Image) -> NDArray[np.uint8]:
        found, turn = _header(picture), _turn(picture)
        picture.load()
        upright: Image.Image = picture
        if turn in _TURNS and picture.format != "TIFF":  # which Pillow has already rotated
            upright = picture.transpose(_TURNS[turn])
        array = np.asarray(_to_mode(upright, channels), dtype=np.uint8)
        if array.shape[:2] != (found.height, found.width):
            raise BrokenImageError(
                f"a header of {found.width} x {found.height} pixels before contents of "
                f"{array.shape[1]} x {array.shape[0]}"
            )
        return array.reshape(found.height, found.width, channels)

    return with_picture(file, pixels)


def _header(picture: Image.Image) -> Header:
    """Upright size and channels of an opened picture."""
    width, height = picture.size
    turned = _turn(picture) in _SIDEWAYS
    if isinstance(picture, TiffImagePlugin.TiffImageFile):  # whose `size` may already be rotated
        tags = picture.tag_v2
        width, height = tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    if turned:
        width, height = height, width
    return Header(height, width, 1 if picture.mode in _GREY_MODES else 3)


def _turn(picture: Image.Image) -> int:
    """The orientation in a picture's metadata, 1 if there is none."""
    try:
        # for PNG, the method of its own class would decode the picture
        found = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
        return found if found in range(1, 9) else 1
    except Exception:  # Pillow raises nearly every type on damaged metadata
        add_note("its EXIF data are damaged, so it may lie on its side")
        return 1


def convert_channels(images: NDArray[Any], channels: int, name: str) -> NDArray[Any]:
    """Convert (..., C) arrays to another channel count.

    Grey is repeated for RGB; RGB becomes grey with the weights of ITU-R BT.601; RGBA is laid over
    white. No other conversion is made.

    Raises:
        DataError: no conversion is known between the two counts.
    """
    have = images.shape[-1]
    if have == channels:
        return images
    if have == 4 and channels in (1, 3):
        images, have = _over_white(images), 3
        if channels == 3:
            return images
    if have == 1 and channels == 3:
        return np.repeat(images, 3, axis=-1)
    if have == 3 and channels == 1:
        grey = images.astype(np.float32) @ np.array(_LUMA, np.float32)[:, None]
        return _as_type_of(grey, images)
    raise channel_error(name, channels, have)


def check_convertible(name: str, have: int, want: int) -> None:
    """Refuse early what `convert_channels` would refuse later.

    Raises:
        DataError: no conversion is known between the two counts.
    """
    # Colour pictures become grey without a word, but arrays were made for one model or another.
    if have != want and (have, want) not in ((1, 3), (4, 3)):
        raise channel_error(name, want, have)


def channel_error(name: str, want: int, have: int) -> DataError:
    """The error for channel counts that do not convert."""
    return DataError(
        f"{name}: expected images of {plural(want, 'channel')}, got {have};"
        f" use data with {plural(want, 'channel')} or set data.channels={have}"
    )


def _to_mode(picture: Image.Image, channels: int) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        values, clear = np.asarray(picture), picture.info.get("transparency")
        picture = Image.fromarray(_wide_grey(values))
        if isinstance(clear, int):  # the value that stands for transparent pixels
            alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
            picture = Image.merge("LA", (picture, alpha))
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if picture.mode == mode and (channels == 4 or not picture.has_transparency_data):
        return picture  # as for most pictures: converting would copy every pixel
    if channels == 4:
        return picture.convert(mode)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert(mode)


def _wide_grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit (or 32-bit float) grey values to 8 bits."""
    lowest, highest = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        if not (lowest >= 0.0 and highest <= 1.0):
            raise BrokenImageError(f"float values in [{lowest:g}, {highest:g}], expected [0, 1]")
        return np.rint(values * 255.0).astype(np.uint8)
    if lowest < 0 or highest > 65535:
        raise BrokenImageError(f"integer values in [{lowest:g}, {highest:g}], expected 16 bits")
    return np.rint(values / 257.0).astype(np.uint8)


def _over_white(images: NDArray[Any]) -> NDArray[Any]:
    white = 255.0 if images.dtype == np.uint8 else 1.0
    color, alpha = images[..., :3].astype(np.float32), images[..., 3:].astype(np.float32) / white
    return _as_type_of(color * alpha + white * (1.0 - alpha), images)


def _as_type_of(values: NDArray[Any], images: NDArray[Any]) -> NDArray[Any]:
    if images.dtype == np.uint8:
        values = np.rint(values)
    return values.astype(images.dtype)
