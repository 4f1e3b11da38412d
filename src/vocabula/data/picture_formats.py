"""The picture formats that may be opened, their file name endings, and first bytes of others."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Container, Iterator
from pathlib import Path, PurePath
from types import ModuleType

from PIL import Image

_FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "JPEG": ("PIL.JpegImagePlugin", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")),
    "PNG": ("PIL.PngImagePlugin", (".png", ".apng")),
    "WEBP": ("PIL.WebPImagePlugin", (".webp",)),
    "AVIF": ("PIL.AvifImagePlugin", (".avif", ".avifs")),
    "GIF": ("PIL.GifImagePlugin", (".gif",)),
    "BMP": ("PIL.BmpImagePlugin", (".bmp",)),
    "TIFF": ("PIL.TiffImagePlugin", (".tif", ".tiff")),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")),
    "PPM": ("PIL.PpmImagePlugin", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm")),
    "QOI": ("PIL.QoiImagePlugin", (".qoi",)),
    "ICO": ("PIL.IcoImagePlugin", (".ico",)),
    "TGA": ("PIL.TgaImagePlugin", (".tga", ".icb", ".vda", ".vst")),
    "HEIF": ("", (".heic", ".heif", ".hif")),  # from another package, see `register`
    "JXL": ("", (".jxl",)),  # likewise
}
_NAMELESS = "TGA"  # has no characteristic first bytes: the file name must tell

IMAGE_SUFFIXES = tuple(suffix for _, suffixes in _FORMATS.values() for suffix in suffixes)
"""Names of picture files end in one of these, in small or capital letters."""
COMMON_SUFFIXES = ("jpg", "png", "webp", "avif", "tif", "gif", "bmp")
"""What messages name of them."""

_CONVERT = "convert it to PNG or JPEG"
_HEIC = "install pillow-heif, or convert it to PNG or JPEG"
_JXL = "install pillow-jxl-plugin, or convert it to PNG or JPEG"
_RAW = "develop it to PNG, TIFF or JPEG"
_RAW_SUFFIXES = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2"),
    *(".raf", ".pef", ".srw", ".x3f", ".3fr", ".erf", ".kdc", ".mrw", ".iiq"),
)
_DNG_VERSION = 50706  # a tag of TIFF files
_OTHERS = {
    **dict.fromkeys(_RAW_SUFFIXES, ("a camera's raw file", _RAW)),
    ".psd": ("Photoshop's PSD", _CONVERT),
    ".xcf": ("GIMP's XCF", _CONVERT),
    ".svg": ("SVG, a drawing", _CONVERT),
    ".pdf": ("PDF, a document", _CONVERT),
    ".eps": ("PostScript", _CONVERT),
    ".ps": ("PostScript", _CONVERT),
    ".wmf": ("WMF, a drawing", _CONVERT),
    ".emf": ("EMF, a drawing", _CONVERT),
    ".exr": ("OpenEXR", _CONVERT),
    ".hdr": ("Radiance HDR", _CONVERT),
    ".dcm": ("DICOM", _CONVERT),
}
"""Endings of pictures that are not opened."""

_OPENED = (
    rb"\xff\xd8\xff",
    rb"\x89PNG\r\n\x1a\n",
    rb"RIFF....WEBP",
    rb"....ftypavi[fs]",
    rb"GIF8[79]a",
    rb"BM......\0\0",
    rb"II[*+]\0|MM\0[*+]",
    rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    rb"P[1-6fF]\s",
    rb"qoif",
    rb"\0\0\x01\0[^\0]\0",
    rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    rb"\xff\x0a|\0\0\0\x0cJXL ",
)
_BEGINNINGS = (
    (rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC", _HEIC),
    (rb"....ftypavi[fs]", "AVIF", "install Pillow 11.3 or later, or convert it to PNG or JPEG"),
    (rb"....ftypcrx ", *_OTHERS[".cr3"]),
    (rb"....ftyp", "a video (MP4)", "save its frames as PNG files"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", _JXL),
    (rb"\s*%!PS|\xc5\xd0\xd3\xc6", *_OTHERS[".eps"]),
    (rb"\s*%PDF", *_OTHERS[".pdf"]),
    (rb"8BPS", *_OTHERS[".psd"]),
    (rb"gimp xcf", *_OTHERS[".xcf"]),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml.*)?<svg", *_OTHERS[".svg"]),
    (rb"\xd7\xcd\xc6\x9a", *_OTHERS[".wmf"]),
    (rb"\x01\0\0\0.{36} EMF", *_OTHERS[".emf"]),
    (rb"\x76\x2f\x31\x01", *_OTHERS[".exr"]),
    (rb"#\?(RADIANCE|RGBE)", *_OTHERS[".hdr"]),
    (rb".{128}DICM", *_OTHERS[".dcm"]),
    (rb"FUJIFILMCCD-RAW|IIRO|IIU\0|HEAPCCDR", *_OTHERS[".raf"]),
    (rb"RIFF....AVI |\x1aE\xdf\xa3", "a video", "save its frames as PNG files"),
    (rb"PK\x03\x04", "a zip archive", "unpack it"),
    (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    (rb"\s*<(!doctype )?html", "a web page", "download the picture again"),
    (rb"version https?:.{0,40}git-lfs", "a pointer of Git LFS", "run git lfs pull"),
)
LONGEST_BEGINNING = 512
"""Bytes from the start of a file that `unopened` looks at."""


def has_no_ending(path: PurePath) -> bool:
    """Whether a name does not say what kind of file it is: ``scan``, ``photo.1``, ``a.jpg_large``.

    An ending is a dot and two to five letters and digits, the first a letter.
    """
    return re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{1,4}", path.suffix) is None


def named_like_picture(path: PurePath) -> bool:
    """Whether a name ends like that of a picture, in a format that is opened or not."""
    return path.suffix.lower() in IMAGE_SUFFIXES or path.suffix.lower() in _OTHERS


def begins_like_picture(start: bytes) -> bool:
    """Whether a file begins like a format that is opened."""
    return any(re.match(pattern, start, re.DOTALL) for pattern in _OPENED)


def camera_raw(file: Path | bytes, tags: Container[int]) -> tuple[str, str] | None:
    """Name and remedy, if a TIFF file is a camera's raw file: its first picture is a thumbnail.

    Args:
        file: a path, or the bytes of a file.
        tags: tags of its first directory.
    """
    raw = isinstance(file, Path) and file.suffix.lower() in _RAW_SUFFIXES
    return _OTHERS[".dng"] if raw or _DNG_VERSION in tags else None


def unopened(file: Path | bytes, start: bytes) -> tuple[str, str] | None:
    """Name and remedy of the format of a file that could not be opened, if it is known.

    Args:
        file: a path, or the bytes of a file.
        start: its first `LONGEST_BEGINNING` bytes.
    """
    for pattern, name, remedy in _BEGINNINGS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return name, remedy
    return _OTHERS.get(file.suffix.lower()) if isinstance(file, Path) else None


def _imported() -> Iterator[ModuleType]:
    for module, _ in _FORMATS.values():
        with contextlib.suppress(ImportError):
            if module:
                yield importlib.import_module(module)


PLUGINS = tuple(_imported())
"""Pillow's own modules for the formats that may be opened, as far as it has them."""


