"""Columns as blocks of ASCII: what makes writing a STAR file quick.

Each column becomes a byte matrix [rows, width]; the file is their concatenation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_DECIMALS = 6
# 10^9 with six decimals is 10^15, still exact in float64.
_FIXED_POINT_LIMIT = 1e9
_SPACE, _MINUS, _POINT, _ZERO = (ord(mark) for mark in " -.0")
# A value that begins so would be read as label, comment, quote, text block or (blank) as nothing.
_SPECIAL_STARTS = [ord(mark) for mark in " _#\"';$"]


def number_fields(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers [n] as right-aligned ASCII [n, width], exact when read back as float64 or int64."""
    if values.dtype.kind in "iub":
        return _whole_fields(values.astype(np.int64), decimals=0)
    if values.dtype == np.float32:
        # The shortest decimal of a float32 is what its author meant; its float64 image has 17 digits.
        values = np.array([float(text) for text in values.astype(str)], dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(values * 10.0**_DECIMALS)
        fits = (np.abs(values) < _FIXED_POINT_LIMIT) & (scaled / 10.0**_DECIMALS == values)
    if fits.all():
        return _whole_fields(scaled.astype(np.int64), decimals=_DECIMALS)
    # The shortest decimals that are read back as the same number, all in one C loop.
    return _byte_matrix(repr(values.tolist())[1:-1].split(", "))


def text_fields(values: list[str]) -> NDArray[np.uint8]:
    """Texts as left-aligned UTF-8 [n, width]; empty texts and texts with blanks are quoted.

    Raises
    ------
    ValueError
        A text that STAR cannot hold.
    """
    joined = "".join(values)
    if joined.isascii() and not _has_blank(joined):
        matrix = _byte_matrix(values)
        if not np.isin(matrix[:, 0], _SPECIAL_STARTS).any():
            return matrix
    quoted = {value: _quoted(value) for value in set(values)}
    return _byte_matrix([quoted[value] for value in values])


def _quoted(value: str) -> str:
    if any(ord(mark) < _SPACE for mark in value):
        raise ValueError(f"{value!r} has a line break or control character; a STAR value is one line of text")
    special = not value or ord(value[0]) in _SPECIAL_STARTS or not value.isascii()
    if not special and not _has_blank(value):
        return value
    for quote in ('"', "'"):
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise ValueError(f"{value!r} has blanks and both kinds of quotes; rename it")


def _has_blank(text: str) -> bool:
    # One search a character beats a regular expression: each is a memchr.
    return any(blank in text for blank in map(chr, range(_SPACE + 1)))


def _byte_matrix(texts: list[str]) -> NDArray[np.uint8]:
    # At least one byte, so that a column of empty texts has a first byte to look at.
    column = np.array([text.encode() or b" " for text in texts], dtype=np.bytes_)
    matrix = column.view(np.uint8).reshape(len(texts), column.itemsize)
    return np.where(matrix == 0, np.uint8(_SPACE), matrix)


def _whole_fields(scaled: NDArray[np.int64], *, decimals: int) -> NDArray[np.uint8]:
    """Integers, read as value * 10^decimals, as right-aligned ASCII.

    Digits are split off for all rows at once, the last first: one pass over the column for each digit.
    """
    # uint64 holds the magnitude of the smallest int64 too.
    magnitude = np.where(scaled < 0, -scaled.astype(np.uint64), scaled.astype(np.uint64))
    digits = max(len(str(int(magnitude.max()))), decimals + 1)
    width = digits + 1 + (1 if decimals else 0)
    matrix = np.full((len(scaled), width), _SPACE, dtype=np.uint8)
    remaining = magnitude
    column = width
    for place in range(digits):
        if decimals and place == decimals:
            column -= 1
            matrix[:, column] = _POINT
        column -= 1
        quotient = remaining // np.uint64(10)
        digit = (remaining - quotient * np.uint64(10)).astype(np.uint8) + np.uint8(_ZERO)
        shown = (remaining > 0) | (place <= decimals)
        matrix[:, column] = np.where(shown, digit, _SPACE)
        remaining = quotient
    negative = np.flatnonzero(scaled < 0)
    first_digit = (matrix[negative] != _SPACE).argmax(axis=1)
    matrix[negative, first_digit - 1] = _MINUS
    return matrix
