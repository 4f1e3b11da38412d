"""Files that decoded signals are written to, by kind of signal."""

from __future__ import annotations

from vocabula.data.media.base import Media
from vocabula.roles import Role

MEDIA = Role[type[Media]](
    "media",
    {
        "audio": "vocabula.data.media.audio:AudioFiles",
        "image": "vocabula.data.media.image:PictureFolder",
    },
    default="vocabula.data.media.table:ArrayFile",
)
"""The files of each kind of signal; one .npy or .parquet file for a kind without its own."""

__all__ = ["MEDIA", "Media"]
