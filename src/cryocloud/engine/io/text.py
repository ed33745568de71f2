"""Text files of users, as any system writes them."""

from __future__ import annotations

import codecs
from pathlib import Path

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import require_readable


def read_lines(path: Path, *, needed: str) -> list[str]:
    """Lines of a UTF-8 file, or of one whose byte order mark says UTF-16; the mark is no part of them.

    Raises
    ------
    InputError
        Missing, not to be read, or no text; ``needed`` is what the message asks for.
    """
    require_readable(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(2)
        is_utf16 = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return path.read_text(encoding="utf-16" if is_utf16 else "utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text (byte {error.start}); {needed} is needed") from error
