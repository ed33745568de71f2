"""Withdrawal from a contract by a consumer who is not logged in (Directive 2011/83/EU, article 11a).

What is declared is kept as it arrives, and everybody gets the same answer. Whether it belongs to a contract is found
out later, by the worker; only the address that the contract names is written to. The receipt holds a link that carries
the withdrawal out; a person sees to whatever is not carried out so.
"""

from __future__ import annotations

import re
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django_tasks import task

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.customers import mail_address_of
from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, NotFound
from cryocloud.web.core.plain_text import checked_reason
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.core.secret_words import hash_of
from cryocloud.web.core.tasks import MAILING
from cryocloud.web.organizations.states import MAILED_LINK
from cryocloud.web.payments.references import packed
from cryocloud.web.subscriptions.advance import advance
from cryocloud.web.subscriptions.ending import is_refundable, may_withdraw, require_staff, withdraw
from cryocloud.web.subscriptions.models import Subscription, Withdrawal
from cryocloud.web.subscriptions.orders import terms
from cryocloud.web.subscriptions.receipts import send_receipt

DECLARED_AN_HOUR = 600
SAME_WITHIN = timedelta(hours=1)
LINK_LIFE = timedelta(days=30)
_QUOTE = re.compile(r"Q-(\d{1,9})")


@transaction.atomic
def declare_withdrawal(*, name: str, email: str, number: str) -> Withdrawal:
    """Keep it with the moment at which it arrived; sent twice, it is one."""
    terms()
    said = {"name": name, "email": email, "number": number}
    recent = Withdrawal.objects.filter(**said, settled_at=None, created_at__gt=now() - SAME_WITHIN)
    known = recent.order_by("created_at").first()
    if known is not None:
        return known
    spend("withdrawal of anybody", "", amount=DECLARED_AN_HOUR, window_s=3600)
    declared = Withdrawal.objects.create(**said)
    record_event("withdrawal.declared", organization_id="", target=declared, via="form")
    answer_withdrawal.enqueue(declared.pk)
    return declared


@task(priority=MAILING)
def answer_withdrawal(withdrawal_id: str) -> None:
    """Find the contract, and send the receipt to the address that it names."""
    declared = Withdrawal.objects.filter(pk=withdrawal_id, answered_at=None, settled_at=None).first()
    found = _contract_of(declared) if declared else None
    if declared is None or found is None:
        return
    declared.subscription, address = found
    declared.save(update_fields=["subscription"])
    send_receipt(
        declared,
        address,
        has_link=is_confirmable(declared),
        link_until=declared.created_at + LINK_LIFE,
    )


def _contract_of(declared: Withdrawal) -> tuple[Subscription, str] | None:
    """By the number of an invoice or of a quote, if the contract names the address; and how it writes it."""
    number = packed(declared.number)
    invoice = Invoice.unscoped.filter(number=number).exclude(subscription_id="").first()
    quote = _QUOTE.fullmatch(number)
    rows = Subscription.unscoped.select_related("organization").order_by("-created_at")
    if invoice is not None:
        held = rows.filter(pk=invoice.subscription_id).first()
    else:
        held = rows.filter(quote__sequence=int(quote[1])).first() if quote else None
    if held is None:
        return None
    named = (mail_address_of(held.organization), invoice.customer["email"] if invoice else "")
    fitting = [address for address in named if address.casefold() == declared.email.casefold()]
    return (held, fitting[0]) if fitting else None


def is_confirmable(declared: Withdrawal) -> bool:
    """Whether the rules alone grant it, by the moment at which it arrived; else a person decides."""
    held = declared.subscription
    return (
        held is not None
        and may_withdraw(held, declared.created_at)
        and is_refundable(held, declared.created_at)
        and held.state in (Subscription.State.ORDERED, Subscription.State.RUNNING)
    )


def withdrawal_of(secret: str) -> Withdrawal:
    """The one that a mailed link stands for; used, settled, expired and unknown ones are all "not found"."""
    terms()
    open_ones = Withdrawal.objects.filter(settled_at=None, created_at__gt=now() - LINK_LIFE)
    found = open_ones.select_related("subscription__organization").filter(secret_hash=hash_of(secret)).first()
    if found is None or not is_confirmable(found):
        raise NotFound
    return found


@transaction.atomic
def confirm_withdrawal(secret: str) -> Withdrawal:
    """By whoever holds the link: the contract ends now, and everything that was paid comes back."""
    found = withdrawal_of(secret)
    assert found.subscription_id is not None
    held = advance(found.subscription_id)
    declared = _hold(found.pk)
    declared.subscription = held
    if declared.settled_at is not None or not is_confirmable(declared):
        raise NotFound
    withdraw(held, declared.created_at, actor_id=MAILED_LINK)
    declared.is_carried_out = True
    _settle(declared, via=MAILED_LINK)
    return declared


@transaction.atomic
def settle_withdrawal(*, actor: Actor, withdrawal: Withdrawal, carry_out: bool, reason: str) -> Withdrawal:
    """By staff: carried out where the law grants it, or settled in another way, such as by a mail to the person."""
    require_staff(actor, "Deciding about a withdrawal")
    held = advance(withdrawal.subscription_id) if withdrawal.subscription_id else None
    declared = _hold(withdrawal.pk)
    if declared.settled_at is not None:
        raise Conflict("This withdrawal has been settled already.")
    declared.reason = checked_reason(reason)
    if carry_out:
        if held is None or not may_withdraw(held, declared.created_at):
            raise Conflict(
                "It belongs to no contract that a consumer may still have withdrawn from at that moment."
            )
        withdraw(held, declared.created_at, actor_id=actor.user.pk)
        declared.is_carried_out = True
    declared.subscription, declared.settled_by_id = held, actor.user.pk
    _settle(declared, via=actor.via, reason=declared.reason)
    return declared


def withdrawals_open() -> QuerySet[Withdrawal]:
    """Oldest first: whoever has waited longest is next."""
    found = Withdrawal.objects.filter(settled_at=None).select_related("subscription__organization")
    return found.order_by("created_at")


def _hold(withdrawal_id: str) -> Withdrawal:
    return Withdrawal.objects.select_for_update(no_key=True).get(pk=withdrawal_id)


def _settle(declared: Withdrawal, *, via: str, **detail: str) -> None:
    declared.settled_at = now()
    declared.save()
    held = declared.subscription
    record_event(
        "withdrawal.carried_out" if declared.is_carried_out else "withdrawal.settled",
        organization_id=held.organization_id if held else "",
        target=declared,
        actor_id=declared.settled_by_id,
        via=via,
        **detail,
    )