def openable(file: Path | bytes) -> list[str]:
    """The formats that a file may be opened as, for Pillow.

    None of them starts another program, as PostScript does. HEIC is included if pillow-heif is
    installed, and JPEG XL if pillow-jxl-plugin is.
    """
    ending = file.suffix.lower() if isinstance(file, Path) else ""
    nameless = ending in _FORMATS[_NAMELESS][1]
    return [name for name in _FORMATS if name in Image.OPEN and (nameless or name != _NAMELESS)]


_PLUGINS = {"HEIF": ("pillow_heif", "register_heif_opener"), "JXL": ("pillow_jxl", "")}
"""Of formats from other packages: the module, and its function that registers them."""


def register(name: str) -> bool:
    """Let Pillow read and write a format of another package, HEIF or JXL.

    Returns:
        Whether it is registered now.
    """
    module, function = _PLUGINS[name]
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    if function:
        getattr(found, function)()
    return True


def register_for(start: bytes) -> bool:
    """Register the format that a file begins like, if it is another package's and not known yet.

    Returns:
        Whether trying again may help.
    """
    for name, pattern in zip(_PLUGINS, _OPENED[-len(_PLUGINS) :], strict=True):
        if name not in Image.OPEN and re.match(pattern, start, re.DOTALL):
            return register(name)
    return False
