"""The documents of invoices: made once by the worker, checked, stored with their hashes, mailed, never made again."""

from __future__ import annotations

import hashlib
import logging

from django.core.mail import send_mail
from django.db import transaction

from cryocloud.web.accounts.models import User
from cryocloud.web.billing.models import Invoice
from cryocloud.web.billing.money import spoken
from cryocloud.web.billing.pdf import pdf_of, title_of
from cryocloud.web.billing.rules import NotChecked, broken_rules
from cryocloud.web.billing.ubl import ubl_of
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.notices.mail import Attachment
from cryocloud.web.notices.models import Occasion

ADDRESS = "/invoices/{}/"
_log = logging.getLogger("cryocloud.billing")


def make(invoice_id: str) -> None:
    """Both documents, if the rules are kept; else nothing is stored nor sent, and the operators are told."""
    invoice = Invoice.unscoped.select_related("corrects").get(pk=invoice_id)
    if invoice.documents_at is not None:
        return
    ubl = ubl_of(invoice)
    try:
        broken = broken_rules(ubl)
    except NotChecked as error:
        broken = [str(error)]
    if broken:
        _hold_back(invoice, broken)
    else:
        _keep(invoice, pdf_of(invoice), ubl)


@transaction.atomic
def _keep(invoice: Invoice, pdf: bytes, ubl: bytes) -> None:
    """Store what was made and order its mail, in one; whoever was quicker has done both."""
    held = Invoice.unscoped.select_for_update(no_key=True).get(pk=invoice.pk)
    if held.documents_at is not None:
        return
    held.pdf, held.ubl = pdf, ubl
    held.pdf_sha256, held.ubl_sha256 = hashlib.sha256(pdf).hexdigest(), hashlib.sha256(ubl).hexdigest()
    held.documents_at = held.sent_at = now()
    held.problem = ""
    held.save(update_fields=[*Invoice.WRITTEN_ONCE, "problem"])
    write_to_owners(
        held.organization,
        key=f"invoice:{held.pk}",
        title=f"{title_of(held)}, {spoken(held.gross_cents)}",
        message=_words(held),
        path=ADDRESS.format(held.pk),
    )


def _words(invoice: Invoice) -> str:
    first = f"{title_of(invoice)} over {spoken(invoice.gross_cents)} is attached, as PDF and as XML (UBL, EN 16931)."
    if invoice.corrects is not None:
        return f"{first} It corrects invoice {invoice.corrects.number}."
    return f"{first} It is due on {invoice.due_at:%-d %B %Y}."


def _hold_back(invoice: Invoice, broken: list[str]) -> None:
    problem = "\n".join(broken)
    _log.error("an invoice is not sent", extra={"invoice": invoice.number, "problem": problem[:500]})
    is_new = Invoice.unscoped.filter(pk=invoice.pk, problem="").update(problem=problem) == 1
    if not is_new:
        return
    addresses = User.objects.filter(is_operator=True, is_active=True).values_list("email", flat=True)
    for address in addresses:
        send_mail(
            f"{invoice.number} is not sent",
            f"{invoice.number} breaks a rule of EN 16931, or could not be checked, so it was not sent:\n\n{problem}\n\n"
            f"{configuration().address}/operator/books/\n",
            configuration().mail_from,
            [address],
        )


def attached_to(occasion: Occasion) -> list[Attachment]:
    """The documents of the invoice that a letter is about."""
    head, tail = ADDRESS.split("{}")
    if not (occasion.path.startswith(head) and occasion.path.endswith(tail)):
        return []
    invoice_id = occasion.path.removeprefix(head).removesuffix(tail)
    invoice = Invoice.unscoped.filter(pk=invoice_id, organization_id=occasion.organization_id).first()
    if invoice is None or invoice.pdf is None or invoice.ubl is None:
        return []
    return [
        (f"{invoice.number}.pdf", bytes(invoice.pdf), "application/pdf"),
        (f"{invoice.number}.xml", bytes(invoice.ubl), "application/xml"),
    ]
