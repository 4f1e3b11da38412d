"""How much is held in memory or computed at a time; more never changes a result, only the room.

A batch of small signals is limited by their number, one of large signals by their elements:
pixels of images, positions of codes, or rows of vectors.
"""

from __future__ import annotations

BATCH_PIXELS = 2**19
"""Read together as a batch of several images: large photographs go one at a time."""
AHEAD_PIXELS = 2**24
"""Of the tasks of readers that are under way or wait for the caller: 50 MB of RGB."""
TASK_PIXELS, TASK_IMAGES = 2**16, 64
"""Small images read in one task: handing over a task costs as much as decoding a thumbnail."""
CHECKED_BYTES = 2**28
"""Of an array whose values are checked when it is opened; a larger one is checked while read."""

WHOLE_PIXELS = 2**19
"""The largest image that passes networks whole: as many as a batch of several small ones has."""
TILE_PIXELS = 2**18
"""Of a tile of a larger image: 150 MB of feature maps in a network of 64 channels."""
ENCODED_PIXELS = DECODED_PIXELS = 2**20
"""Encoded, or decoded, together when signals are drawn or completed."""
METRIC_PIXELS = 2**19
"""Measured together: float64 takes many times the memory of a large image."""
NEAREST_VALUES = 2**24
"""Compared together when the nearest of many signals are looked up."""
COMPARED_CODES = 2**22
"""Of the signals among which the nearest are looked up, read together: 32 MB."""

BATCH_SAMPLES = 2**19
"""Read together as a padded batch of several recordings: a minute at 8 kHz."""
LONG_SAMPLES = 2**22
"""Values of the longest recording that is read whole where parts do as well: 9 minutes at 8 kHz."""
WHOLE_SAMPLES = 2**29
"""Of the longest recording that is read whole: 2 GiB, 18 hours at 8 kHz."""
CACHED_SAMPLES = 2**24
"""Of the longest recording that is kept whole for training; spans are read of a longer one."""

BATCH_POSITIONS = 2**19
"""Elements of signals with axes that a network takes together for a compressed file."""
BATCH_ROWS, BATCH_VALUES = 2**14, 2**22
"""Signals without axes that a network takes together for a compressed file, and their values."""
RECONSTRUCTED_PIXELS = 2**18
"""Decoded together in float64, for a last stage of exact pixels."""
COMPARED_PIXELS = 2**20
"""Of a file that are decoded again to state how close it comes."""
GROUP_PICTURES, GROUP_PIXELS = 256, 2**22
"""Pictures that are coded and saved together: at most so many, or of so many pixels."""
