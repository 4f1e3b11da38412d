"""The data of each kind of signal."""

from __future__ import annotations

import os
from typing import Any

from vocabula.data.base import SignalData, Source
from vocabula.roles import Role
from vocabula.signals import Signal

DATA = Role[type[SignalData]](
    "data",
    {
        "audio": "vocabula.data.audio_data:AudioData",
        "image": "vocabula.data.images:ImageData",
        "vector": "vocabula.data.vector_data:VectorData",
    },
    default="vocabula.data.signal_arrays:ArrayData",
)
"""How each kind of signal is opened and batched; arrays for a kind without its own."""


def open_data(
    signal: Signal, path_or_name: str | os.PathLike[str], *, strict: bool = False, **options: Any
) -> Source:
    """Open data of the kind and with the channels of a signal.

    Args:
        signal: the kind.
        path_or_name: as the user names the data.
        strict: refuse broken items instead of skipping them.
        **options: further options of the kind's `SignalData`.

    Raises:
        DataError: the data are missing, damaged, of another kind, or of other channels.
    """
    data = DATA.of(signal.kind)(strict=strict, **options).for_signal(signal)
    return data.open(path_or_name, channels=signal.channels)
