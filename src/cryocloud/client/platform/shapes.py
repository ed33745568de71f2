"""What the API answers, as typed records. Fields that a newer server adds are left aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SUCCEEDED = ("done", "exceptions")
ENDED = (*SUCCEEDED, "failed", "cancelled")
WAITING = "waiting"
"""A run that a person must decide on: nothing happens until then."""


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Person(Shape):
    id: str
    name: str
    email: str


class Organization(Shape):
    id: str
    name: str
    state: str
    role: str


class Token(Shape):
    name: str
    scope: str
    expires_at: datetime


class WhoAmI(Shape):
    user: Person
    token: Token | None = None
    organizations: tuple[Organization, ...]


class Project(Shape):
    id: str
    organization_id: str
    name: str
    description: str
    created_at: datetime


class Dataset(Shape):
    id: str
    organization_id: str
    name: str
    description: str
    profile: dict[str, Any]
    created_at: datetime


class DatasetFile(Shape):
    id: str
    path: str
    size_bytes: int
    sha256: str
    state: str
    header: dict[str, Any]
    problem: str


class Upload(Shape):
    id: str
    path: str
    size_bytes: int
    state: str
    problem: str
    url: str
    offset: int


class Job(Shape):
    id: str
    project_id: str
    run_id: str | None = None
    number: int
    job_type: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    seed: int
    state: str
    progress: float
    progress_message: str
    message: str
    metrics: dict[str, Any]
    warnings: tuple[str, ...] = ()
    control: bool = False
    doubt: str = ""
    exceptions: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED


class Run(Shape):
    id: str
    project_id: str
    number: int
    workflow: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    state: str
    message: str
    warnings: tuple[str, ...]
    doubt: str = ""
    key_numbers: dict[str, Any]
    result_job_id: str
    jobs: tuple[Job, ...] = Field(())

    @property
    def is_ended(self) -> bool:
        """Or waits for a person: who only watches cannot bring it on."""
        return self.state in (*ENDED, WAITING)


class Artifact(Shape):
    id: str
    job_id: str
    path: str
    size_bytes: int
    sha256: str
    meaning: str = ""


class Range(Shape):
    low: float
    likely: float
    high: float


class Forecast(Shape):
    """Four of five orders end within these ranges; what is billed is ``wall_s``."""

    wall_s: Range
    cpu_s: Range
    memory_bytes: Range
    disk_bytes: Range
    threads: int
    records: int


class Finding(Shape):
    """What the server says of an order before it is placed."""

    field: str
    level: str
    text: str
