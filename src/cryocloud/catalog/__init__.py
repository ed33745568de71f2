"""What can be run: a job type is a file in ``types``, a workflow one in ``workflows``; no central list."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from cryocloud.catalog import types, workflows
from cryocloud.catalog.base import JobType
from cryocloud.catalog.workflow import Workflow


class UnknownName(LookupError):
    """Nothing in the catalog has this name; the message lists close matches."""


def job_type_names() -> list[str]:
    """Names of all job types, in alphabetical order."""
    return _names(types)


def workflow_names() -> list[str]:
    """Names of all workflows, in alphabetical order."""
    return _names(workflows)


def load_job_type(name: str) -> JobType:
    """The job type called ``name``."""
    job_type = _load("job type", name, types).JOB_TYPE
    assert isinstance(job_type, JobType) and job_type.name == name
    return job_type


def load_workflow(name: str) -> Workflow:
    """The workflow called ``name``."""
    workflow = _load("workflow", name, workflows).WORKFLOW
    assert isinstance(workflow, Workflow) and workflow.name == name
    return workflow


def job_type_title(name: str) -> str:
    """What people call it; also for one that is not in the catalog any more."""
    try:
        return load_job_type(name).title
    except UnknownName:
        return name.replace("_", " ")


def workflow_title(name: str) -> str:
    """The same for a workflow."""
    try:
        return load_workflow(name).title
    except UnknownName:
        return name.replace("_", " ")


def _names(package: ModuleType) -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def _load(kind: str, name: str, package: ModuleType) -> ModuleType:
    names = _names(package)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
        raise UnknownName(f"unknown {kind} '{name}'; {hint}")
    return importlib.import_module(f"{package.__name__}.{name}")
