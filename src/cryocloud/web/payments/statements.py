"""Statements of the bank account: taken once, matched with payments and refunds, the rest is for people."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.plain_text import checked_reason
from cryocloud.web.organizations.models import Organization
from cryocloud.web.payments.booking import book_line, book_payout, book_receipt, book_set_aside
from cryocloud.web.payments.camt import NO_REFERENCE, Entry, read_statements
from cryocloud.web.payments.holding import hold_payment
from cryocloud.web.payments.models import (
    Payment,
    ProviderName,
    Receipt,
    Refund,
    Statement,
    StatementLine,
    TransferFile,
)
from cryocloud.web.payments.references import packed, references_in
from cryocloud.web.payments.refunds import executed, order_refund
from cryocloud.web.payments.settling import complete
from cryocloud.web.payments.staff import require_staff
from cryocloud.web.terms import billing

State = StatementLine.State
INVOICE_NUMBER = re.compile(r"\b([A-Z]{1,6})[ ./-]?(20[0-9]{2})[ ./-]?([0-9]{6})\b")


@dataclass(frozen=True)
class Taken:
    """What became of the entries of a file."""

    new: int
    known: int
    matched: int
    waiting: int


@transaction.atomic
def take_statement(*, actor: Actor, name: str, content: bytes) -> Taken:
    """Read a CAMT.053 file; entries that an earlier one had are passed over, so that no file does harm twice."""
    require_staff(actor)
    terms = billing()
    if terms is None:
        raise Conflict("Nothing is sold here, so no statement is needed.")
    entries = read_statements(content, terms.seller.iban)
    statement, is_new = Statement.objects.get_or_create(
        sha256=hashlib.sha256(content).hexdigest(),
        defaults={"name": name[:200], "content": content, "uploaded_by_id": actor.user.pk},
    )
    known = set(
        StatementLine.objects.filter(key__in=[one.key for one in entries]).values_list("key", flat=True)
    )
    _hold_payers(entries)
    states = [_take(entry, statement) for entry in entries if entry.key not in known]
    if is_new:
        record_event(
            "statement.taken",
            organization_id="",
            target=statement,
            actor_id=actor.user.pk,
            via=actor.via,
            new=len(states),
        )
    crash_point("statement:before-commit")
    return Taken(len(states), len(known), states.count(State.MATCHED), states.count(State.WAITING))


def _hold_payers(entries: list[Entry]) -> None:
    """All before the first is booked, in one order: two files, or a file and the clock, wait for each other never."""
    named = _named_in(*entries)
    payers = named.values_list("organization_id", flat=True)
    list(Organization.objects.select_for_update(no_key=True).filter(pk__in=set(payers)).order_by("pk"))


def _named_in(*entries: Entry) -> QuerySet[Payment]:
    """Payments whose reference or invoice number stands in what the payers wrote."""
    said = [f"{one.reference} | {one.end_to_end} | {one.text}" for one in entries]
    references = [found for text in said for found in references_in(text)]
    numbers = ["-".join(found) for text in said for found in INVOICE_NUMBER.findall(text.upper())]
    return Payment.unscoped.filter(Q(reference__in=references) | Q(invoice__number__in=numbers))


def _take(entry: Entry, statement: Statement) -> str:
    line = StatementLine(
        key=entry.key,
        statement=statement,
        booked_on=entry.booked_on,
        amount_cents=entry.amount_cents,
        left_cents=max(0, entry.amount_cents),
        name=entry.name,
        iban=entry.iban,
        bic=entry.bic,
        reference=entry.reference or ("" if entry.end_to_end in NO_REFERENCE else entry.end_to_end),
        text=entry.text,
        state=State.WAITING,
    )
    line.save(force_insert=True)
    crash_point("statement:line")
    if entry.amount_cents > 0:
        book_line(line)
        payment = _payment_of(entry)
        if payment is not None and payment.missing_cents == entry.amount_cents:
            pay_with(line, payment, entry.amount_cents, matched_by_id="")
    elif not _settle_refunds(entry):
        # Wages, taxes, fees of the bank: the account is the seller's, and what leaves it otherwise is not ours.
        line.state, line.reason = State.SET_ASIDE, "No refund of ours."
        line.save(update_fields=["state", "reason"])
        return line.state
    else:
        line.state = State.MATCHED
        line.save(update_fields=["state"])
    return line.state


def _payment_of(entry: Entry) -> Payment | None:
    """The one live payment that the payer has named, by its reference or by the number of its invoice."""
    found = list(_named_in(entry).filter(state__in=Payment.LIVE))
    held = hold_payment(found[0].pk) if len(found) == 1 else None
    return held if held is not None and held.is_live else None


def pay_with(line: StatementLine, payment: Payment, cents: int, *, matched_by_id: str) -> None:
    """Under the locks of both: a part of what came in is for that payment."""
    receipt = Receipt.unscoped.create(
        organization_id=payment.organization_id,
        payment=payment,
        line=line,
        amount_cents=cents,
        matched_by_id=matched_by_id,
    )
    book_receipt(receipt)
    _use(line, cents)
    complete(payment, cents)


def _settle_refunds(entry: Entry) -> bool:
    """Whether the money that left is a refund, or a whole file of them that the bank booked as one."""
    refund = (
        Refund.objects.select_for_update(no_key=True)
        .filter(pk=entry.end_to_end, provider=ProviderName.MANUAL)
        .first()
    )
    if refund is not None and refund.amount_cents == -entry.amount_cents and refund.state in Refund.UNDER_WAY:
        executed(refund)
        return True
    file = TransferFile.objects.filter(pk=entry.batch).first() if entry.batch else None
    if refund is None and file is not None and file.amount_cents == -entry.amount_cents:
        refunds = list(file.refunds.select_for_update(no_key=True).filter(state__in=Refund.UNDER_WAY))
        if sum(one.amount_cents for one in refunds) == file.amount_cents:
            for one in refunds:
                executed(one)
            return True
    return False


@transaction.atomic
def match_line(*, actor: Actor, line: StatementLine, named: str) -> Payment:
    """A person says for which payment the money came: as much of it as is missing there."""
    require_staff(actor)
    held = _held(line)
    payment = _named_payment(named)
    cents = min(held.left_cents, payment.missing_cents)
    pay_with(held, payment, cents, matched_by_id=actor.user.pk)
    _record(actor, "statement_line.matched", held, payment=payment.pk, amount_cents=cents)
    return payment


@transaction.atomic
def send_back_line(*, actor: Actor, line: StatementLine, reason: str) -> Refund:
    """What is left of it goes back to the account from which it came."""
    require_staff(actor)
    held, said, cents = _held(line), checked_reason(reason), line.left_cents
    refund = order_refund(
        f"line:{held.pk}:{held.left_cents}",
        payment=None,
        line=held,
        amount_cents=held.left_cents,
        is_surplus=True,
        actor_id=actor.user.pk,
    )
    _use(held, held.left_cents, said)
    _record(actor, "statement_line.sent_back", held, reason=said, amount_cents=cents)
    return refund


@transaction.atomic
def set_aside_line(*, actor: Actor, line: StatementLine, payout_of: str, reason: str) -> None:
    """What is left is no payment of a customer: a payout of a provider, or something of the seller's own."""
    require_staff(actor)
    held, said = _held(line), checked_reason(reason)
    if payout_of and payout_of not in (ProviderName.STRIPE, ProviderName.MOLLIE):
        raise Refused("That is no provider.", {"payout_of": f"“{payout_of}” pays nothing out."})
    if payout_of:
        book_payout(held, held.left_cents, payout_of)
    else:
        book_set_aside(held, held.left_cents)
    held.state, held.left_cents, held.reason = State.SET_ASIDE, 0, said
    held.save()
    _record(actor, "statement_line.set_aside", held, reason=said, payout_of=payout_of)


