"""Numbers and other values as people write them: the one place where they become text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

UNIT_OF_SUFFIX = {
    "angstrom": "Å",
    "angstrom2": "Å²",
    "per_angstrom": "1/Å",
    "e_per_angstrom2": "e⁻/Å²",
    "px": "px",
    "deg": "°",
    "rad": "rad",
    "mrad": "mrad",
    "kv": "kV",
    "kda": "kDa",
    "mm": "mm",
    "nm3": "nm³",
    "s": "s",
    "cpu_s": "CPU-s",
    "wall_s": "s",
    "bytes": "B",
}
NOT_KNOWN = "–"

Form = Literal["number", "count", "share", "yes_no"]
"""How a number reads: "7.14", "12,345", "87.3 %", "yes"."""


def number_text(value: float, unit: str = "", *, form: Form = "number", digits: int = 3) -> str:
    """A number with its unit, to so many significant digits; whole numbers, and places before the point, are kept."""
    match form:
        case "yes_no":
            return "yes" if value else "no"
        case "share":
            return f"{_rounded(100 * value, digits)} %"
        case "count":
            return with_unit(f"{value:,.0f}", unit)
    return with_unit(_rounded(value, digits), unit)


def with_unit(text: str, unit: str) -> str:
    """The degree sign stands close to its number, other units do not."""
    return f"{text}{unit}" if unit == "°" else f"{text} {unit}".rstrip()


def value_words(value: Any, unit: str = "", *, digits: int = 6) -> str:
    """Whatever a parameter, a choice or a record can hold, in words."""
    if value is None or value == [] or value == ():
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return number_text(value, unit, digits=digits)
    if isinstance(value, Mapping):
        return "; ".join(f"{spoken_name(str(name))} {value_words(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return with_unit(", ".join(value_words(part, digits=digits) for part in value), unit)
    return with_unit(str(value), unit)


def spoken_name(name: str) -> str:
    """A name in the code as words, without its unit."""
    return split_unit(name)[0].replace("_", " ")


def split_unit(name: str) -> tuple[str, str]:
    """Name without its unit suffix, and the unit; ``cpu_s`` and ``wall_s`` keep their word."""
    for suffix in sorted(UNIT_OF_SUFFIX, key=len, reverse=True):
        if name == suffix:
            return name.removesuffix("_s"), UNIT_OF_SUFFIX[suffix]
        if name.endswith(f"_{suffix}"):
            return name.removesuffix(f"_{suffix}"), UNIT_OF_SUFFIX[suffix]
    return name, ""


def _rounded(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return NOT_KNOWN
    if value == 0 or float(value).is_integer():
        return f"{value:,.0f}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text
