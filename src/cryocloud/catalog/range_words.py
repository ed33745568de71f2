"""Ranges as people say them: "6 to 11 min", "about 2 GB"."""

from __future__ import annotations

import math

from cryocloud.catalog.forecasting import Range

NEARLY_ONE = 1.1
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def duration_words(range_s: Range) -> str:
    high_s = range_s.high
    unit_s, unit = (1.0, "s") if high_s < 120 else (60.0, "min") if high_s < 7200 else (3600.0, "h")
    return _from_to(range_s, unit_s, unit)


def size_words(range_bytes: Range) -> str:
    unit_bytes, unit = next((one for one in _SIZES if range_bytes.high >= one[0]), _SIZES[-1])
    return _from_to(range_bytes, unit_bytes, unit)


def hours_words(range_s: Range) -> str:
    """Of compute, in the unit that plans are sold in."""
    if range_s.high < 0.1 * 3600:
        return "less than 0.1 h"
    return _from_to(range_s, 3600.0, "h")


def _from_to(found: Range, unit: float, name: str) -> str:
    low, high = rounded(found.low / unit), rounded(found.high / unit)
    if low == high or found.high < NEARLY_ONE * found.low:
        return f"about {rounded(found.likely / unit)} {name}"
    return f"{low} to {high} {name}"


def rounded(number: float) -> str:
    """To what a forecast can say: two digits, and one below 1."""
    if number < 0.95:
        return f"{number:.1g}"
    if number < 9.5:
        return f"{number:.1f}".removesuffix(".0")
    return f"{round(number, 1 - math.floor(math.log10(number))):,.0f}"
