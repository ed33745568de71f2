"""Checks of what somebody asks for, against the catalog and through the one door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from cryocloud.catalog import UnknownName, load_job_type, load_workflow
from cryocloud.catalog.base import Input, JobType, Parameters
from cryocloud.catalog.messages import field_complaints
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound, PlatformError, Refused
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.references import check_reference, require_images

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
        fields = field_complaints(error, model.model_fields)
        raise Refused("; ".join(f"{name}: {text}" for name, text in fields.items()), fields) from None


def check_seed(seed: int) -> None:
    if not 0 <= seed <= SEED_MAX:
        raise Refused(f"seed: {seed} is not between 0 and {SEED_MAX}", {"seed": f"0 to {SEED_MAX}"})


def checked_inputs(
    actor: Actor, project: Project, declared: tuple[Input, ...], given: Mapping[str, str]
) -> dict[str, str]:
    """The inputs that were given, or ``Refused`` with all complaints; what is not the actor's is ``NotFound``."""
    complaints = {}
    for name, error in _problems(actor, project, declared, given):
        if isinstance(error, NotFound):
            raise error
        complaints[name] = str(error)
    if complaints:
        raise Refused("; ".join(f"{name}: {text}" for name, text in complaints.items()), complaints)
    return {name: text for name, text in given.items() if text}


def input_complaints(
    actor: Actor, project: Project, declared: tuple[Input, ...], given: Mapping[str, str]
) -> dict[str, str]:
    """The same as sentences beside the fields, for a form that is being filled in."""
    return {name: str(error) for name, error in _problems(actor, project, declared, given)}


def _problems(
    actor: Actor, project: Project, declared: tuple[Input, ...], given: Mapping[str, str]
) -> Iterator[tuple[str, PlatformError]]:
    names = [one.name for one in declared]
    for name in given.keys() - set(names):
        yield name, Refused(f"Is no input here; there are: {', '.join(names) or 'none'}.")
    for one in declared:
        text = given.get(one.name, "")
        try:
            if not text and one.required:
                raise Refused("Choose an input.")
            if text and text not in one.literals:
                check_reference(actor, project, text[:TEXT_LENGTH_MAX])
                require_images(project, one, text)
        except PlatformError as error:
            yield one.name, error
