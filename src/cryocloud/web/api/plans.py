"""What is sold, what an organization has subscribed to, and the changes that its owners make."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Field, Router, Schema, Status

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.api.answers import ERRORS
from cryocloud.web.api.credentials import actor
from cryocloud.web.core.clock import now
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.organizations.states import standing
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.ending import is_refundable, refund_until
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.orders import terms
from cryocloud.web.subscriptions.outlook import next_invoice, what_comes
from cryocloud.web.terms import CURRENCY, Plan

router = Router(tags=["plans"])

IntervalName = Literal["monthly", "yearly"]
PLACE = "/organizations/{organization_id}/subscription"


class PlanFacts(Schema):
    """A plan; money is in cents without VAT."""

    code: str
    name: str
    monthly_cents: int
    yearly_cents: int | None = None
    compute_hours: int = Field(description="Included in a month")
    storage_bytes: int
    files: int | None = None
    slots: int | None = None
    compute_cents_an_hour: int | None = Field(None, description="null: work stops at what is included")
    storage_cents_a_terabyte_month: int | None = Field(
        None, description="null: writes stop at what is included"
    )


class Plans(Schema):
    currency: str
    items: list[PlanFacts]


class ComingFacts(Schema):
    """What happens at a moment unless somebody does something."""

    at: datetime
    words: str


class InvoiceForeseen(Schema):
    at: datetime
    net_cents: int = Field(description="Without VAT, if nothing more is used beyond the plan")


class SubscriptionFacts(Schema):
    """How an organization stands to its plan; all but `organization_state` and `coming` is null without one."""

    organization_state: str
    coming: list[ComingFacts]
    state: str | None = None
    plan: PlanFacts | None = None
    interval: IntervalName | None = None
    month_from: datetime | None = None
    month_until: datetime | None = None
    next_plan: str | None = Field(
        None, description="Code of the plan that was chosen for the next price period"
    )
    next_interval: str | None = None
    ends_at: datetime | None = Field(None, description="When a deactivated plan ends")
    is_refundable: bool | None = Field(
        None, description="Whether deactivation now gives everything back at once"
    )
    refund_until: datetime | None = None
    spending_limit_cents: int | None = None
    next_invoice: InvoiceForeseen | None = None


class PlanChoice(Schema):
    plan: str = Field(max_length=40)
    interval: IntervalName


class PlanOrder(PlanChoice):
    provider: str = Field("manual", max_length=20, description="manual: bank transfer, which begins at once")


class SpendingLimit(Schema):
    cents: int = Field(ge=0, description="Of compute beyond the plan in a month, without VAT")


class Deactivation(Schema):
    words: str = Field("", max_length=500, description="Read by the person who decides about a second refund")


@router.get("/plans", response={200: Plans, **ERRORS}, operation_id="list_plans")
def list_plans(request: HttpRequest) -> Any:
    """What can be chosen here; 404 where nothing is sold."""
    return {"currency": CURRENCY, "items": [_plan(plan) for plan in terms().offered]}


@router.get(PLACE, response={200: SubscriptionFacts, **ERRORS}, operation_id="get_subscription")
def get_subscription(request: HttpRequest, organization_id: str) -> Any:
    """The plan of an organization, and what comes next."""
    return _facts(_organization(actor(request), organization_id, Role.VIEWER))


@router.post(PLACE, response={201: SubscriptionFacts, **ERRORS}, operation_id="order_plan")
def order_plan(request: HttpRequest, organization_id: str, body: PlanOrder) -> Any:
    """Choose a plan. By transfer it begins at once; otherwise an owner pays first, on the page of the plan."""
    who = actor(request)
    organization = _organization(who, organization_id, Role.OWNER)
    services.subscribe(
        actor=who,
        organization=organization,
        plan_code=body.plan,
        interval=body.interval,
        provider=body.provider,
    )
    return Status(201, _facts(_organization(who, organization_id, Role.OWNER)))


@router.patch(PLACE, response={200: SubscriptionFacts, **ERRORS}, operation_id="change_plan")
def change_plan(request: HttpRequest, organization_id: str, body: PlanChoice) -> Any:
    """A higher plan begins at once, with a credit for what was not used; others with the next price period."""
    who = actor(request)
    organization = _organization(who, organization_id, Role.OWNER)
    services.change_plan(actor=who, organization=organization, plan_code=body.plan, interval=body.interval)
    return _facts(_organization(who, organization_id, Role.OWNER))


@router.post(
    f"{PLACE}/take-back", response={200: SubscriptionFacts, **ERRORS}, operation_id="take_back_change"
)
def take_back_change(request: HttpRequest, organization_id: str) -> Any:
    """A deactivation, or a change that has not come yet."""
    who = actor(request)
    services.take_back(actor=who, organization=_organization(who, organization_id, Role.OWNER))
    return _facts(_organization(who, organization_id, Role.OWNER))


@router.post(
    f"{PLACE}/deactivation", response={200: SubscriptionFacts, **ERRORS}, operation_id="deactivate_plan"
)
def deactivate_plan(request: HttpRequest, organization_id: str, body: Deactivation) -> Any:
    """While `is_refundable`, it ends now and everything paid goes back; later at the end of what is paid."""
    who = actor(request)
    organization = _organization(who, organization_id, Role.OWNER)
    services.deactivate(actor=who, organization=organization, words=body.words)
    return _facts(_organization(who, organization_id, Role.OWNER))


@router.put(
    f"{PLACE}/spending-limit", response={200: SubscriptionFacts, **ERRORS}, operation_id="set_spending_limit"
)
def set_spending_limit(request: HttpRequest, organization_id: str, body: SpendingLimit) -> Any:
    """What compute beyond the plan may cost a month."""
    who = actor(request)
    organization = _organization(who, organization_id, Role.OWNER)
    services.set_spending_limit(actor=who, organization=organization, cents=body.cents)
    return _facts(_organization(who, organization_id, Role.OWNER))


def _organization(who: Actor, organization_id: str, needs: Role) -> Organization:
    """In whatever state: what is decided about plans is decided there too."""
    found = access.get_organization(who, organization_id)
    if needs > Role.VIEWER:
        access.require_governor(who, organization_id, needs)
    terms()
    return found


def _plan(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(exclude={"is_offered"})


def _facts(organization: Organization) -> dict[str, Any]:
    held = services.subscription_of(organization)
    facts: dict[str, Any] = {
        "organization_state": standing(organization).state,
        "coming": [{"at": one.at, "words": one.words} for one in what_comes(organization, held)],
    }
    return facts if held is None else facts | _contract(held)


def _contract(held: Subscription) -> dict[str, Any]:
    is_running = held.state == Subscription.State.RUNNING
    month = held.running_month if is_running and held.lapsed_at is None else None
    foreseen = next_invoice(held)
    return {
        "state": held.state,
        "plan": _plan(held.plan),
        "interval": held.interval,
        "month_from": month and month.from_at,
        "month_until": month and month.until_at,
        "next_plan": held.next_plan.code if held.next_plan else None,
        "next_interval": held.next_interval or None,
        "ends_at": held.period.until_at if held.end_wished_at else None,
        "is_refundable": is_running and is_refundable(held, now()),
        "refund_until": refund_until(held),
        "spending_limit_cents": held.spending_limit_cents,
        "next_invoice": {"at": foreseen.at, "net_cents": foreseen.net_cents} if foreseen else None,
    }
