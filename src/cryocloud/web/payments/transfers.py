"""Refunds by transfer: a file for the bank (pain.001) that one person makes and another approves."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from xml.etree import ElementTree as Xml

from django.db import transaction
from django.db.models import QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.money import decimal
from cryocloud.web.billing.numbers import WrongNumber, iban_of
from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.days import day_of
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.plain_text import checked_reason
from cryocloud.web.payments.models import ProviderName, Refund, TransferFile
from cryocloud.web.payments.staff import is_alone, require_staff
from cryocloud.web.terms import CURRENCY, Seller, billing

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
FILE_MAX = 1000
NAME_LENGTH, TEXT_LENGTH = 70, 140
# What all banks of the SEPA must take; the rest is replaced.
_FOREIGN = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")


def refunds_by_transfer() -> QuerySet[Refund]:
    """Ordered, and in no file yet."""
    return Refund.objects.filter(
        provider=ProviderName.MANUAL, state=Refund.State.ORDERED, file=None
    ).order_by("created_at", "pk")


@transaction.atomic
def make_transfer_file(*, actor: Actor) -> TransferFile:
    """Of all refunds that wait and whose account is known."""
    require_staff(actor)
    terms = billing()
    refunds = list(refunds_by_transfer().exclude(iban="").select_for_update(no_key=True)[:FILE_MAX])
    if terms is None or not refunds:
        raise Conflict("No refund waits for a transfer.")
    made_id = new_id()
    content = _content(made_id, terms.seller, refunds)
    file = TransferFile.objects.create(
        id=made_id,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        transfers=len(refunds),
        amount_cents=sum(one.amount_cents for one in refunds),
        made_by_id=actor.user.pk,
    )
    Refund.objects.filter(pk__in=[one.pk for one in refunds]).update(file=file)
    _record(actor, "transfer_file.made", file)
    crash_point("transfer:before-commit")
    return file


def needs_reason(actor: Actor, file: TransferFile) -> bool:
    """Whether this person would approve what they made themselves, because nobody else could."""
    return file.made_by_id == actor.user.pk and is_alone(actor)


@transaction.atomic
def approve_transfer_file(*, actor: Actor, file: TransferFile, reason: str = "") -> TransferFile:
    """By a second person. Where there is one operator only, by the same, who says why."""
    require_staff(actor)
    held = _held(file)
    said = ""
    if held.made_by_id == actor.user.pk:
        if not is_alone(actor):
            raise Conflict("You made this file. Another operator has to look at it and approve it.")
        said = checked_reason(reason)
    held.approved_by_id, held.approved_at, held.reason = actor.user.pk, now(), said
    held.save()
    held.refunds.filter(state=Refund.State.ORDERED).update(state=Refund.State.PENDING)
    _record(actor, "transfer_file.approved", held, reason=said)
    return held


@transaction.atomic
def withdraw_transfer_file(*, actor: Actor, file: TransferFile) -> None:
    """Before anybody has approved it; its refunds wait for another file."""
    require_staff(actor)
    held = _held(file)
    held.withdrawn_at = now()
    held.save()
    held.refunds.update(file=None)
    _record(actor, "transfer_file.withdrawn", held)


def content_of(*, actor: Actor, file: TransferFile) -> bytes:
    """For the bank, once it is approved."""
    require_staff(actor)
    if file.approved_at is None:
        raise NotFound
    _record(actor, "transfer_file.fetched", file)
    return bytes(file.content)


@transaction.atomic
def send_by_transfer(*, actor: Actor, refund: Refund, name: str, iban: str, reason: str) -> None:
    """Name the account of a refund that cannot go back the way it came, or that the bank did not carry out."""
    require_staff(actor)
    held = Refund.objects.select_for_update(no_key=True).get(pk=refund.pk)
    is_stuck = held.state == Refund.State.PENDING and held.provider == ProviderName.MANUAL
    lacks_account = (
        held.state == Refund.State.ORDERED and held.provider == ProviderName.MANUAL and not held.iban
    )
    if not (held.state == Refund.State.FAILED or is_stuck or lacks_account):
        raise Conflict("This refund is on its way; it cannot be sent to another account.")
    to = " ".join(name.split())
    try:
        account = iban_of(iban[:60])
    except WrongNumber as wrong:
        raise Refused("The account cannot be used.", {"iban": f"{wrong}."}) from None
    if not to:
        raise Refused("A name is needed.", {"name": "Give the name of the account's holder."})
    said = checked_reason(reason)
    held.provider, held.state, held.file, held.reference = ProviderName.MANUAL, Refund.State.ORDERED, None, ""
    held.name, held.iban, held.bic, held.failure = to[:200], account, "", ""
    held.save()
    record_event(
        "refund.redirected",
        organization_id=held.organization_id or "",
        target=held,
        actor_id=actor.user.pk,
        via=actor.via,
        reason=said,
    )


def _held(file: TransferFile) -> TransferFile:
    held = TransferFile.objects.select_for_update(no_key=True).get(pk=file.pk)
    if held.approved_at or held.withdrawn_at:
        raise Conflict("This file has been decided on meanwhile. Load the page again.")
    return held


def _content(file_id: str, seller: Seller, refunds: list[Refund]) -> bytes:
    document = Xml.Element("Document", {"xmlns": NAMESPACE})
    order = Xml.SubElement(document, "CstmrCdtTrfInitn")
    total = decimal(sum(one.amount_cents for one in refunds))
    counts = {"NbOfTxs": str(len(refunds)), "CtrlSum": total}
    moment = now()
    head = Xml.SubElement(order, "GrpHdr")
    _fill(head, {"MsgId": file_id, "CreDtTm": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **counts})
    _fill(head, {"InitgPty/Nm": _plain(seller.name, NAME_LENGTH)})
    batch = Xml.SubElement(order, "PmtInf")
    _fill(batch, {"PmtInfId": file_id, "PmtMtd": "TRF", "BtchBookg": "false", **counts})
    _fill(batch, {"PmtTpInf/SvcLvl/Cd": "SEPA", "ReqdExctnDt/Dt": day_of(moment).isoformat()})
    _fill(batch, {"Dbtr/Nm": _plain(seller.name, NAME_LENGTH), "DbtrAcct/Id/IBAN": seller.iban})
    bank = (
        {"DbtrAgt/FinInstnId/BICFI": seller.bic}
        if seller.bic
        else {"DbtrAgt/FinInstnId/Othr/Id": "NOTPROVIDED"}
    )
    _fill(batch, {**bank, "ChrgBr": "SLEV"})
    for refund in refunds:
        transfer = Xml.SubElement(batch, "CdtTrfTxInf")
        _fill(transfer, {"PmtId/EndToEndId": refund.pk})
        amount = Xml.SubElement(Xml.SubElement(transfer, "Amt"), "InstdAmt", {"Ccy": CURRENCY})
        amount.text = decimal(refund.amount_cents)
        invoice = refund.payment.invoice.number if refund.payment else "your transfer"
        _fill(
            transfer,
            {
                "Cdtr/Nm": _plain(refund.name, NAME_LENGTH),
                "CdtrAcct/Id/IBAN": refund.iban,
                "RmtInf/Ustrd": _plain(f"Refund of {invoice}", TEXT_LENGTH),
            },
        )
    content: bytes = Xml.tostring(document, encoding="UTF-8", xml_declaration=True)
    return content


def _fill(parent: Xml.Element, texts: dict[str, str]) -> None:
    """Make the element of each path with its text."""
    for path, text in texts.items():
        node = parent
        for name in path.split("/"):
            node = Xml.SubElement(node, name)
        node.text = text


def _plain(text: str, length: int) -> str:
    """In the letters that every bank takes; an empty name would be refused."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(_FOREIGN.sub(" ", bare).split())[:length].strip() or "Unknown"


def _record(actor: Actor, verb: str, file: TransferFile, **detail: str) -> None:
    record_event(
        verb,
        organization_id="",
        target=file,
        actor_id=actor.user.pk,
        via=actor.via,
        sha256=file.sha256,
        amount_cents=file.amount_cents,
        **detail,
    )
