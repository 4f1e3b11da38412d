"""Text that every file and terminal takes, and JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")
_RAW_BYTES = range(0xDC80, 0xDD00)  # how Python holds the bytes of names that are no UTF-8


def unicode_text(text: str) -> str:
    r"""The text with what no encoding takes written out; other text is returned as it is.

    Names of files may hold any bytes. Those that are no UTF-8 become ``\xe9`` and the like.

    Example:
        >>> unicode_text("caf\udce9.png")
        'caf\\xe9.png'
    """
    if text.isascii():
        return text
    return _SURROGATES.sub(lambda found: _written_out(ord(found[0])), text)


def printable(text: str) -> str:
    r"""The text with what a terminal would act on, or cannot show, written out; it is one line.

    Example:
        >>> printable("a\nb\x1b[2Jc")
        'a\\nb\\x1b[2Jc'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in unicode_text(text))


def one_line(text: str) -> str:
    """Printable text with every run of blanks and line breaks as one space."""
    return printable(" ".join(text.split()))


def dump_json(content: Any) -> bytes:
    """JSON text, indented, with a stable order of keys."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _written_out(code: int) -> str:
    return f"\\x{code - 0xDC00:02x}" if code in _RAW_BYTES else f"\\u{code:04x}"
