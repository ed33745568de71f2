"""Pydantic's complaints as one plain line: option, value, allowed range."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError


def option_name(parameter_name: str) -> str:
    """The command-line option of a parameter or an input."""
    return "--" + parameter_name.replace("_", "-")


def plain_validation_message(error: ValidationError) -> str:
    """All complaints, separated by semicolons."""
    return "; ".join(_complaint(dict(entry)) for entry in error.errors(include_url=False))


def _complaint(entry: dict[str, Any]) -> str:
    location = [str(part) for part in entry["loc"]]
    option = option_name(location[0]) if location else ""
    match entry["type"]:
        case "missing":
            return f"{option} is required"
        case "extra_forbidden":
            return f"{option} is not a parameter of this job type"
        case "value_error":
            complaint = str(entry["ctx"]["error"])
        case _:
            complaint = entry["msg"][0].lower() + entry["msg"][1:]
    complaint = complaint.replace("input should", "must")
    if not location:
        return complaint
    return f"{option} {entry['input']!r}: {complaint}"
