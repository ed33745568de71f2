"""Checks of what somebody asks for, against the catalog and through the one door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cryocloud.catalog import UnknownName, load_job_type, load_workflow
from cryocloud.catalog.base import Input, JobType, Parameters
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.references import check_reference

SEED_MAX = 2**31 - 1
TEXT_LENGTH_MAX = 1000


def known_job_type(name: str) -> JobType:
    try:
        return load_job_type(name)
    except UnknownName as error:
        raise Refused(f"{error}", {"job_type": str(error)}) from None


def known_workflow(name: str) -> Workflow:
    try:
        return load_workflow(name)
    except UnknownName as error:
        raise Refused(f"{error}", {"workflow": str(error)}) from None


def complete_parameters(model: type[Parameters], given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters with their defaults, or ``Refused`` with a message for each that cannot be used."""
    try:
        return model.model_validate(dict(given)).model_dump(mode="json")
    except ValidationError as error:
        fields = parameter_complaints(error)
        raise Refused("; ".join(f"{name}: {text}" for name, text in fields.items()), fields) from None


def parameter_complaints(error: ValidationError) -> dict[str, str]:
    """A plain sentence for each parameter; complaints about several at once stand under ``parameters``."""
    complaints: dict[str, str] = {}
    for entry in error.errors(include_url=False):
        name = str(entry["loc"][0]) if entry["loc"] else "parameters"
        complaints.setdefault(
            name, _complaint(entry["type"], entry["msg"], entry.get("ctx", {}), entry["input"])
        )
    return complaints


def _complaint(kind: str, text: str, context: Mapping[str, Any], given: Any) -> str:
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a parameter here"
        case "value_error":
            return str(context["error"])
    plain = text[0].lower() + text[1:]
    return f"{str(given)[:80]!r} {plain.replace('input should', 'must')}"


def check_seed(seed: int) -> None:
    if not 0 <= seed <= SEED_MAX:
        raise Refused(f"seed: {seed} is not between 0 and {SEED_MAX}", {"seed": f"0 to {SEED_MAX}"})


def checked_inputs(
    actor: Actor, project: Project, declared: tuple[Input, ...], given: Mapping[str, str]
) -> dict[str, str]:
    """The inputs that were given, or ``Refused`` with all complaints; what is not the actor's is ``NotFound``."""
    complaints = {
        name: f"is no input; there are {', '.join(one.name for one in declared) or 'none'}"
        for name in given.keys() - {one.name for one in declared}
    }
    for one in declared:
        try:
            _check_input(actor, project, one, given.get(one.name, ""))
        except Refused as refusal:
            complaints |= refusal.fields
    if complaints:
        raise Refused("; ".join(f"{name}: {text}" for name, text in complaints.items()), complaints)
    return {name: text for name, text in given.items() if text}


def input_complaints(
    actor: Actor, project: Project, declared: tuple[Input, ...], given: Mapping[str, str]
) -> dict[str, str]:
    """The same as complaints beside the fields, for a form that is being filled in."""
    try:
        checked_inputs(actor, project, declared, given)
    except Refused as refusal:
        return refusal.fields
    except NotFound as error:
        return {one.name: str(error) for one in declared[:1]}
    return {}


def _check_input(actor: Actor, project: Project, declared: Input, text: str) -> None:
    if not text:
        if declared.required:
            raise Refused(f"{declared.name}: is required", {declared.name: "is required"})
        return
    if text not in declared.literals:
        check_reference(actor, project, declared.name, text[:TEXT_LENGTH_MAX])
