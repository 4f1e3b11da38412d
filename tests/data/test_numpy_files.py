"""Headers of .npy and .npz files: what is read, and what is refused before memory is taken."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vocabula.data import DataWarning, open_source
from vocabula.errors import DataError

IMAGES = np.arange(4 * 6 * 5 * 3, dtype=np.uint8).reshape(4, 6, 5, 3)


def npy(text: str, data: bytes = bytes(720), version: int = 1) -> bytes:
    """An .npy file with a header of one's own."""
    size = "<H" if version == 1 else "<I"
    header = text.encode() + b"\n"
    start = b"\x93NUMPY" + bytes([version, 0]) + struct.pack(size, len(header))
    return start + header + data


def header(shape: object = "(4, 6, 10, 3)", kind: str = "|u1", fortran: bool = False) -> str:
    return f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}"


def test_every_version_order_and_byte_order_is_read(tmp_path: Path) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        with (tmp_path / "x.npy").open("wb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of the newer versions
            np.lib.format.write_array(file, IMAGES, version)
        np.testing.assert_array_equal(open_source(tmp_path / "x.npy").read(3).image, IMAGES[3])
    for array in (np.asfortranarray(IMAGES), IMAGES.astype(">f4") / 255, (IMAGES / 255)[:, ::-1]):
        np.save(tmp_path / "x.npy", array)
        np.savez_compressed(tmp_path / "x.npz", x=array)
        for name in ("x.npy", "x.npz"):
            image = open_source(tmp_path / name).read(2).image
            np.testing.assert_array_equal(image, array[2].astype(image.dtype))
            assert image.dtype.isnative


def test_half_precision_and_masks(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 6, 5), 0.5, np.float16))
    assert open_source(tmp_path / "x.npy").read(0).image[0, 0, 0] == 0.5
    np.save(tmp_path / "x.npy", np.ones((2, 6, 5), bool))
    assert open_source(tmp_path / "x.npy").read(0).image[0, 0, 0] == 255


@pytest.mark.parametrize("shape", ["(np.int64(4), np.int64(6), 10, 3)", "(4L, 6L, 10L, 3L)"])
def test_sides_that_were_written_by_repr_are_read(tmp_path: Path, shape: str) -> None:
    (tmp_path / "x.npy").write_bytes(npy(header(shape)))
    assert open_source(tmp_path / "x.npy").read(3).image.shape == (6, 10, 3)


DAMAGED = {
    "cut header": npy("{'descr': '|u1', 'shape': (4, "),
    "length": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(50),
    "negative": npy(header("(-1, 6, 10, 3)")),
    "huge": npy(header(f"({10**20}, 6, 10, 3)")),
    "larger than the file": npy(header(f"({10**12}, 6, 10, 3)")),
    "a float": npy(header("(4.0, 6, 10, 3)")),
    "a truth": npy(header("(True, 6, 10, 3)")),
    "a list": npy(header("[4, 6, 10, 3]")),
    "a call": npy(header("(print(1), 6)")),
    "no dict": npy("(1, 2)"),
    "no key": npy("{'descr': '|u1'}"),
    "deep": npy("(" * 5000),
    "digits": npy(header(f"({'9' * 5000},)")),
    "type": npy(header(kind="|x9")),
    "type alias": npy(header(kind="|a9")),
    "two types": npy(header(kind="u1,u1")),
    "empty items": npy(header(kind="|S0")),
    "many axes": npy(header("(1,) * 3")),
    "axes": npy(header(f"({'1, ' * 70})")),
    "version": npy(header(), version=9),
    "not utf-8": npy(header(), version=3)[:20] + b"\xff" + npy(header(), version=3)[21:],
    "empty": b"",
    "magic only": b"\x93NUMPY",
    "foreign": b"P6 4 4 255 " + bytes(48),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_headers_end_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.npy").write_bytes(DAMAGED[name])
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", DAMAGED[name])
    for file in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match=r"expected a NumPy array of numbers, got a dam") as got:
            open_source(tmp_path / file)
        assert "\n" not in str(got.value) and len(str(got.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("descr", "message"),
    [
        ("'|O'", "Python objects, which are never loaded"),
        ("[('r', '|u1'), ('g', '|u1')]", "records of several fields"),
        ("'<c8'", "expected numbers of shape .* got complex64"),
        ("'<U3'", "expected numbers of shape .* got <U3"),
        ("'<M8[s]'", "expected numbers of shape .* got datetime64"),
        ("'|V3'", "expected numbers of shape .* got .V3"),
    ],
)
def test_other_values_than_numbers(tmp_path: Path, descr: str, message: str) -> None:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1, 6, 10)}}"
    (tmp_path / "x.npy").write_bytes(npy(text))
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "x.npy")


