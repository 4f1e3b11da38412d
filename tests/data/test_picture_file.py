"""Opening pictures: which formats, how much, and what damaged metadata do."""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocabula.data import DataWarning, open_source, picture_file
from vocabula.data.image_problems import BrokenImageError, RefusedImageError
from vocabula.data.picture_file import MAX_PIXELS
from vocabula.data.pixels import Header, decode, read_header

SMOOTH = np.stack(
    [*np.meshgrid(np.arange(0, 160, 4), np.arange(0, 96, 4)), np.full((24, 40), 99)], -1
).astype(np.uint8)
"""24 rows of 40 pixels, in which every turn and mirror shows."""

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
"""What is seen of stored pixels by the orientation, from the table in the EXIF standard."""

FORMATS = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "TIFF, lzw": {"compression": "tiff_lzw"},
    "TIFF, jpeg": {"compression": "jpeg", "quality": 100},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def encoded(form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(SMOOTH).save(file, form, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes, flaw: int = 0) -> bytes:
    crc = zlib.crc32(name + data) ^ flaw
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png_with(name: bytes, data: bytes, *, late: bool = False, flaw: int = 0) -> bytes:
    plain = encoded("PNG")
    place = len(plain) - 12 if late else 33
    return plain[:place] + chunk(name, data, flaw) + plain[place:]


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with(marker: int, data: bytes) -> bytes:
    plain = encoded("JPEG", quality=100, subsampling=0)
    return plain[:2] + segment(marker, data) + plain[2:]


def oriented(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


@pytest.mark.parametrize("turn", UPRIGHT)
@pytest.mark.parametrize("form", FORMATS)
def test_header_and_pixels_are_upright_alike(form: str, turn: int, tmp_path: Path) -> None:
    content = encoded(form.split(",")[0], exif=oriented(turn), **FORMATS[form])
    (tmp_path / "a.jpg").write_bytes(content)
    expected = UPRIGHT[turn](SMOOTH)
    for file in (content, tmp_path / "a.jpg"):  # whatever its name
        assert read_header(file) == Header(*expected.shape)
        found = decode(file, 3)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() < 12


@pytest.mark.parametrize("turn", UPRIGHT)
def test_exif_behind_the_pixels_of_png_counts(turn: int) -> None:
    content = png_with(b"eXIf", oriented(turn).tobytes()[6:], late=True)
    assert read_header(content) == Header(*UPRIGHT[turn](SMOOTH).shape)
    assert np.array_equal(decode(content, 3), UPRIGHT[turn](SMOOTH))


def test_orientation_in_xmp_counts() -> None:
    xmp = b"http:" + b"//ns.adobe.com/xap/1.0/\0<tiff:Orientation>6</tiff:Orientation>"
    content = jpeg_with(0xE1, xmp)
    assert read_header(content) == Header(40, 24, 3)
    assert decode(content, 3).shape == (40, 24, 3)


@pytest.mark.parametrize("form", [*FORMATS, "GIF", "BMP", "PPM", "JPEG2000"])
def test_headers_decode_no_pixels(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(form.split(",")[0], **FORMATS.get(form, {}))

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image, "_getdecoder", refuse)
    assert read_header(content) == Header(24, 40, 3)
    with pytest.raises(BrokenImageError, match="decoded"):
        decode(content, 3)


LONG = zlib.compress(bytes(3 * 2**20))
METADATA = {
    "zTXt of 3 MiB": (b"zTXt", b"k\0\0" + LONG),
    "iTXt of 3 MiB": (b"iTXt", b"k\0\1\0\0\0" + LONG),
    "text of 65 MiB": (b"tEXt", b"k\0" + b"t" * (65 * 2**20)),
    "profile of 3 MiB": (b"iCCP", b"p\0\0" + LONG),
    "cut profile": (b"iCCP", b"p"),
    "unknown compression": (b"zTXt", b"k\0\7abc"),
    "cut resolution": (b"pHYs", b"ab"),
    "cut animation": (b"acTL", b"a"),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("what", METADATA)
def test_png_is_read_whatever_its_texts(what: str, late: bool) -> None:
    content = png_with(*METADATA[what], late=late)
    assert read_header(content) == Header(24, 40, 3)
    assert np.array_equal(decode(content, 3), SMOOTH)


def test_png_with_a_wrong_checksum_of_a_text_is_read() -> None:
    for late in (False, True):
        content = png_with(b"tEXt", b"a\0b", late=late, flaw=1)
        assert np.array_equal(decode(content, 3), SMOOTH)


@pytest.mark.parametrize(
    ("marker", "data"),
    [
        (0xE0, b"JFIF\0"),
        (0xE1, b"Exif\0\0rubbish"),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"MPF\0rubbish"),
        (0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed"),
        (0xEE, b"Adobe"),
    ],
)
def test_jpeg_is_read_whatever_its_metadata(marker: int, data: bytes) -> None:
    content = jpeg_with(marker, data)
    assert read_header(content) == Header(24, 40, 3)
    assert np.array_equal(
        decode(content, 3), decode(encoded("JPEG", quality=100, subsampling=0), 3)
    )


def test_the_pixels_themselves_must_be_whole() -> None:
    content = png_with(b"zTXt", b"k\0\0" + LONG)
    with pytest.raises(BrokenImageError):
        decode(content[: content.index(b"IDAT") + 20], 3)


CORRUPT = jpeg_with(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0")


def test_what_pillow_warns_about_is_said_once_with_the_name(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(CORRUPT)
    (tmp_path / "c.png").write_bytes(png_with(b"eXIf", b"rubbish"))
    with pytest.warns(DataWarning) as said:
        source = open_source(tmp_path)
        assert len(list(source.samples(workers=2))) == 3
    assert len(said) == 1
    text = str(said[0].message)
    assert "a.jpg: Corrupt EXIF data" in text and "c.png: its EXIF data are damaged" in text


def test_warnings_of_others_stay_theirs() -> None:
    """While pictures are read in threads, warnings of this one are neither lost nor renamed."""
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            decode(CORRUPT, 3)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(read)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            for _ in range(20):
                warnings.warn("mine", UserWarning, stacklevel=1)
                Image.open(io.BytesIO(CORRUPT)).getexif()  # not by our door: Pillow warns
            done.set()
    texts = [str(one.message) for one in found]
    assert texts.count("mine") == 20 and len(texts) > 20


@pytest.mark.slow
def test_large_pictures_are_read_and_absurd_ones_refused(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.new("1", (18000, 10000), 1).save(tmp_path / "a.png")  # above Pillow's 179 megapixels
    assert read_header(tmp_path / "a.png") == Header(10000, 18000, 1)
    assert decode(tmp_path / "a.png", 1).min() == 255
    assert before == Image.MAX_IMAGE_PIXELS
    for side in (23171, 2**31 - 1):
        assert side * side > MAX_PIXELS
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") * 2
        with pytest.raises(RefusedImageError, match=f"{side * side:,} pixels, more than .*scale"):
            read_header(content)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC; install pillow-heif"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "PostScript; convert"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "PSD"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "SVG"),
        (b"\xff\x0a\x00", "JPEG XL, damaged"),
        (b"PK\x03\x04", "a zip archive; unpack"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"", "not a picture"),
        (b"\xff\xd8\xff\xe0", "damaged at its start"),
    ],
)
def test_formats_that_are_not_opened_are_named(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "a.png").write_bytes(start)
    with pytest.raises(BrokenImageError, match=name):
        read_header(tmp_path / "a.png")


def test_postscript_starts_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "gs"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    Image.fromarray(SMOOTH).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    for function in (read_header, lambda file: decode(file, 3)):
        with pytest.raises(RefusedImageError, match="PostScript"):
            function(tmp_path / "a.png")
    assert not (tmp_path / "started").exists()


def test_raw_files_are_no_thumbnails(tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "a.nef", "TIFF")
    with pytest.raises(RefusedImageError, match="raw file; develop"):
        read_header(tmp_path / "a.nef")
    Image.fromarray(SMOOTH).save(tmp_path / "b.nef", "JPEG")  # its contents say what it is
    assert read_header(tmp_path / "b.nef") == Header(24, 40, 3)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *(("a.avif", "AVIF"), ("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.JP2", "JPEG2000")),
        *(("a.ppm", "PPM"), ("a.PGM", "PPM"), ("a.tga", "TGA"), ("a.qoi", "QOI"), ("scan", "PNG")),
        *(("photo.1", "WEBP"), ("a.jpg_large", "JPEG"), ("a.png", "JPEG"), ("a.mpo", "MPO")),
    ],
)
def test_folders_read_what_pillow_reads(tmp_path: Path, name: str, form: str) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / name, form)
    source = open_source(tmp_path)
    assert [source.describe(0), source.read(0).image.shape] == [name, (24, 40, 3)]
    assert open_source(tmp_path / name).read(0).image.shape == (24, 40, 3)


def test_what_is_no_plain_file_is_passed_over(tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "c")
    (tmp_path / "d.jpg").symlink_to("nowhere")
    (tmp_path / "e.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    with socket.socket(socket.AF_UNIX) as end, pytest.warns(DataWarning, match="5 of 6") as said:
        before = Path.cwd()
        os.chdir(tmp_path)  # a socket's path is short
        try:
            end.bind("f.png")
        finally:
            os.chdir(before)
        source = open_source(tmp_path)
    assert len(source) == 1 and len(said) == 1
    reasons = dict(problem.split(": ", 1) for problem in source.problems)
    assert reasons["b.png"] == reasons["c"] == "a pipe, not a file"
    assert reasons["d.jpg"] == "No such file or directory"
    assert reasons["e.heic"].startswith("HEIC; install pillow-heif")
    assert reasons["f.png"] == "a socket, not a file"


def test_missing_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "a.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)  # the tests may run as root
    with pytest.raises(RefusedImageError, match="no permission; check its rights"):
        read_header(tmp_path / "a.png")


def test_pictures_are_opened_in_one_place() -> None:
    root = Path(picture_file.__file__).parents[1]
    places = [p.name for p in root.rglob("*.py") if "Image.open(" in p.read_text(encoding="utf-8")]
    assert places == ["picture_file.py"]


def test_jpeg_xl_is_opened_where_its_plugin_is(tmp_path: Path, monkeypatch) -> None:
    import pillow_jxl  # noqa: F401 - registers the format

    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    Image.fromarray(pixels).save(tmp_path / "a.jxl", lossless=True)
    assert (decode(tmp_path / "a.jxl", 3) == pixels).all()
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.delitem(Image.OPEN, "JXL")
    with pytest.raises(BrokenImageError, match="JPEG XL; install pillow-jxl-plugin"):
        decode(tmp_path / "a.jxl", 3)