def _held(line: StatementLine) -> StatementLine:
    held = StatementLine.objects.select_for_update(no_key=True).get(pk=line.pk)
    if held.state != State.WAITING or held.left_cents <= 0:
        raise Conflict("This line has been dealt with meanwhile. Load the list again.")
    return held


def _named_payment(named: str) -> Payment:
    """By the reference of the payment, or the number of the invoice, in any spelling."""
    wanted = packed(named)
    invoice = Invoice.unscoped.filter(number=named.strip().upper()).first()
    payments = Payment.unscoped.filter(state__in=Payment.LIVE)
    found = payments.filter(invoice=invoice).first() if invoice else payments.filter(reference=wanted).first()
    if found is None:
        raise Refused(
            "No payment was found.",
            {
                "named": f"“{named[:60]}” names no payment that is still awaited. Give its reference or its invoice."
            },
        )
    held = hold_payment(found.pk)
    if not held.is_live:
        raise Conflict("This payment has been settled meanwhile. Load the list again.")
    return held


def _use(line: StatementLine, cents: int, reason: str = "") -> None:
    line.left_cents -= cents
    line.state = State.WAITING if line.left_cents else State.MATCHED
    line.reason = reason or line.reason
    line.save()


def _record(actor: Actor, verb: str, line: StatementLine, **detail: str | int) -> None:
    record_event(verb, organization_id="", target=line, actor_id=actor.user.pk, via=actor.via, **detail)
