"""Another card or account to be charged, also while no invoice is open: left on a page on which nothing is paid.

Brought on like a charge: whatever is cut off or has no answer is asked about again by the clock.
"""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Busy, Conflict, Refused
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.payments.charging import CHECKOUT_LASTS, next_look_at, payer_of
from cryocloud.web.payments.models import Charge, Method, MethodChange, Payment, ProviderName
from cryocloud.web.payments.outcomes import tell_method
from cryocloud.web.payments.providers import offered, online
from cryocloud.web.payments.providers.base import Outcome, ProviderDown, Told
from cryocloud.web.payments.settling import adopt_method

PAGE = "/organization/plan/payment/"
CHANGES_A_DAY = 20


def begin_method_change(*, actor: Actor, organization: Organization, provider: str) -> MethodChange:
    """A page of the provider, in place of one that is open; its address is that of the change."""
    access.require_role(actor, organization.pk, Role.OWNER)
    if provider == ProviderName.MANUAL or provider not in offered():
        raise Refused(
            "That way to pay is not offered here.", {"provider": f"“{provider[:20]}” is not offered."}
        )
    spend("method change", organization.pk, amount=CHANGES_A_DAY, window_s=24 * 3600)
    try:
        for former in MethodChange.unscoped.filter(
            organization=organization, state__in=MethodChange.UNDER_WAY
        ):
            stop(former.pk)
        begun = follow(_new_change(actor, organization, provider).pk, back_to=PAGE)
    except ProviderDown:
        raise Busy(
            f"{ProviderName(provider).label} does not answer just now. Nothing was changed; try again in a few minutes."
        ) from None
    if begun.state == MethodChange.State.FAILED:
        raise Conflict(f"{begun.get_provider_display()} does not let a method be left: {begun.failure}")
    if not begun.address or begun.state not in MethodChange.UNDER_WAY:
        raise Conflict("This change has just ended. Load the page again to see how invoices are paid.")
    return begun


@transaction.atomic
def _new_change(actor: Actor, organization: Organization, provider: str) -> MethodChange:
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if MethodChange.unscoped.filter(organization=organization, state__in=MethodChange.UNDER_WAY).exists():
        raise Conflict("Another change of the way to pay has begun at this moment. Go on with that one.")
    made = MethodChange.unscoped.create(
        organization=organization, provider=provider, begun_by_id=actor.user.pk
    )
    record_event(
        "method.change_begun",
        organization_id=organization.pk,
        target=made,
        actor_id=actor.user.pk,
        via=actor.via,
        provider=provider,
    )
    return made


def bring_on(change_id: str) -> MethodChange:
    """What the clock does about one under way; a page that nobody has used is closed in the end."""
    change = MethodChange.unscoped.get(pk=change_id)
    return stop(change_id) if change.created_at + CHECKOUT_LASTS <= now() else follow(change_id)


def follow(change_id: str, *, back_to: str = "") -> MethodChange:
    """Ask what is known of it, and order the page if it never arrived and somebody waits for it."""
    change = MethodChange.unscoped.select_related("organization").get(pk=change_id)
    provider = online(change.provider)
    try:
        payer = payer_of(change.organization, provider)
        told = provider.look_up_method(change, payer)
        if told is None and back_to and change.state == MethodChange.State.ORDERED:
            told = provider.open_method_page(change, payer, back_to=back_to)
    except ProviderDown:
        _ask_later(change)
        raise
    if told is not None:
        change = settle(change_id, told)
    if change.state in MethodChange.UNDER_WAY:
        _ask_later(change)
    return change


def stop(change_id: str) -> MethodChange:
    """Close the page; it may turn out that it was used."""
    change = follow(change_id)
    if change.state in MethodChange.UNDER_WAY and change.reference:
        online(change.provider).cancel(change)
        change = follow(change_id)
    if change.state == MethodChange.State.ORDERED:
        # The provider has been asked and knows nothing of it.
        MethodChange.unscoped.filter(pk=change_id, state=MethodChange.State.ORDERED).update(
            state=MethodChange.State.CANCELLED, settled_at=now()
        )
        change.refresh_from_db()
    return change


@transaction.atomic
def settle(change_id: str, told: Told) -> MethodChange:
    """Told twice or late, it comes out the same."""
    organization_id = MethodChange.unscoped.values_list("organization_id", flat=True).get(pk=change_id)
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    change = MethodChange.unscoped.select_for_update(no_key=True).get(pk=change_id)
    if change.state not in MethodChange.UNDER_WAY:
        return change
    change.reference, change.address = told.reference, told.address or change.address
    match told.outcome:
        case Outcome.PENDING:
            change.state = MethodChange.State.PENDING
        case Outcome.PAID if told.method is not None:
            change.method = adopt_method(organization_id, change.provider, told.method)
            change.state, change.settled_at = MethodChange.State.DONE, now()
            _take_over(change, change.method)
        case Outcome.CANCELLED:
            change.state, change.settled_at = MethodChange.State.CANCELLED, now()
        case _:
            change.state, change.settled_at = MethodChange.State.FAILED, now()
            change.failure = (told.failure or "The provider took nothing to charge later.")[:200]
    change.save()
    return change


def _take_over(change: MethodChange, method: Method) -> None:
    """What waits for its next try is tried with the new one; what a provider has in hand stays as it is."""
    waiting = Payment.unscoped.filter(
        organization_id=change.organization_id, state__in=Payment.LIVE, method__isnull=False
    )
    in_hand = Charge.unscoped.filter(payment__in=waiting, state__in=Charge.UNDER_WAY).values("payment")
    waiting.exclude(pk__in=in_hand).update(method=method, provider=method.provider)
    tell_method(method)
    record_event(
        "method.changed",
        organization_id=change.organization_id,
        target=change,
        actor_id=change.begun_by_id,
        via="provider",
        words=method.words,
    )
    write_to_owners(
        change.organization,
        key=f"method:{change.pk}",
        title="Invoices are paid another way",
        message=f"From now on invoices are taken from {method.words}. An owner has left it with "
        f"{change.get_provider_display()}; nothing was charged for that.",
        path=PAGE,
    )


def _ask_later(change: MethodChange) -> None:
    MethodChange.unscoped.filter(pk=change.pk).update(ask_at=next_look_at(change.created_at))
