"""Text that every file and terminal accepts, and JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")
_RAW_BYTES = range(0xDC80, 0xDD00)  # how Python holds bytes of names that are not UTF-8


def unicode_text(text: str) -> str:
    r"""The text with characters that no encoding accepts escaped; other text is unchanged.

    Names of files may hold any bytes. Bytes that are not UTF-8 become ``\xe9`` and the like.

    Example:
        >>> unicode_text("caf\udce9.png")
        'caf\\xe9.png'
    """
    if text.isascii():
        return text
    return _SURROGATES.sub(lambda found: _written_out(ord(found[0])), text)


def printable(text: str) -> str:
    r"""The text as one line, with characters that a terminal acts on or cannot show escaped.

    Example:
        >>> printable("a\nb\x1b[2Jc")
        'a\\nb\\x1b[2Jc'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in unicode_text(text))


def one_line(text: str) -> str:
    """Printable text with each run of blanks and line breaks replaced by one space."""
    return printable(" ".join(text.split()))


def dump_json(content: Any) -> bytes:
    """JSON text, indented, with a stable order of keys."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _written_out(code: int) -> str:
    return f"\\x{code - 0xDC00:02x}" if code in _RAW_BYTES else f"\\u{code:04x}"
