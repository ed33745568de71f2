"""Subscriptions, wishes for refunds and quotes of all organizations, as operators see them."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from cryocloud.web.organizations.models import Organization
from cryocloud.web.subscriptions.models import Quote, RefundReview, Subscription, Withdrawal

KINDS = (
    ("", "all"),
    ("overdue", "overdue"),
    ("ending", "deactivated"),
    ("running", "running"),
    ("ordered", "waiting for a payment"),
    ("ended", "ended"),
)


def subscriptions_found(text: str = "", kind: str = "") -> QuerySet[Subscription]:
    """Newest first."""
    found = Subscription.unscoped.select_related("organization").order_by("-created_at")
    if text:
        found = found.filter(Q(organization__name__icontains=text) | Q(organization_id=text))
    states = Subscription.State
    match kind:
        case "overdue":
            return found.filter(state=states.RUNNING, organization__state=Organization.State.PAST_DUE)
        case "ending":
            return found.filter(state=states.RUNNING, end_wished_at__isnull=False)
        case "running" | "ordered" | "ended":
            return found.filter(state=kind)
    return found


def subscription_found(subscription_id: str) -> Subscription | None:
    return Subscription.unscoped.select_related("organization").filter(pk=subscription_id).first()


def reviews_waiting() -> QuerySet[RefundReview]:
    """Oldest first: whoever has waited longest is next."""
    waiting = RefundReview.unscoped.filter(decided_at=None).select_related("organization", "subscription")
    return waiting.order_by("created_at")


def review_of(subscription: Subscription) -> RefundReview | None:
    return RefundReview.unscoped.filter(subscription=subscription).select_related("subscription").first()


def withdrawal_found(withdrawal_id: str) -> Withdrawal | None:
    found = Withdrawal.objects.select_related("subscription__organization")
    return found.filter(pk=withdrawal_id).first()


def quotes_found(organization: Organization | None = None) -> QuerySet[Quote]:
    """Newest first."""
    found = Quote.unscoped.select_related("organization").order_by("-created_at")
    return found.filter(organization=organization) if organization else found


def quote_found(quote_id: str) -> Quote | None:
    return Quote.unscoped.select_related("organization").filter(pk=quote_id).first()
