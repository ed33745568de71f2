"""What a parameter's declaration says about its value: type, words allowed, range, unit, default.

The command line makes options of it and the pages make form fields of it.
"""

from __future__ import annotations

import types
import typing
from enum import Enum
from typing import Any, Literal

from pydantic.fields import FieldInfo

from cryocloud.catalog.labels import LABELS
from cryocloud.catalog.units import split_unit, value_words

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
WORDS_IN_CAPITALS = {"ctf": "CTF", "snr": "SNR", "fsc": "FSC", "b": "B", "3d": "3D", "2d": "2D"}


def plain_type(field: FieldInfo) -> Any:
    """The type without ``| None``."""
    arguments = [part for part in _union_parts(field.annotation) if part is not type(None)]
    return arguments[0] if len(arguments) == 1 else field.annotation


def is_optional(field: FieldInfo) -> bool:
    """Whether the word "none" is a value."""
    return type(None) in _union_parts(field.annotation)


def is_list(kind: Any) -> bool:
    """Whether there are several values."""
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


def title(name: str) -> str:
    """The name in plain words, without its unit: "Mask diameter" for ``mask_diameter_angstrom``."""
    bare = split_unit(name)[0]
    if bare in LABELS:
        return LABELS[bare]
    spoken = " ".join(WORDS_IN_CAPITALS.get(word, word) for word in bare.split("_"))
    return spoken[:1].upper() + spoken[1:]


def value_text(value: Any) -> str:
    """A value as one would type it."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value) or NONE
    return str(value)


def shown_value(value: Any, unit: str = "") -> str:
    """A value as a table shows it; what was left to the job is automatic."""
    return (
        "automatic" if value is None else value_words(value.value if isinstance(value, Enum) else value, unit)
    )


def default_value(field: FieldInfo) -> Any:
    """The default; None for a required parameter."""
    return None if field.is_required() else field.get_default(call_default_factory=True)


def default_text(field: FieldInfo) -> str:
    """The default as one would type it."""
    return "required" if field.is_required() else value_text(default_value(field))


def bounds(field: FieldInfo) -> dict[str, Any]:
    """The constraints by their pydantic names (``gt``, ``le`` ...)."""
    found = {}
    for constraint in field.metadata:
        for name in CONSTRAINT_WORDS:
            bound = getattr(constraint, name, None)
            if bound is not None:
                found[name] = bound
    return found


def range_text(field: FieldInfo) -> str:
    """The allowed range in words."""
    return ", ".join(
        CONSTRAINT_WORDS[name].format(value_words(bound)) for name, bound in bounds(field).items()
    )


def _union_parts(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)
