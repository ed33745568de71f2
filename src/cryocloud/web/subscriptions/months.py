"""What a subscription gives: the spans of its months, in which the meters count."""

from __future__ import annotations

from cryocloud.web.metering.allowances import end_allowance, give_allowance
from cryocloud.web.metering.models import Allowance
from cryocloud.web.organizations.states import State
from cryocloud.web.subscriptions.calendar import MONTHS, Span
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.pricing import HOUR_S
from cryocloud.web.terms import Plan


def give_months(held: Subscription) -> None:
    """The running month, and ahead of time the next, so that no job is stopped between two; nothing twice.

    Where a payment is overdue or the subscription ends, there is no next one.
    """
    _give(held, held.running_month, held.plan)
    following = Span(held.running_month.until_at, held.moment_of(held.month + 2))
    if held.organization.state == State.PAST_DUE or (held.end_wished_at and is_last_of_period(held)):
        end_allowance(held.organization_id, following.from_at)
    else:
        _give(held, following, coming_plan(held) if is_last_of_period(held) else held.plan)


def is_last_of_period(held: Subscription) -> bool:
    """Whether a price is due when the running month ends."""
    return held.month + 1 == held.period_month + MONTHS[held.interval]


def coming_plan(held: Subscription) -> Plan:
    """From the next price period on."""
    return held.next_plan or held.plan


def coming_interval(held: Subscription) -> str:
    return held.next_interval or held.interval


def _give(held: Subscription, span: Span, plan: Plan) -> None:
    wanted = Allowance(
        organization_id=held.organization_id,
        from_at=span.from_at,
        until_at=span.until_at,
        plan_code=plan.code,
        plan_name=plan.name,
        compute_s=plan.compute_hours * HOUR_S,
        storage_bytes=plan.storage_bytes,
        files=plan.files,
        slots=plan.slots,
        compute_cents_an_hour=plan.compute_cents_an_hour,
        storage_cents_a_terabyte_month=plan.storage_cents_a_terabyte_month,
        spending_limit_cents=held.spending_limit_cents,
    )
    given = Allowance.unscoped.filter(organization_id=held.organization_id, from_at=span.from_at).first()
    if given is None or _content(given) != _content(wanted):
        give_allowance(wanted)


def _content(one: Allowance) -> list[object]:
    own = ("id", "created_at")
    return [getattr(one, field.attname) for field in one._meta.concrete_fields if field.attname not in own]
