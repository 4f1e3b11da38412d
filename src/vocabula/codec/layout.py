"""The bytes of a compressed file: integers, checksums and the meaning of its numbers.

docs/vcb.md specifies the format byte by byte.
"""

from __future__ import annotations

import enum

MAGIC = b"\x89VCB"
"""The first four bytes; one is no ASCII, so that a transfer as text shows at once."""
VERSION = 1
"""Version of the format; independent of the library's."""


class Role(enum.IntEnum):
    """What a stage of streams holds."""

    CODES = 0  # a tokenizer's codes
    RESIDUAL = 1  # the signal itself, coded given what its codes decode to


class ModelId(enum.IntEnum):
    """The kinds of entropy models; see docs/vcb.md."""

    UNIFORM = 0
    STATIC = 1
    ADAPTIVE = 2
    PORTABLE = 3
    PRIOR = 4
    PIXELS = 5


class Attachment(enum.IntEnum):
    """Further content of the header."""

    NAMES = 1  # of the signals, UTF-8, each ended by a zero byte
    CODEBOOK = 2  # of blocks of pixels, so that no tokenizer is needed
    BUILD = 3  # what a network ran on, UTF-8
    PROFILES = 4  # ICC profiles of the signals' colours
    SIGNAL = 5  # the axes and the name of a kind of signals without a number of its own
    RATE = 6  # samples per second, of a kind that is sampled in time
    PACKED_NAMES = 7  # names of the signals of such a kind; see `packed_names`
    PACKAGED = 8  # the name of the tokenizer, which the package carries; UTF-8


def runs(values: list[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    """Equal neighbours as (count, value)."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for value in values:
        if found and found[-1][1] == value:
            found[-1] = (found[-1][0] + 1, value)
        else:
            found.append((1, value))
    return found
