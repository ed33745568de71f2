"""Command-line options made from the parameters of a job type."""

from __future__ import annotations

import argparse
import types
import typing
from enum import Enum
from typing import Any, Literal

from pydantic.fields import FieldInfo

from cryocloud.catalog.base import Parameters
from cryocloud.catalog.messages import option_name

CONSTRAINT_WORDS = {
    "gt": "above {}",
    "ge": "at least {}",
    "lt": "below {}",
    "le": "at most {}",
    "multiple_of": "a multiple of {}",
    "min_length": "at least {} values",
    "max_length": "at most {} values",
}
NONE = "none"


def add_parameter(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    """One option; values stay text until pydantic reads them."""
    kind = plain_type(field)
    shared: dict[str, Any] = {"dest": f"parameter:{name}", "default": argparse.SUPPRESS, "help": _help(field)}
    if kind is bool:
        group.add_argument(option_name(name), action=argparse.BooleanOptionalAction, **shared)
    elif is_list(kind):
        group.add_argument(option_name(name), nargs="+", metavar=_metavar(field), **shared)
    else:
        group.add_argument(option_name(name), metavar=_metavar(field), **shared)


def parameter_values(model: type[Parameters], options: dict[str, Any]) -> dict[str, Any]:
    """The parameters that were named on the command line, ready for validation."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if f"parameter:{name}" not in options:
            continue
        value = options[f"parameter:{name}"]
        if is_list(plain_type(field)):
            value = [part for text in value for part in text.split(",") if part]
            value = None if value == [NONE] and is_optional(field) else value
        elif value == NONE and is_optional(field):
            value = None
        values[name] = value
    return values


def plain_type(field: FieldInfo) -> Any:
    """The type without ``| None``."""
    arguments = [part for part in _union_parts(field.annotation) if part is not type(None)]
    return arguments[0] if len(arguments) == 1 else field.annotation


def is_optional(field: FieldInfo) -> bool:
    """Whether the word "none" is a value."""
    return type(None) in _union_parts(field.annotation)


def is_list(kind: Any) -> bool:
    """Whether several values follow the option."""
    return typing.get_origin(kind) in (list, tuple)


def choices(field: FieldInfo) -> list[str]:
    """The words that are allowed, for an enum or a literal type."""
    kind = plain_type(field)
    if typing.get_origin(kind) is Literal:
        return [str(word) for word in typing.get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    return []


def unit(field: FieldInfo) -> str:
    """The unit declared in the catalog."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def default_text(field: FieldInfo) -> str:
    """The default as one would type it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value) or NONE
    return str(value)


def range_text(field: FieldInfo) -> str:
    """The allowed range in words."""
    words = []
    for constraint in field.metadata:
        for name, template in CONSTRAINT_WORDS.items():
            bound = getattr(constraint, name, None)
            if bound is not None:
                words.append(template.format(bound))
    return ", ".join(words)


def _union_parts(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _metavar(field: FieldInfo) -> str:
    words = choices(field)
    if words:
        return "{" + ",".join(words) + "}"
    kind = plain_type(field)
    if is_list(kind):
        kind = next(iter(typing.get_args(kind)), str)
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _help(field: FieldInfo) -> str:
    default = default_text(field)
    facts = [unit(field), range_text(field), default if default == "required" else f"default {default}"]
    text = f"{field.description} ({'; '.join(fact for fact in facts if fact)})"
    return text.replace("%", "%%")
