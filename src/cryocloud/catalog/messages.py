"""Pydantic's complaints as one plain line: option, value, allowed range."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError


def option_name(parameter_name: str) -> str:
    """The command-line option of a parameter or an input."""
    return "--" + parameter_name.replace("_", "-")


def plain_validation_message(error: ValidationError) -> str:
    """All complaints, separated by semicolons."""
    return "; ".join(_complaint(dict(entry)) for entry in error.errors(include_url=False))


def field_complaints(error: ValidationError, names: Iterable[str]) -> dict[str, str]:
    """A sentence for each parameter to blame; what concerns several stands under the first that it names."""
    found: dict[str, str] = {}
    known = list(names)
    for entry in error.errors(include_url=False):
        words = _words(dict(entry))
        named = sorted((name for name in known if name in words), key=words.index)
        name = str(entry["loc"][0]) if entry["loc"] else next(iter(named), "")
        found.setdefault(name, words[0].upper() + words[1:])
    return found


def _complaint(entry: dict[str, Any]) -> str:
    location = [str(part) for part in entry["loc"]]
    option = option_name(location[0]) if location else ""
    words = _words(entry)
    if entry["type"] in ("missing", "extra_forbidden"):
        return f"{option} {words}"
    return f"{option} {entry['input']!r}: {words}" if location else words


def _words(entry: dict[str, Any]) -> str:
    match entry["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a parameter of this job type"
        case "value_error":
            words = str(entry["ctx"]["error"])
        case _:
            words = entry["msg"][0].lower() + entry["msg"][1:]
    return words.replace("input should", "must")
