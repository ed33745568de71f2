from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema
from pydantic import AwareDatetime

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page, written_out
from cryocloud.web.api.credentials import actor
from cryocloud.web.billing.money import rounded
from cryocloud.web.core.clock import now
from cryocloud.web.core.tables import table_answer
from cryocloud.web.data.storage import storage_limit, storage_used
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.metering.reports import records_of, storage_of
from cryocloud.web.metering.services import running_compute_s, used_compute_s
from cryocloud.web.metering.spans import spans_of
from cryocloud.web.organizations import access
from cryocloud.web.runs.usage_lines import usage_lines, usage_table

router = Router(tags=["usage"])

Cause = Annotated[UsageRecord.Cause, written_out(UsageRecord.Cause)]


class UsageOut(Schema):
    """One attempt that has ended; seconds are those of the computer that worked, by its own steady clock."""

    attempt_id: str
    project_id: str
    run_id: str
    job_id: str
    job_type: str
    boot_id: str = Field(description="The boot of the computer since which from_s and until_s are counted")
    from_s: float
    until_s: float
    wall_s: float
    cpu_s: float
    slots: int = Field(description="One, or one for each GPU; billed seconds are those of all slots")
    gpus: int
    gpu_class: str
    peak_memory_bytes: int
    read_bytes: int
    written_bytes: int
    billed_s: int
    ended: str
    exit_code: int | None
    cause: str = Field(description=", ".join(f"{one.value}: {one.label}" for one in UsageRecord.Cause))
    is_fault: bool = Field(description="A fault of the platform, which is not billed")
    started_at: datetime
    finished_at: datetime


class UsageQuery(PageQuery):
    from_at: AwareDatetime | None = Field(None, description="Only attempts that ended then or later")
    until_at: AwareDatetime | None = Field(None, description="Only attempts that ended before")
    project_id: str = Field("", max_length=64)
    run_id: str = Field("", max_length=64)


class SpanQuery(Schema):
    from_at: AwareDatetime | None = Field(None, description="Only attempts that ended then or later")
    until_at: AwareDatetime | None = Field(None, description="Only attempts that ended before")


class UsageSummary(Schema):
    """The present span: the trial, a month of the plan, or a month of the calendar."""

    span: str
    from_at: datetime
    until_at: datetime
    compute_used_s: int = Field(description="Billed to attempts that have ended")
    compute_running_s: float = Field(description="Of attempts at work")
    compute_included_s: int | None = Field(description="None: no limit")
    compute_limit_s: int | None = Field(
        description="With what the owner lets the span cost beyond; none: no limit"
    )
    overage_cents: int = Field(description="What compute beyond the included has cost so far, without VAT")
    storage_bytes: int
    storage_limit_bytes: int | None
    storage_byte_hours: int = Field(description="Sum of the samples at each full hour (UTC)")
    storage_hours: int = Field(description="How many samples there are")


@router.get(
    "/organizations/{organization_id}/usage", response={200: UsageSummary, **ERRORS}, operation_id="get_usage"
)
def get_usage(request: HttpRequest, organization_id: str) -> dict[str, Any]:
    """What is used of what may be used, attempts at work included."""
    organization = access.get_organization(actor(request), organization_id)
    span, limit = spans_of(organization)[0], compute_limit(organization)
    used_s, running_s = used_compute_s(organization), running_compute_s(organization)
    kept = storage_of(organization.pk, span.from_at, span.until_at)
    over_s = max(0, used_s - (limit.included_s or 0)) if limit.cents_an_hour else 0
    return {
        "span": span.title,
        "from_at": span.from_at,
        "until_at": span.until_at,
        "compute_used_s": used_s,
        "compute_running_s": running_s,
        "compute_included_s": limit.included_s,
        "compute_limit_s": limit.limit_s,
        "overage_cents": rounded(over_s * (limit.cents_an_hour or 0), 3600),
        "storage_bytes": storage_used(organization).size_bytes,
        "storage_limit_bytes": storage_limit(organization).size_bytes,
        "storage_byte_hours": kept.byte_hours,
        "storage_hours": kept.hours,
    }


@router.get(
    "/organizations/{organization_id}/usage/attempts",
    response={200: Page[UsageOut], **ERRORS},
    operation_id="list_attempt_usage",
)
def list_attempt_usage(
    request: HttpRequest, organization_id: str, query: Query[UsageQuery]
) -> dict[str, Any]:
    """One record for each attempt that has ended, newest first."""
    rows = _records(request, organization_id, query)
    for name in ("project_id", "run_id"):
        if value := getattr(query, name):
            rows = rows.filter(**{name: value})
    return one_page(rows, query)


@router.get(
    "/organizations/{organization_id}/usage/attempts.csv",
    response={200: None, **ERRORS},
    operation_id="download_attempt_usage",
)
def download_attempt_usage(
    request: HttpRequest, organization_id: str, query: Query[SpanQuery]
) -> HttpResponse:
    """All records of a span as a table (CSV), oldest first; of the present span if none is given."""
    organization = access.get_organization(actor(request), organization_id)
    if query.from_at is None:
        query.from_at = spans_of(organization)[0].from_at
    rows = _records(request, organization_id, query)
    return table_answer(usage_table(usage_lines(list(rows))), f"usage-{now():%Y-%m-%d}.csv")


def _records(
    request: HttpRequest, organization_id: str, query: UsageQuery | SpanQuery
) -> QuerySet[UsageRecord]:
    organization = access.get_organization(actor(request), organization_id)
    return records_of(organization.pk, query.from_at, query.until_at)
