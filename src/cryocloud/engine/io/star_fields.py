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
    return _ascii_matrix([repr(value).encode() for value in values.tolist()], align_right=True)


def text_fields(values: list[str]) -> NDArray[np.uint8]:
    """Texts as left-aligned UTF-8 [n, width]; empty texts and texts with blanks are quoted.

    Raises
    ------
    ValueError
        A text that STAR cannot hold.
    """
    quoted = {value: _quoted(value).encode() for value in set(values)}
    return _ascii_matrix([quoted[value] for value in values], align_right=False)


def _quoted(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError(f"{value!r} has a line break; a STAR value is one line")
    starts_oddly = value[:1] in ("", "#", "_", '"', "'", ";", "$")
    if not starts_oddly and not any(mark.isspace() for mark in value):
        return value
    for quote in ('"', "'"):
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise ValueError(f"{value!r} has blanks and both kinds of quotes; rename it")


def _ascii_matrix(texts: list[bytes], *, align_right: bool) -> NDArray[np.uint8]:
    column = np.array(texts, dtype=np.bytes_)
    if align_right:
        column = np.char.rjust(column, column.itemsize)
    matrix = column.view(np.uint8).reshape(len(texts), column.itemsize)
    return np.where(matrix == 0, np.uint8(_SPACE), matrix)


def _whole_fields(scaled: NDArray[np.int64], *, decimals: int) -> NDArray[np.uint8]:
    """Integers, read as value * 10^decimals, as right-aligned ASCII."""
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
