"""Numbers with a unit in their name, as people write them."""

from __future__ import annotations

from typing import Any

UNIT_OF_SUFFIX = {
    "angstrom": "Å",
    "angstrom2": "Å²",
    "per_angstrom": "1/Å",
    "e_per_angstrom2": "e/Å²",
    "px": "px",
    "deg": "°",
    "rad": "rad",
    "mrad": "mrad",
    "kv": "kV",
    "mm": "mm",
    "s": "s",
    "cpu_s": "CPU-s",
    "wall_s": "s",
    "bytes": "B",
}


def spoken_number(name: str, value: Any) -> tuple[str, str]:
    """Label and text of a metric: ("resolution", "7.1 Å") for ``resolution_angstrom`` 7.1."""
    label, unit = split_unit(name)
    return label.replace("_", " "), f"{_text(value)} {unit}".rstrip()


def split_unit(name: str) -> tuple[str, str]:
    """Name without its unit suffix, and the unit; ``cpu_s`` and ``wall_s`` keep their word."""
    for suffix in sorted(UNIT_OF_SUFFIX, key=len, reverse=True):
        if name == suffix:
            return name.removesuffix("_s"), UNIT_OF_SUFFIX[suffix]
        if name.endswith(f"_{suffix}"):
            return name.removesuffix(f"_{suffix}"), UNIT_OF_SUFFIX[suffix]
    return name, ""


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
