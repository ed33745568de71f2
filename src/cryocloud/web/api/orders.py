"""What can be said of an order before it is placed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.http import HttpRequest
from ninja import Field, Router, Schema

from cryocloud.web.api.answers import ERRORS
from cryocloud.web.api.credentials import actor
from cryocloud.web.core.errors import Refused
from cryocloud.web.organizations import access
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.finding import Finding
from cryocloud.web.runs.forecasts import OrderForecast, forecast_sentence
from cryocloud.web.runs.preflight import CheckedOrder, check_order
from cryocloud.web.runs.quotes import quote_of

router = Router(tags=["runs"])

Inputs = dict[str, str]


class PreflightIn(Schema):
    """Either a job type or a workflow."""

    job_type: str = Field("", max_length=64)
    workflow: str = Field("", max_length=64)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: Inputs = Field(default_factory=dict)


class FindingOut(Schema):
    field: str = Field(description="A parameter or an input; empty for what concerns the whole order")
    level: str = Field(description="error, warning or info")
    text: str


class RangeOut(Schema):
    """Four of five orders end between low and high."""

    low: float
    likely: float
    high: float


class StepForecastOut(Schema):
    job_type: str
    is_optional: bool
    wall_s: RangeOut = Field(alias="ranges.wall_s")
    memory_bytes: RangeOut = Field(alias="ranges.memory_bytes")


class QuoteOut(Schema):
    """Of the present moment, in cents without VAT."""

    left_s: float | None = Field(description="Compute that it may take at most; none: no limit")
    low_cents: int | None = Field(description="Beyond what is included; none: nothing has a price")
    high_cents: int | None
    cents_an_hour: int | None


class ForecastOut(Schema):
    """Of a whole order. What is billed is wall time; memory is that of its largest job."""

    wall_s: RangeOut
    cpu_s: RangeOut
    memory_bytes: RangeOut
    disk_bytes: RangeOut
    threads: int
    records: int = Field(description="Jobs of these types on this server that the forecast has learnt from")
    steps: list[StepForecastOut] = Field(description="Of a workflow: the jobs that it will probably make")
    price: QuoteOut


@router.post(
    "/projects/{project_id}/preflight", response={200: list[FindingOut], **ERRORS}, operation_id="check_order"
)
def preflight(request: HttpRequest, project_id: str, body: PreflightIn) -> list[Any]:
    """What is wrong with an order, what it would cost, and whether it fits; nothing is started."""
    checked = _checked(request, project_id, body)
    forecast = checked.forecast
    said = [Finding("", "info", forecast_sentence(forecast))] if forecast else []
    return [*checked.findings, *said]


@router.post(
    "/projects/{project_id}/forecast", response={200: ForecastOut, **ERRORS}, operation_id="forecast_order"
)
def forecast(request: HttpRequest, project_id: str, body: PreflightIn) -> dict[str, Any]:
    """How long an order would take, how much memory and disk, and what it costs; nothing is started."""
    checked = _checked(request, project_id, body)
    wrong = {found.field: found.text for found in checked.findings if found.level == "error" and found.field}
    if wrong:
        raise Refused("; ".join(f"{name}: {text}" for name, text in wrong.items()), wrong)
    if checked.forecast is None:
        raise Refused(
            "What this takes cannot be foreseen: the sizes of its inputs are not known. Wait until the files have been "
            "looked at, or the job that makes them is done."
        )
    project = access.get(actor(request), Project, project_id)
    found = {one.name: getattr(checked.forecast, one.name) for one in fields(OrderForecast)}
    return found | {"price": quote_of(project, checked.forecast.wall_s)}


def _checked(request: HttpRequest, project_id: str, body: PreflightIn) -> CheckedOrder:
    caller = actor(request)
    project = access.get(caller, Project, project_id)
    kind = ("workflow", body.workflow) if body.workflow else ("job", body.job_type)
    return check_order(
        actor=caller, project=project, kind_and_name=kind, parameters=body.parameters, inputs=body.inputs
    )
