from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page
from cryocloud.web.api.credentials import actor
from cryocloud.web.metering.caps import CAP_S_MAX
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects import services
from cryocloud.web.projects.models import Project

router = Router(tags=["projects"])

CAP = "Seconds of slots that all attempts of the project may be billed; none: no cap"


class ProjectOut(Schema):
    id: str
    organization_id: str
    name: str
    description: str
    created_at: datetime
    archived_at: datetime | None
    compute_cap_s: int | None = Field(description=CAP)


class ProjectIn(Schema):
    organization_id: str = Field(max_length=64)
    name: str = Field(max_length=services.NAME_LENGTH_MAX)
    description: str = Field("", max_length=services.DESCRIPTION_LENGTH_MAX)


class ProjectChange(Schema):
    """What is left out stays as it is."""

    name: str | None = Field(None, max_length=services.NAME_LENGTH_MAX)
    description: str | None = Field(None, max_length=services.DESCRIPTION_LENGTH_MAX)
    archived: bool | None = None
    compute_cap_s: int | None = Field(None, ge=0, le=CAP_S_MAX, description=f"{CAP}; needs admin")


class ProjectQuery(PageQuery):
    organization_id: str = Field("", max_length=64, description="Only those of this organization")
    archived: bool = Field(False, description="The archived ones instead")


@router.get("/projects", response={200: Page[ProjectOut], **ERRORS}, operation_id="list_projects")
def list_projects(request: HttpRequest, query: Query[ProjectQuery]) -> dict[str, Any]:
    """Projects of your organizations, newest first."""
    rows = access.visible(actor(request), Project).filter(archived_at__isnull=not query.archived)
    if query.organization_id:
        rows = rows.filter(organization_id=query.organization_id)
    return one_page(rows, query)


@router.post("/projects", response={201: ProjectOut, **ERRORS}, operation_id="create_project")
def create_project(request: HttpRequest, body: ProjectIn) -> Status[Project]:
    caller = actor(request)
    organization = access.get_organization(caller, body.organization_id, needs=Role.EDITOR)
    project = services.create_project(
        actor=caller, organization=organization, name=body.name, description=body.description
    )
    return Status(201, project)


@router.get("/projects/{project_id}", response={200: ProjectOut, **ERRORS}, operation_id="get_project")
def get_project(request: HttpRequest, project_id: str) -> Project:
    return access.get(actor(request), Project, project_id)


@router.patch("/projects/{project_id}", response={200: ProjectOut, **ERRORS}, operation_id="update_project")
def update_project(request: HttpRequest, project_id: str, body: ProjectChange) -> Project:
    """Rename, describe, archive or restore a project."""
    caller = actor(request)
    project = access.get(caller, Project, project_id, needs=Role.EDITOR)
    with transaction.atomic():
        if body.archived is True and project.archived_at is None:
            services.archive_project(actor=caller, project=project)
        if body.archived is False and project.archived_at is not None:
            services.restore_project(actor=caller, project=project)
        if "compute_cap_s" in body.model_fields_set:
            services.cap_project(actor=caller, project=project, compute_cap_s=body.compute_cap_s)
        if body.name is not None or body.description is not None:
            services.update_project(
                actor=caller, project=project, name=body.name, description=body.description
            )
    return project
