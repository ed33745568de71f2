"""What an organization has used: meters, what comes next, by day, by project, by run, down to each attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.money import rounded, spoken
from cryocloud.web.core.clock import now
from cryocloud.web.core.tables import table_answer
from cryocloud.web.metering.limits import ComputeLimit, compute_limit
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.metering.quota_words import used_up_words
from cryocloud.web.metering.reports import StorageUse, records_of, storage_of
from cryocloud.web.metering.services import remaining_compute_s, running_compute_s, used_compute_s
from cryocloud.web.metering.spans import Span, span_of, spans_of
from cryocloud.web.organizations.access import visible, within
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.state_words import moment_words
from cryocloud.web.organizations.states import State, standing
from cryocloud.web.pages.gauges import compute_gauge, storage_gauges
from cryocloud.web.pages.projects import page_number
from cryocloud.web.pages.templatetags.wording import bytes_text, duration
from cryocloud.web.pages.visitor import current_organization, members_only
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Run
from cryocloud.web.runs.quotes import price_cents
from cryocloud.web.runs.usage_lines import project_names, usage_lines, usage_table

ATTEMPTS_PER_PAGE = 50
LINES_SHOWN = 100
DAYS_DRAWN = 62
CHART_HEIGHT = 60
DAY_WIDTH = 12


@dataclass(frozen=True)
class Bar:
    """A day in the chart; ``y`` and ``height`` are in its units."""

    day: date
    billed_s: int
    x: int
    height: float

    @property
    def y(self) -> float:
        return CHART_HEIGHT - self.height


@dataclass(frozen=True)
class UseLine:
    """What a project or a run was billed in the span; the share is that of the largest."""

    title: str
    url: str
    attempts: int
    billed_s: int
    share: float


@require_GET
@members_only
def usage(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    span = span_of(organization, request.GET.get("span", ""))
    records = _records(actor, organization, span)
    project_id, run_id = request.GET.get("project", "")[:64], request.GET.get("run", "")[:64]
    chosen = records.filter(**_filter(project_id, run_id)).order_by("-finished_at", "-pk")
    page = Paginator(chosen, ATTEMPTS_PER_PAGE).get_page(page_number(request))
    is_present = span.holds(now())
    context = {
        "section": "organization",
        "organization": organization,
        "spans": spans_of(organization),
        "span": span,
        "is_present": is_present,
        "compute": compute_gauge(organization),
        "gauges": storage_gauges(organization),
        "next_words": list(_what_comes(organization)) if is_present else [],
        "billed_s": records.aggregate(s=Sum("billed_s", default=0))["s"],
        "spending": _spending(organization) if is_present else None,
        "storage_average": _average(storage_of(organization.pk, span.from_at, span.until_at)),
        "bars": _bars(records, span),
        "chart_height": CHART_HEIGHT,
        "day_width": DAY_WIDTH,
        "working": _working(actor, organization) if is_present else [],
        "projects": _by_project(records, span),
        "runs": _by_run(actor, records.filter(project_id=project_id), span, project_id) if project_id else [],
        "project_id": project_id,
        "run_id": run_id,
        "chosen": _chosen_words(actor, organization, project_id, run_id),
        "page": page,
        "lines": usage_lines(list(page)),
        "csv_url": f"{reverse('usage_table')}?{urlencode({'span': span.key})}",
    }
    return render(request, "organizations/usage.html", context)


@require_GET
@members_only
def usage_download(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All attempts of the span as a table."""
    organization = current_organization(request, actor)
    span = span_of(organization, request.GET.get("span", ""))
    lines = usage_lines(list(_records(actor, organization, span)))
    return table_answer(usage_table(lines), f"usage-{span.from_at:%Y-%m-%d}.csv")


def _records(actor: Actor, organization: Organization, span: Span) -> QuerySet[UsageRecord]:
    own = within(actor, UsageRecord, organization)
    return records_of(organization.pk, span.from_at, span.until_at) & own


def _filter(project_id: str, run_id: str) -> dict[str, str]:
    return {name: value for name, value in (("project_id", project_id), ("run_id", run_id)) if value}


def _what_comes(organization: Organization) -> Iterator[str]:
    """When the span ends, and what happens when the compute is used up."""
    held, limit = standing(organization), compute_limit(organization)
    if not held.may_compute:
        yield used_up_words(organization)
        return
    if held.state == State.TRIAL and held.until is not None:
        yield f"The trial ends on {moment_words(held.until)}. Data stays readable after it."
    elif limit.until_at is not None:
        yield f"A new month begins on {moment_words(limit.until_at)}, and the hours count from zero again."
    if limit.limit_s is None:
        return
    if remaining_compute_s(organization) == 0:
        yield used_up_words(organization)
    else:
        yield (
            "When the hours are used up, jobs at work write a checkpoint and pause. They go on by themselves as soon "
            "as there is compute again. Owners are told at 80 and at 95 %."
        )


