"""What can be run: job types and workflows with their parameters, units, defaults and inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic.fields import FieldInfo

from cryocloud.catalog import UnknownName, job_type_names, load_job_type, load_workflow, workflow_names
from cryocloud.catalog.base import JobType
from cryocloud.catalog.fields import (
    bounds,
    choices,
    default_value,
    is_list,
    is_optional,
    plain_type,
    title,
    unit,
)
from cryocloud.catalog.files import meaning_of
from cryocloud.catalog.metrics import METRICS, metric_unit
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.api.answers import ERRORS
from cryocloud.web.core.errors import PlatformError

router = Router(tags=["catalog"])

Found = TypeVar("Found", JobType, Workflow)
TYPE_NAMES = {int: "integer", float: "number", bool: "boolean"}


class UnknownEntry(PlatformError):
    """Nothing in the catalog has this name; the message lists close matches."""

    status = 404


class ParameterFacts(Schema):
    """One parameter: what it means, its unit, its default and what it may be."""

    name: str
    title: str
    help: str
    unit: str = Field(description="Å, px, kV ...; empty where there is none")
    type: str = Field(description="integer, number, boolean, string or list")
    is_required: bool
    may_be_null: bool
    default: Any = None
    choices: list[str] = Field(description="The words allowed; empty if there is no list")
    bounds: dict[str, float] = Field(description="gt, ge, lt, le, multiple_of, min_length, max_length")


class InputFacts(Schema):
    """One input: a reference such as `dataset:ID`, `file:ID`, `job:ID/NAME` or `job:ID`."""

    name: str
    kind: str
    help: str
    is_required: bool
    literals: list[str] = Field(description="Words taken instead of a reference")


class EntryName(Schema):
    """A line of the catalog."""

    name: str
    title: str
    summary: str


class Entry(EntryName):
    """A job type or a workflow; `parameters_schema` is the JSON schema of its parameters."""

    parameters: list[ParameterFacts]
    inputs: list[InputFacts]
    parameters_schema: dict[str, Any]


class FileFacts(Schema):
    """A file that every job of the type leaves."""

    name: str
    meaning: str


class JobTypeFacts(Entry):
    """A job type."""

    version: int
    outputs: list[str] = Field(description="Files by which other jobs can refer to its result")
    files: list[FileFacts] = Field(description="The same files with what they are")


class MetricFacts(Schema):
    """A number that jobs report. Behind some names stands the number of a class: `particles_class2`."""

    name: str = Field(description="As in `metrics` of a job")
    label: str
    unit: str = Field(description="Å, px, ° ...; empty where there is none")
    form: str = Field(description="number, count, share (of 1) or yes_no (1 or 0)")
    help: str


@router.get("/catalog/job-types", response={200: list[EntryName], **ERRORS}, operation_id="list_job_types")
def list_job_types(request: HttpRequest) -> Any:
    """All job types, by name."""
    return [load_job_type(name) for name in job_type_names()]


@router.get("/catalog/job-types/{name}", response={200: JobTypeFacts, **ERRORS}, operation_id="get_job_type")
def get_job_type(request: HttpRequest, name: str) -> Any:
    """One job type with its parameters and inputs."""
    entry = _load(load_job_type, name)
    return {**_facts(entry), "version": entry.version, "outputs": list(entry.outputs), "files": _files(entry)}


@router.get("/catalog/metrics", response={200: list[MetricFacts], **ERRORS}, operation_id="list_metrics")
def list_metrics(request: HttpRequest) -> Any:
    """All numbers that jobs report, by name: what people call them, their unit, and what they mean."""
    return [
        {"name": name, "label": one.label, "unit": metric_unit(name), "form": one.form, "help": one.help}
        for name, one in METRICS.items()
    ]


@router.get("/catalog/workflows", response={200: list[EntryName], **ERRORS}, operation_id="list_workflows")
def list_workflows(request: HttpRequest) -> Any:
    """All workflows, by name."""
    return [load_workflow(name) for name in workflow_names()]


@router.get("/catalog/workflows/{name}", response={200: Entry, **ERRORS}, operation_id="get_workflow")
def get_workflow(request: HttpRequest, name: str) -> Any:
    """One workflow with its parameters and inputs."""
    return _facts(_load(load_workflow, name))


def _load(load: Callable[[str], Found], name: str) -> Found:
    try:
        return load(name)
    except UnknownName as error:
        raise UnknownEntry(str(error)) from None


def _facts(entry: JobType | Workflow) -> dict[str, Any]:
    fields = entry.parameters.model_fields
    return {
        "name": entry.name,
        "title": entry.title,
        "summary": entry.summary,
        "parameters": [_parameter(name, field) for name, field in fields.items()],
        "inputs": [
            {
                "name": item.name,
                "kind": item.kind,
                "help": item.help,
                "is_required": item.required,
                "literals": list(item.literals),
            }
            for item in entry.inputs
        ],
        "parameters_schema": entry.parameters.model_json_schema(),
    }


def _files(entry: JobType) -> list[dict[str, str]]:
    return [{"name": name, "meaning": meaning_of(name)} for name in entry.outputs]


def _parameter(name: str, field: FieldInfo) -> dict[str, Any]:
    kind = plain_type(field)
    return {
        "name": name,
        "title": title(name),
        "help": field.description or "",
        "unit": unit(field),
        "type": "list" if is_list(kind) else TYPE_NAMES.get(kind, "string"),
        "is_required": field.is_required(),
        "may_be_null": is_optional(field),
        "default": default_value(field),
        "choices": choices(field),
        "bounds": bounds(field),
    }
