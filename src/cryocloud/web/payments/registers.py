"""What staff see of money: payments, refunds, lines of statements and files for the bank, of all organizations."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Q, QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.core.errors import NotFound
from cryocloud.web.payments.models import (
    Difference,
    Payment,
    ProviderName,
    Refund,
    Statement,
    StatementLine,
    TransferFile,
)
from cryocloud.web.payments.staff import require_staff
from cryocloud.web.payments.transfers import refunds_by_transfer

LINES_SHOWN = 200
Row = TypeVar("Row")


def payments_found(actor: Actor, text: str, state: str) -> QuerySet[Payment]:
    """By invoice, reference or organization."""
    require_staff(actor)
    rows = Payment.unscoped.select_related("invoice", "organization").order_by("-created_at", "pk")
    if state in Payment.State.values:
        rows = rows.filter(state=state)
    if text:
        named = Q(invoice__number__icontains=text) | Q(organization__name__icontains=text)
        rows = rows.filter(named | Q(reference=text.replace(" ", "").upper()))
    return rows


def refunds_in_trouble(actor: Actor) -> QuerySet[Refund]:
    """Those that go nowhere without a person: failed, or by transfer to nobody knows whom."""
    require_staff(actor)
    lacks_account = Q(provider=ProviderName.MANUAL, state=Refund.State.ORDERED, iban="")
    rows = Refund.objects.filter(Q(state=Refund.State.FAILED) | lacks_account)
    return rows.select_related("payment__invoice", "organization", "line").order_by("created_at")


def refunds_waiting(actor: Actor) -> QuerySet[Refund]:
    """For a file to the bank."""
    require_staff(actor)
    return refunds_by_transfer().exclude(iban="").select_related("payment__invoice", "line")


def refunds_of(file: TransferFile) -> QuerySet[Refund]:
    return file.refunds.select_related("payment__invoice", "line").order_by("created_at", "pk")


def lines_waiting(actor: Actor) -> QuerySet[StatementLine]:
    require_staff(actor)
    waiting = StatementLine.objects.filter(state=StatementLine.State.WAITING)
    return waiting.order_by("booked_on", "created_at")[:LINES_SHOWN]


def statements_taken(actor: Actor) -> QuerySet[Statement]:
    require_staff(actor)
    return Statement.objects.defer("content").order_by("-uploaded_at")[:12]


def transfer_files(actor: Actor) -> QuerySet[TransferFile]:
    require_staff(actor)
    files = TransferFile.objects.filter(withdrawn_at=None).defer("content")
    return files.order_by("-made_at")[:20]


def differences(actor: Actor) -> QuerySet[Difference]:
    require_staff(actor)
    return Difference.objects.filter(gone_at=None).order_by("-found_at")


def get_line(actor: Actor, line_id: str) -> StatementLine:
    require_staff(actor)
    return _one(StatementLine.objects.filter(pk=line_id).first())


def get_refund(actor: Actor, refund_id: str) -> Refund:
    require_staff(actor)
    found = Refund.objects.select_related("payment__invoice", "organization", "line").filter(pk=refund_id)
    return _one(found.first())


def get_transfer_file(actor: Actor, file_id: str) -> TransferFile:
    require_staff(actor)
    return _one(TransferFile.objects.filter(pk=file_id).first())


def name_of(person_id: str) -> str:
    found = User.objects.filter(pk=person_id).first()
    return found.name or found.email if found else ""


def _one(found: Row | None) -> Row:
    if found is None:
        raise NotFound
    return found
