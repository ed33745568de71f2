"""Command-line options made from the parameters of a job type."""

from __future__ import annotations

import argparse
import typing
from typing import Any

from pydantic.fields import FieldInfo

from cryocloud.catalog.base import JobType, Parameters
from cryocloud.catalog.fields import (
    NONE,
    choices,
    default_text,
    is_list,
    is_optional,
    plain_type,
    range_text,
    unit,
)
from cryocloud.catalog.messages import option_name
from cryocloud.catalog.workflow import Workflow


def catalog_parser(
    command: str, entry: JobType | Workflow, *, usage: str, inputs: str, metavar: str
) -> argparse.ArgumentParser:
    """A parser with the inputs and parameters of one job type or workflow; ``metavar`` is what an input is."""
    parser = argparse.ArgumentParser(
        prog=f"cryocloud {command} {entry.name}", usage=usage, description=entry.summary, allow_abbrev=False
    )
    group = parser.add_argument_group(inputs)
    for item in entry.inputs:
        words = f" (or the word {' or '.join(item.literals)})" if item.literals else ""
        group.add_argument(
            option_name(item.name),
            dest=f"input:{item.name}",
            required=item.required,
            metavar=metavar,
            help=(item.help + words).replace("%", "%%"),
        )
    parameters = parser.add_argument_group("parameters")
    for name, field in entry.parameters.model_fields.items():
        add_parameter(parameters, name, field)
    return parser


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
