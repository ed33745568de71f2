"""Pydantic's complaints as one plain line: option, value, allowed range."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from cryocloud.catalog.fields import title
from cryocloud.catalog.units import number_text, split_unit, value_words


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
        words = _labeled(words, named)
        found.setdefault(name, words[0].upper() + words[1:])
    return found


def _labeled(words: str, names: Iterable[str]) -> str:
    """With the labels of parameters in place of their names, and the units that stand in those."""
    for name in sorted(names, key=len, reverse=True):

        def spoken(found: re.Match[str], name: str = name) -> str:
            value = f" {number_text(float(found[1]), split_unit(name)[1], digits=6)}" if found[1] else ""
            return f"“{title(name)}”{value}"

        words = re.sub(rf"\b{name}\b(?: (-?\d+(?:\.\d+)?))?", spoken, words)
    return words


def _complaint(entry: dict[str, Any]) -> str:
    location = [str(part) for part in entry["loc"]]
    option = option_name(location[0]) if location else ""
    words = _words(entry)
    if entry["type"] in ("missing", "extra_forbidden"):
        return f"{option} {words}"
    given = entry["input"]
    value = repr(given) if isinstance(given, str) else value_words(given)
    return f"{option} {value}: {words}" if location else words


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
