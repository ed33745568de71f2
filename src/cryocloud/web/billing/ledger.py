"""The double-entry ledger: entries are only added, each sums to zero, and none is booked twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from django.db import transaction
from django.db.models import Sum

from cryocloud.web.billing.models import Invoice, LedgerEntry, Posting
from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.days import day_of

RECEIVABLE = "receivable"
REFUNDS_PAYABLE = "refunds_payable"
REVENUE = "revenue"
FEES = "fees"


def cash(provider: str) -> str:
    return f"cash:{provider}"


@transaction.atomic
def book(
    key: str,
    postings: Mapping[str, int],
    *,
    text: str,
    organization_id: str = "",
    invoice: Invoice | None = None,
    at: datetime | None = None,
) -> LedgerEntry:
    """Write an entry; amounts of zero are left out. Booked already: the same entry, or a ``ValueError`` if it differs.

    ``at`` is when it happened; it is booked on the present day, whose period is never closed.
    """
    amounts = {account: cents for account, cents in postings.items() if cents}
    if not amounts or sum(amounts.values()) != 0:
        raise ValueError(f"{key}: {dict(postings)} does not come to zero")
    known = LedgerEntry.objects.filter(key=key).first()
    if known is not None:
        if {one.account: one.cents for one in known.postings.all()} != amounts:
            raise ValueError(f"{key} is booked already, with other amounts than {amounts}")
        return known
    moment = now()
    entry = LedgerEntry(
        key=key,
        text=text,
        organization_id=organization_id,
        invoice=invoice,
        at=at or moment,
        booked_at=moment,
        booked_on=day_of(moment),
    )
    Posting.objects.bulk_create(
        Posting(entry_id=entry.pk, account=account, cents=cents) for account, cents in amounts.items()
    )
    crash_point("ledger:postings-written")
    entry.save(force_insert=True)
    return entry


def balance(account: str, *, until: date | None = None, organization_id: str = "") -> int:
    """What stands on an account, and on those below it (``vat`` holds ``vat:NL:21``)."""
    rows = Posting.objects.filter(account=account) | Posting.objects.filter(account__startswith=f"{account}:")
    if until is not None:
        rows = rows.filter(entry__booked_on__lte=until)
    if organization_id:
        rows = rows.filter(entry__organization_id=organization_id)
    return rows.aggregate(sum=Sum("cents"))["sum"] or 0
