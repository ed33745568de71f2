"""Does the ledger hold exactly what payments, statements and invoices say, each once and in its amount?"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Max, Min, QuerySet, Sum

from cryocloud.web.billing.ledger import FEES, RECEIVABLE, REFUNDS_PAYABLE, balance, cash
from cryocloud.web.billing.models import Invoice, InvoiceSeries, LedgerEntry, Posting
from cryocloud.web.billing.money import spoken
from cryocloud.web.payments.booking import BANK, UNALLOCATED
from cryocloud.web.payments.comparing.finding import Found
from cryocloud.web.payments.models import Charge, Receipt, Refund, StatementLine

Expected = dict[str, tuple[str, int]]
"""By the key of an entry: an account, and what must stand on it."""


def entries_come_to_zero() -> Iterator[Found]:
    sums = Posting.objects.values("entry_id", "entry__key").annotate(sum=Sum("cents")).exclude(sum=0)
    for row in sums:
        yield Found(
            "entry_unbalanced", row["entry_id"], f"Entry {row['entry__key']} comes to {spoken(row['sum'])}."
        )


def invoices_are_booked() -> Iterator[Found]:
    rows = Invoice.unscoped.values_list("pk", "kind", "gross_cents")
    yield from _compare("invoice", {f"{kind}:{pk}": (RECEIVABLE, gross) for pk, kind, gross in rows})


def numbers_have_no_gap() -> Iterator[Found]:
    for series in InvoiceSeries.objects.all():
        counted = Invoice.unscoped.filter(series=series).aggregate(
            count=Count("pk"), first=Min("sequence"), last=Max("sequence")
        )
        if counted["count"] and (counted["first"], counted["last"], counted["count"]) != (
            1,
            series.last,
            series.last,
        ):
            words = f"Series {series.code} {series.year} has {counted['count']} invoices, numbered up to {series.last}."
            yield Found("invoice_number_gap", f"{series.code}:{series.year}", words)


def charges_are_booked() -> Iterator[Found]:
    paid = Charge.unscoped.filter(state=Charge.State.PAID)
    rows = list(paid.values_list("pk", "provider", "amount_cents", "fee_cents"))
    yield from _compare("charge", {f"charge:{pk}": (cash(name), cents) for pk, name, cents, _ in rows})
    yield from _compare("fee", {f"fee:{pk}": (FEES, fee) for pk, _, _, fee in rows if fee})


def returns_are_booked() -> Iterator[Found]:
    for charge in Charge.unscoped.filter(state=Charge.State.PAID):
        booked = _booked(
            Posting.objects.filter(entry__key__startswith=f"return:{charge.pk}:", account=RECEIVABLE)
        )
        if booked != charge.returned_cents:
            words = f"Of {charge.reference}, {spoken(charge.returned_cents)} were taken back; booked: {spoken(booked)}."
            yield Found("return_booked", charge.pk, words)


def lines_are_booked() -> Iterator[Found]:
    lines = StatementLine.objects.filter(amount_cents__gt=0).values_list("pk", "amount_cents")
    yield from _compare("line", {f"line:{pk}": (BANK, cents) for pk, cents in lines})
    receipts = Receipt.unscoped.values_list("pk", "amount_cents")
    yield from _compare("receipt", {f"receipt:{pk}": (RECEIVABLE, -cents) for pk, cents in receipts})


def refunds_are_booked() -> Iterator[Found]:
    rows = list(Refund.objects.values_list("pk", "amount_cents", "state"))
    yield from _compare("refund", {f"refund:{pk}": (REFUNDS_PAYABLE, -cents) for pk, cents, _ in rows})
    done = {
        f"refunded:{pk}": (REFUNDS_PAYABLE, cents)
        for pk, cents, state in rows
        if state == Refund.State.EXECUTED
    }
    yield from _compare("refunded", done)


def nothing_is_left_over() -> Iterator[Found]:
    left = StatementLine.objects.filter(amount_cents__gt=0).aggregate(sum=Sum("left_cents"))["sum"] or 0
    held = -balance(UNALLOCATED)
    if held != left:
        words = f"{spoken(held)} are booked as not allocated, {spoken(left)} are left of the bank's lines."
        yield Found("unallocated", "", words)
    waiting = (
        Refund.objects.exclude(state=Refund.State.EXECUTED).aggregate(sum=Sum("amount_cents"))["sum"] or 0
    )
    owed = -balance(REFUNDS_PAYABLE)
    if owed != waiting:
        words = f"{spoken(owed)} of refunds are booked as owed, {spoken(waiting)} are ordered and not carried out."
        yield Found("refunds_payable", "", words)


def accounts_are_those_of_entries() -> Iterator[Found]:
    """Money moves only by what is compared here: an entry of another kind on an account of cash is a stranger."""
    known = ("charge:", "fee:", "return:", "line:", "aside:", "payout:", "refunded:")
    rows = Posting.objects.filter(account__startswith="cash:").values_list("entry__key", "account", "cents")
    for key, account, cents in rows:
        if not key.startswith(known):
            yield Found(
                "cash_unknown",
                key,
                f"{key} moves {spoken(cents)} on {account}, and no payment stands behind it.",
            )


def _compare(kind: str, expected: Expected) -> Iterator[Found]:
    """Each key booked, in its amount, and no further key of the kind."""
    wanted = {key.partition(":")[0] for key in expected} | {kind}
    booked: dict[str, dict[str, int]] = {}
    for prefix in wanted:
        rows = Posting.objects.filter(entry__key__startswith=f"{prefix}:")
        for key, account, cents in rows.values_list("entry__key", "account", "cents"):
            booked.setdefault(key, {})[account] = cents
    for key, (account, cents) in expected.items():
        if key not in booked:
            yield Found(f"{kind}_not_booked", key, f"{key} over {spoken(cents)} is not in the ledger.")
        elif booked[key].get(account, 0) != cents:
            words = f"{key} is booked with {spoken(booked[key].get(account, 0))} on {account}, it was {spoken(cents)}."
            yield Found(f"{kind}_booked_wrong", key, words)
    for key in sorted(set(booked) - set(expected)):
        yield Found(f"{kind}_unknown", key, f"{key} is in the ledger, and nothing stands behind it.")


def _keys(prefix: str) -> QuerySet[LedgerEntry, str]:
    return LedgerEntry.objects.filter(key__startswith=prefix).values_list("key", flat=True)


def _booked(rows: QuerySet[Posting]) -> int:
    return rows.aggregate(sum=Sum("cents"))["sum"] or 0


CHECKS = (
    entries_come_to_zero,
    invoices_are_booked,
    numbers_have_no_gap,
    charges_are_booked,
    returns_are_booked,
    lines_are_booked,
    refunds_are_booked,
    nothing_is_left_over,
    accounts_are_those_of_entries,
)
