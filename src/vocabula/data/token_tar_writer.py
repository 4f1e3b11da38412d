"""Writing codes as tars in the layout of WebDataset.

One signal is three members of one key:

    KEY.codes.npy   the codes (*grid, *code_shape); of several levels KEY.codes0.npy, KEY.codes1.npy
    KEY.cls         the class, where there is one
    KEY.json        path, shape of the codes, extent of the signal, further attributes

What a file of tokens says in its header is in the first member, ``HEADER``, which WebDataset passes
over. Dates, owners and rights are the same in all members, so equal codes are equal bytes.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabula.data.token_layout import KEY
from vocabula.data.token_rows import TokenRows
from vocabula.data.token_writer import TokenWriter
from vocabula.errors import OptionError

HEADER = "__vocabula__/header.json"
"""Name of the first member."""
_BLOCK = 512


class TarTokenWriter(TokenWriter):
    """Writes codes to a tar; it appears, complete, when it is closed. See `TokenWriter`."""

    def _check_name(self) -> None:
        if self._path.suffix.lower() != ".tar":
            raise OptionError(f"{self._path}: expected a name that ends in .tar, got another")

    def _start(self) -> None:
        header = json.loads(self._schema.metadata[KEY])
        self._written, self._keys = 0, f"{int(header.get('shard', 0)):05}"
        self._member(HEADER, _json(header))

    def _store(self, pieces: Sequence[TokenRows]) -> None:
        for piece in pieces:
            paths = piece.paths if isinstance(piece.paths, list) else list(map(str, piece.paths))
            for row in range(len(piece)):
                self._signal_at(piece, row, paths[row])

    def _finish(self) -> None:
        self._file.write(bytes(2 * _BLOCK))

    def _signal_at(self, piece: TokenRows, row: int, path: str) -> None:
        """The members of one signal."""
        key, first = f"{self._keys}-{self._written:07}", 0
        for number, (shape, spec) in enumerate(zip(piece.shapes, self._specs, strict=True)):
            last = first + math.prod(shape)
            level = str(number) if len(piece.shapes) > 1 else ""
            codes = piece.codes[row, first:last].reshape(shape).astype(spec.dtype)
            self._member(f"{key}.codes{level}.npy", _npy(codes))
            first = last
        if piece.labels[row] >= 0:
            self._member(f"{key}.cls", b"%d" % piece.labels[row])
        shapes = [list(shape) for shape in piece.shapes]
        about: dict[str, Any] = {
            "path": path,
            "shape": shapes[0] if len(shapes) == 1 else shapes,
            "extent": piece.extents[row].tolist(),
        }
        further = {name: int(own[row]) for name, own in piece.further.items() if own[row] >= 0}
        self._member(f"{key}.json", _json(about | further))
        self._written += 1

    def _member(self, name: str, content: bytes) -> None:
        head = tarfile.TarInfo(name)
        head.size = len(content)
        self._file.write(head.tobuf(tarfile.USTAR_FORMAT))
        self._file.write(content)
        self._file.write(bytes(-len(content) % _BLOCK))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _npy(array: NDArray[Any]) -> bytes:
    found = io.BytesIO()
    np.lib.format.write_array(found, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return found.getvalue()