@pytest.mark.parametrize("shape", [(), (7,), (6, 10), (1, 2, 3, 4, 5), (0, 6, 10), (2, 0, 4, 3)])
def test_other_numbers_of_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    np.savez(tmp_path / "x.npz", images=np.zeros(shape, np.uint8), labels=np.zeros(1, int))
    with pytest.raises(DataError, match=r"expected numbers of shape \(N, H, W\)"):
        open_source(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"expected numbers of shape|expected \d+ integer labels"):
        open_source(tmp_path / "x.npz")


# ------------------------------------------------------------------- archives


def archive(tmp_path: Path) -> bytearray:
    np.savez(tmp_path / "x.npz", images=IMAGES)
    return bytearray((tmp_path / "x.npz").read_bytes())


def test_encrypted_and_oddly_compressed_archives(tmp_path: Path) -> None:
    content = archive(tmp_path)
    directory = content.find(b"PK\x01\x02")
    locked = content.copy()
    locked[6] |= 1
    locked[directory + 8] |= 1
    (tmp_path / "x.npz").write_bytes(locked)
    with pytest.raises(DataError, match="got an encrypted archive; save it again"):
        open_source(tmp_path / "x.npz")
    content[8:10] = content[directory + 10 : directory + 12] = struct.pack("<H", 9)  # Deflate64
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="got an archive that is compressed otherwise"):
        open_source(tmp_path / "x.npz")


def test_other_compressions_of_zip_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as made:
            made.writestr("images.npy", buffer.getvalue())
        np.testing.assert_array_equal(open_source(tmp_path / "x.npz").read(1).image, IMAGES[1])


def test_members_with_foreign_names_and_contents(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as made:
        made.writestr("/etc/images.npy", b"x")
        made.writestr("../images.npy", b"x")
        made.writestr("a\nb", b"x")
    with pytest.raises(DataError, match=r"expected an array named images.* got /etc/images, "):
        open_source(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as made:
        made.writestr("images", b"hello")
    with pytest.raises(DataError, match=r"no header of an \.npy file"):
        open_source(tmp_path / "x.npz")


def test_a_wrong_byte_is_found_by_the_checksum(tmp_path: Path) -> None:
    content = archive(tmp_path)
    content[-400] ^= 1  # in the last image
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="Bad CRC-32"):
        open_source(tmp_path / "x.npz")


def test_a_header_of_terabytes_takes_no_memory(tmp_path: Path) -> None:
    claimed = npy(header(f"({10**11}, 6, 10, 3)"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as made:
        made.writestr("images.npy", claimed)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    directory = content.find(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 2**32 - 2)  # size of the member
    (tmp_path / "x.npz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError):
        open_source(tmp_path / "x.npz")
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path)
    monkeypatch.setattr(os, "sysconf", lambda name: 10)  # 100 bytes
    with pytest.raises(DataError, match="more than there is memory"):
        open_source(tmp_path / "x.npz")


# ------------------------------------------------------------- which axis is which


@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64, 4), (48, 64, 1), (6, 5, 3), (1, 64, 3)])
def test_one_picture_is_not_taken_for_many_grey_ones(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"expected several images, .* one image .* x\[None\]"):
        open_source(tmp_path / "x.npy")


def test_a_picture_with_channels_first_is_read_with_a_word(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 48, 64), np.uint8))
    with pytest.warns(DataWarning, match=r"as 3 grey images of 64x48 .* x\[None\]"):
        assert len(open_source(tmp_path / "x.npy")) == 3


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((60, 28, 28), (28, 28, 1)),
        ((3, 8, 8), (8, 8, 1)),
        ((5, 3, 3), (3, 3, 1)),
        ((1, 48, 64, 3), (48, 64, 3)),
        ((1, 3, 48, 64), (48, 64, 3)),
        ((2, 2, 2, 3), (2, 2, 3)),
        ((2, 3, 2, 2), (2, 2, 3)),
        ((2, 3, 3, 3), (3, 3, 3)),
        ((2, 1, 28, 28), (28, 28, 1)),
        ((2, 28, 28, 1), (28, 28, 1)),
        ((2, 64, 8, 8), (64, 8, 8)),
        ((2, 8, 64, 64), (64, 64, 8)),
    ],
)
def test_stacks_of_pictures(shape: tuple[int, ...], image: tuple[int, ...]) -> None:
    from vocabula.data import ArraySource

    assert ArraySource(np.zeros(shape, np.uint8)).read(0).image.shape == image
