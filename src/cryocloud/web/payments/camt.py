"""Statements of a bank account (CAMT.053) as banks write them: what was booked, in cents, with what the payer wrote.

The file comes from outside: entities and document types are refused, and whatever is not as the standard has it ends in
a sentence that says where.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from cryocloud.web.core.errors import Refused
from cryocloud.web.payments.references import packed
from cryocloud.web.terms import CURRENCY

BYTES_MAX = 2_500_000
ENTRIES_MAX = 20_000
CENTS_MAX = 10**13
# As the standard has it: no exponent, with which a few letters are a number of a million digits.
AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{0,17})?")
NAMESPACE = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.\d\d\}Document")
NO_REFERENCE = {"", "NONREF", "NOTPROVIDED"}
BOOKED = "BOOK"


@dataclass(frozen=True)
class Entry:
    """One movement of money; what left the account is negative. ``key`` is the same in every statement that has it."""

    key: str
    booked_on: date
    amount_cents: int
    name: str
    iban: str
    bic: str
    reference: str
    text: str
    end_to_end: str
    batch: str


def read_statements(content: bytes, iban: str) -> list[Entry]:
    """The booked entries of an account. Raises ``Refused``."""
    if len(content) > BYTES_MAX:
        raise _refused(
            f"The file has {len(content):,} bytes; give at most {BYTES_MAX:,}, such as one month at a time."
        )
    document = _parsed(content)
    statements = _below(document, "BkToCstmrStmt/Stmt")
    if not statements:
        raise _refused("The file holds no statement.")
    counted: Counter[str] = Counter()
    entries = [entry for one in statements for entry in _entries(one, iban, counted)]
    if len(entries) > ENTRIES_MAX:
        raise _refused(f"The file has {len(entries):,} entries; give at most {ENTRIES_MAX:,} at a time.")
    return entries


def _parsed(content: bytes) -> Any:
    try:
        document = fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        raise _refused(
            "The file declares a document type or entities, which no statement of a bank does."
        ) from None
    except (ParseError, ValueError, LookupError):
        raise _refused("This is no XML file. Ask your bank for statements as CAMT.053.") from None
    if not NAMESPACE.fullmatch(document.tag):
        raise _refused(
            "This is no CAMT.053 file. Banks also give MT940 and CAMT.052 or 054; those are not read here."
        )
    return document


def _entries(statement: Any, iban: str, counted: Counter[str]) -> Iterator[Entry]:
    account = packed(_text(statement, "Acct/Id/IBAN"))
    if account != iban:
        raise _refused(
            f"The statement is of account {account or '(none)'}; invoices are paid to {iban}. Upload that one's."
        )
    for number, entry in enumerate(_below(statement, "Ntry"), start=1):
        if (_text(entry, "Sts/Cd") or _text(entry, "Sts")) == BOOKED:
            yield from _of_entry(entry, number, account, counted)


def _of_entry(entry: Any, number: int, account: str, counted: Counter[str]) -> Iterator[Entry]:
    """The parts of a collective entry one by one, if the bank lists them and they come to its sum."""
    where = f"Entry {number}"
    cents, booked_on = _cents(entry, "Amt", where), _day(entry, where)
    sign = {"CRDT": 1, "DBIT": -1}.get(_text(entry, "CdtDbtInd"))
    if sign is None:
        raise _refused(f"{where} does not say whether the money came or went (CdtDbtInd).")
    parts = _below(entry, "NtryDtls/TxDtls")
    amounts = [_part_cents(part, where) for part in parts]
    if len(parts) > 1 and None not in amounts and sum(filter(None, amounts)) == cents:
        of_parts = [(part, part_cents or 0) for part, part_cents in zip(parts, amounts, strict=True)]
    else:
        of_parts = [(parts[0] if len(parts) == 1 else entry, cents)]
    given = _text(entry, "AcctSvcrRef")
    for place, (part, part_cents) in enumerate(of_parts):
        facts = _facts(part, sign)
        known = given if given.upper() not in NO_REFERENCE else "|".join(facts)
        if known is not given:
            # Banks that give no reference: equal entries of a day are told apart by their order.
            alike = f"{booked_on}|{sign * part_cents}|{known}"
            counted[alike] += 1
            known = f"{known}|{counted[alike]}"
        told = f"{account}|{known}|{booked_on}|{sign * part_cents}|{place}"
        yield Entry(
            hashlib.sha256(told.encode()).hexdigest(),
            booked_on,
            sign * part_cents,
            *facts,
            batch=_text(part, "Refs/PmtInfId") or _text(entry, "NtryDtls/Btch/PmtInfId"),
        )


def _facts(part: Any, sign: int) -> tuple[str, str, str, str, str, str]:
    """Name, account and bank of the other side, the structured reference, the text, the sender's own reference."""
    side, bank = ("Dbtr", "DbtrAgt") if sign > 0 else ("Cdtr", "CdtrAgt")
    name = _text(part, f"RltdPties/{side}/Nm") or _text(part, f"RltdPties/{side}/Pty/Nm")
    institution = f"RltdAgts/{bank}/FinInstnId"
    text = " ".join(
        found.text.strip() for found in _below(part, "RmtInf/Ustrd") if found.text and found.text.strip()
    )
    return (
        name[:200],
        packed(_text(part, f"RltdPties/{side}Acct/Id/IBAN"))[:34],
        (_text(part, f"{institution}/BICFI") or _text(part, f"{institution}/BIC"))[:11],
        _text(part, "RmtInf/Strd/CdtrRefInf/Ref")[:200],
        (text or _text(part, "AddtlNtryInf"))[:1000],
        _text(part, "Refs/EndToEndId")[:200],
    )


def _part_cents(part: Any, where: str) -> int | None:
    for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        if _below(part, path):
            return _cents(part, path, where)
    return None


def _cents(node: Any, path: str, where: str) -> int:
    found = next(iter(_below(node, path)), None)
    said = "" if found is None or not found.text else found.text.strip()
    if found is not None and found.get("Ccy") != CURRENCY:
        raise _refused(f"{where} is in {found.get('Ccy') or 'no currency'}; only {CURRENCY} is taken.")
    if not AMOUNT.fullmatch(said):
        raise _refused(f"{where} has the amount “{said[:40]}”, which is no number.")
    cents = Decimal(said) * 100
    whole = int(cents)
    if cents != whole or whole > CENTS_MAX:
        raise _refused(f"{where} has the amount “{said[:40]}”, which is no amount in cents.")
    return whole


def _day(entry: Any, where: str) -> date:
    said = _text(entry, "BookgDt/Dt") or _text(entry, "BookgDt/DtTm")
    try:
        return date.fromisoformat(said[:10])
    except ValueError:
        raise _refused(f"{where} has the booking date “{said[:40]}”, which is no date.") from None


def _below(node: Any, path: str) -> list[Any]:
    found: list[Any] = node.findall("/".join(f"{{*}}{name}" for name in path.split("/")))
    return found


def _text(node: Any, path: str) -> str:
    found = next(iter(_below(node, path)), None)
    return "" if found is None or not found.text else str(found.text).strip()


def _refused(words: str) -> Refused:
    return Refused("The statement was not taken; nothing was changed.", {"file": words})