def _spending(organization: Organization) -> dict[str, str] | None:
    """What compute beyond the plan has cost so far, and may cost."""
    limit = compute_limit(organization)
    if limit.cents_an_hour is None or limit.included_s is None:
        return None
    over_s = max(0, used_compute_s(organization) + running_compute_s(organization) - limit.included_s)
    return {
        "spent": spoken(price_cents(over_s, limit.cents_an_hour)),
        "rate": spoken(limit.cents_an_hour),
        "most": _most_words(limit),
    }


def _most_words(limit: ComputeLimit) -> str:
    if limit.limit_s is None or limit.included_s is None or limit.cents_an_hour is None:
        return "no limit"
    return spoken(rounded((limit.limit_s - limit.included_s) * limit.cents_an_hour, 3600))


def _average(kept: StorageUse) -> str:
    return bytes_text(kept.byte_hours / kept.hours) if kept.hours else ""


def _bars(records: QuerySet[UsageRecord], span: Span) -> list[Bar]:
    """The days of the span up to today, at most two months of them."""
    by_day: Counter[date] = Counter()
    for finished_at, billed_s in records.values_list("finished_at", "billed_s"):
        by_day[finished_at.date()] += billed_s
    last = _last_day(span)
    first = max(span.from_at.date(), last - timedelta(days=DAYS_DRAWN - 1))
    most = max(by_day.values(), default=0) or 1
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [
        Bar(day, by_day[day], number * DAY_WIDTH, round(by_day[day] / most * (CHART_HEIGHT - 2), 2))
        for number, day in enumerate(days)
    ]


def _last_day(span: Span) -> date:
    last: datetime = min(span.until_at - timedelta(microseconds=1), max(now(), span.from_at))
    return last.date()


def _by_project(records: QuerySet[UsageRecord], span: Span) -> list[UseLine]:
    rows = list(_grouped(records, "project_id"))
    names = project_names(project_id for project_id, _, _ in rows)
    return [
        UseLine(
            names.get(project_id) or f"deleted project {project_id}".strip(),
            f"?{urlencode({'span': span.key, 'project': project_id})}#attempts",
            attempts,
            billed_s,
            billed_s / (rows[0][2] or 1),
        )
        for project_id, attempts, billed_s in rows
    ]


def _by_run(actor: Actor, records: QuerySet[UsageRecord], span: Span, project_id: str) -> list[UseLine]:
    rows = list(_grouped(records, "run_id"))
    runs = visible(actor, Run).filter(pk__in=[run_id for run_id, _, _ in rows])
    numbers = dict(runs.values_list("pk", "number"))

    def title(run_id: str) -> str:
        if not run_id:
            return "Single jobs"
        return f"Run {numbers[run_id]}" if run_id in numbers else f"deleted run {run_id}"

    return [
        UseLine(
            title(run_id),
            f"?{urlencode({'span': span.key, 'project': project_id, 'run': run_id})}#attempts",
            attempts,
            billed_s,
            billed_s / (rows[0][2] or 1),
        )
        for run_id, attempts, billed_s in rows
    ]


def _grouped(records: QuerySet[UsageRecord], name: str) -> Iterator[tuple[str, int, int]]:
    """The largest first."""
    rows = records.order_by().values(name).annotate(n=Count("pk"), s=Sum("billed_s"))
    for row in rows.order_by("-s", name)[:LINES_SHOWN]:
        yield row[name], row["n"], row["s"]


def _working(actor: Actor, organization: Organization) -> list[dict[str, Any]]:
    """Attempts at work, with what they have used until the last seconds."""
    rows = list(within(actor, Reservation, organization).order_by("created_at")[:LINES_SHOWN])
    names = project_names(one.project_id for one in rows)
    return [
        {
            "project": names.get(one.project_id, ""),
            "since": one.created_at,
            "used": duration(min(one.used_s, one.granted_s)),
            "slots": one.slots,
        }
        for one in rows
    ]


def _chosen_words(actor: Actor, organization: Organization, project_id: str, run_id: str) -> str:
    if not project_id:
        return ""
    project = within(actor, Project, organization).filter(pk=project_id).first()
    run = within(actor, Run, organization).filter(pk=run_id).first() if run_id else None
    name = f"“{project.name}”" if project else f"deleted project {project_id}"
    return f"{name}, run {run.number}" if run else name


urlpatterns: list[URLPattern] = [
    path("organization/usage/", usage, name="usage"),
    path("organization/usage/attempts.csv", usage_download, name="usage_table"),
]
