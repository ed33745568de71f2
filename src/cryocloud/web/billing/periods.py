"""A quarter of the books: the figures of its tax returns, from the invoices, held against the ledger to the cent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from django.db.models import Sum

from cryocloud.web.billing.invoicing import revenue_account, vat_account
from cryocloud.web.billing.ledger import RECEIVABLE
from cryocloud.web.billing.models import ClosedPeriod, Invoice, InvoiceSeries, LedgerEntry, Posting
from cryocloud.web.billing.money import decimal
from cryocloud.web.billing.vat import Treatment, Vat
from cryocloud.web.core.days import days_of_quarter, quarter_of, today
from cryocloud.web.core.tables import write_table

JOURNAL_HEAD = ("day", "entry", "text", "invoice", "account", "debit_eur", "credit_eur")


@dataclass(frozen=True)
class Quarter:
    year: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.year} Q{self.number}"

    @property
    def days(self) -> tuple[date, date]:
        return days_of_quarter(self.year, self.number)


@dataclass(frozen=True)
class Box:
    """A line of the Dutch VAT return; ``net_cents`` is turnover, ``vat_cents`` None where the box has no VAT."""

    name: str
    text: str
    net_cents: int
    vat_cents: int | None = None


@dataclass(frozen=True)
class Supply:
    """A line of the list of supplies to businesses in the EU (ICP); ``corrects`` is an earlier quarter or empty."""

    vat_id: str
    corrects: str
    net_cents: int


@dataclass(frozen=True)
class Sale:
    """A line of the one-stop-shop return: sales to consumers of one country at one rate."""

    country: str
    rate_bp: int
    corrects: str
    net_cents: int
    vat_cents: int


@dataclass(frozen=True)
class Check:
    """A figure, what the ledger says of it, and whether they agree."""

    text: str
    figure_cents: int
    ledger_cents: int

    @property
    def agrees(self) -> bool:
        return self.figure_cents == self.ledger_cents


@dataclass(frozen=True)
class Figures:
    """Everything that is handed in for a quarter; ``faults`` are sentences on what does not fit together."""

    boxes: list[Box]
    supplies: list[Supply]
    sales: list[Sale]
    checks: list[Check]
    faults: list[str]

    @property
    def agree(self) -> bool:
        return not self.faults and all(check.agrees for check in self.checks)

    def kept(self) -> dict[str, Any]:
        return asdict(self)


def figures_of(quarter: Quarter) -> Figures:
    first, last = quarter.days
    found = Invoice.unscoped.filter(issued_on__range=(first, last)).select_related("corrects")
    invoices = list(found.defer("pdf", "ubl").order_by("series__code", "sequence"))
    booked = _booked(first, last)
    return Figures(
        boxes=_boxes(invoices),
        supplies=_supplies(invoices),
        sales=_sales(invoices),
        checks=_checks(invoices, booked),
        faults=[*_unbooked(invoices), *_gaps(), *_crooked_entries(first, last)],
    )


def quarters() -> list[tuple[Quarter, bool]]:
    """From that of the first invoice to the present one, the newest first, and whether each is closed."""
    oldest = Invoice.unscoped.order_by("issued_on").values_list("issued_on", flat=True).first()
    closed = set(ClosedPeriod.objects.values_list("first_on", flat=True))
    begin, end = quarter_of(oldest or today()), quarter_of(today())
    years = range(int(begin[:4]), int(end[:4]) + 1)
    shown = [Quarter(year, number) for year in years for number in range(1, 5)]
    return [(one, one.days[0] in closed) for one in reversed(shown) if begin <= one.name <= end]


def journal(quarter: Quarter) -> str:
    """All postings of a quarter as a table, in the order in which they were booked."""
    first, last = quarter.days
    found = Posting.objects.filter(entry__booked_on__range=(first, last)).select_related("entry__invoice")
    light = found.defer("entry__invoice__pdf", "entry__invoice__ubl")
    rows = light.order_by("entry__booked_at", "entry_id", "account").iterator(chunk_size=2000)
    return write_table(JOURNAL_HEAD, (_journal_row(one, one.entry) for one in rows))


def _journal_row(posting: Posting, entry: LedgerEntry) -> tuple[str, ...]:
    return (
        entry.booked_on.isoformat(),
        entry.key,
        entry.text,
        entry.invoice.number if entry.invoice else "",
        posting.account,
        decimal(posting.cents) if posting.cents > 0 else "",
        decimal(-posting.cents) if posting.cents < 0 else "",
    )


def balances() -> list[tuple[str, int]]:
    """What stands on each account, by name."""
    sums = Posting.objects.values("account").annotate(sum=Sum("cents")).order_by("account")
    return [(row["account"], row["sum"]) for row in sums]


def open_items() -> list[tuple[Invoice, int]]:
    """Invoices on which something is still to be paid, or to be paid back, the oldest first."""
    rows = Posting.objects.filter(account=RECEIVABLE, entry__invoice__isnull=False)
    sums = rows.values("entry__invoice").annotate(sum=Sum("cents")).exclude(sum=0)
    open_by_id = {row["entry__invoice"]: row["sum"] for row in sums}
    found = Invoice.unscoped.filter(pk__in=open_by_id).defer("pdf", "ubl").select_related("organization")
    return [(invoice, open_by_id[invoice.pk]) for invoice in found.order_by("due_at", "number")]


def differences() -> list[str]:
    """What the invoices say and the ledger does not, over all time: one side of the daily reconciliation."""
    return [*_unbooked(list(Invoice.unscoped.defer("pdf", "ubl"))), *_gaps()]


def _of(invoices: list[Invoice], treatment: Treatment) -> list[Invoice]:
    return [invoice for invoice in invoices if invoice.treatment == treatment]


def _boxes(invoices: list[Invoice]) -> list[Box]:
    domestic = _of(invoices, Treatment.DOMESTIC)
    vat_cents = sum(invoice.vat_cents for invoice in domestic)
    return [
        Box("1a", "Supplies at the high rate", sum(one.net_cents for one in domestic), vat_cents),
        Box(
            "3b",
            "Supplies to and in EU countries",
            sum(invoice.net_cents for invoice in _of(invoices, Treatment.REVERSE_CHARGE)),
        ),
        Box("5a", "VAT owed (1a)", 0, vat_cents),
    ]


def _supplies(invoices: list[Invoice]) -> list[Supply]:
    sums: Counter[tuple[str, str]] = Counter()
    for invoice in _of(invoices, Treatment.REVERSE_CHARGE):
        sums[invoice.customer["vat_id"], _corrected_quarter(invoice)] += invoice.net_cents
    return [Supply(*who, net_cents) for who, net_cents in sorted(sums.items())]


def _sales(invoices: list[Invoice]) -> list[Sale]:
    sums: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0, 0])
    for invoice in _of(invoices, Treatment.DESTINATION):
        for share in invoice.vat:
            both = sums[share["country"], share["rate_bp"], _corrected_quarter(invoice)]
            both[0] += share["net_cents"]
            both[1] += share["vat_cents"]
    return [Sale(*what, net_cents, vat_cents) for what, (net_cents, vat_cents) in sorted(sums.items())]


def _corrected_quarter(invoice: Invoice) -> str:
    """Returns name the quarter that a credit note corrects, where it is an earlier one."""
    if invoice.corrects is None:
        return ""
    corrected = quarter_of(invoice.corrects.issued_on)
    return "" if corrected == quarter_of(invoice.issued_on) else corrected


def _booked(first: date, last: date) -> Counter[str]:
    rows = Posting.objects.filter(entry__booked_on__range=(first, last))
    sums = rows.values("account").annotate(sum=Sum("cents"))
    return Counter({row["account"]: row["sum"] for row in sums})


def _checks(invoices: list[Invoice], booked: Counter[str]) -> list[Check]:
    """Turnover and VAT by account, over every account that either side knows."""
    told: Counter[str] = Counter()
    for invoice in invoices:
        for share in invoice.vat:
            vat = Vat(Treatment(share["treatment"]), share["country"], share["rate_bp"])
            told[revenue_account(vat)] += share["net_cents"]
            if vat.rate_bp:
                told[vat_account(vat)] += share["vat_cents"]
    accounts = {*told, *(account for account in booked if account.startswith(("revenue:", "vat:")))}
    return [Check(account, told[account], -booked[account]) for account in sorted(accounts)]


def _unbooked(invoices: list[Invoice]) -> list[str]:
    """Each invoice has its own entry, over its own amount."""
    keys = {f"{invoice.kind}:{invoice.pk}": invoice for invoice in invoices}
    postings = Posting.objects.filter(entry__key__in=keys, account=RECEIVABLE)
    booked = dict(postings.values_list("entry__key", "cents"))
    return [
        f"{invoice.number} is over {decimal(invoice.gross_cents)} EUR; the ledger has {_or_nothing(booked.get(key))}."
        for key, invoice in keys.items()
        if booked.get(key) != invoice.gross_cents
    ]


def _or_nothing(cents: int | None) -> str:
    return "no entry for it" if cents is None else f"{decimal(cents)} EUR"


def _gaps() -> Iterator[str]:
    for series in InvoiceSeries.objects.order_by("code", "year"):
        count = Invoice.unscoped.filter(series=series).count()
        if count != series.last:
            yield f"The series {series.code}-{series.year} has given {series.last} numbers and holds {count} invoices."


def _crooked_entries(first: date, last: date) -> Iterator[str]:
    entries = LedgerEntry.objects.filter(booked_on__range=(first, last)).annotate(sum=Sum("postings__cents"))
    for entry in entries.exclude(sum=0):
        yield f"The entry {entry.key} does not come to zero."
