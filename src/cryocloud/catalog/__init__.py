"""What can be run. A job type is a file in ``catalog/types``; there is no central list."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from cryocloud.catalog import types
from cryocloud.catalog.base import JobType


class UnknownJobType(LookupError):
    """No job type has this name; the message lists close matches."""


def job_type_names() -> list[str]:
    """Names of all job types, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(types.__path__))


def load_job_type(name: str) -> JobType:
    """The job type called ``name``."""
    names = job_type_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known job types: {', '.join(names)}"
        raise UnknownJobType(f"unknown job type '{name}'; {hint}")
    job_type = importlib.import_module(f"{types.__name__}.{name}").JOB_TYPE
    assert isinstance(job_type, JobType) and job_type.name == name
    return job_type
