"""Statements as banks write them (CAMT.053.001.08 and .02)."""

from __future__ import annotations

from dataclasses import dataclass

IBAN = "NL91ABNA0417164300"
PAYER = "DE89370400440532013000"


@dataclass(frozen=True)
class Movement:
    """One entry; what left the account has a negative amount."""

    amount: str
    text: str = ""
    reference: str = ""
    bank_reference: str = "B1"
    end_to_end: str = ""
    day: str = "2026-11-20"
    currency: str = "EUR"
    status: str = "BOOK"
    name: str = "Universiteit Voorbeeld"
    iban: str = PAYER
    batch: str = ""


def statement(*movements: Movement, iban: str = IBAN, version: str = "08", number: str = "1") -> bytes:
    entries = "".join(_entry(one, version) for one in movements)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>
<GrpHdr><MsgId>{number}</MsgId><CreDtTm>2026-11-21T06:00:00</CreDtTm></GrpHdr>
<Stmt><Id>{number}</Id><CreDtTm>2026-11-21T06:00:00</CreDtTm><Acct><Id><IBAN>{iban}</IBAN></Id></Acct>
{entries}</Stmt></BkToCstmrStmt></Document>""".encode()


def _entry(one: Movement, version: str) -> str:
    is_in = not one.amount.startswith("-")
    side = "Dbtr" if is_in else "Cdtr"
    status = f"<Cd>{one.status}</Cd>" if version == "08" else one.status
    named = f"<Pty><Nm>{one.name}</Nm></Pty>" if version == "08" else f"<Nm>{one.name}</Nm>"
    structured = f"<Strd><CdtrRefInf><Ref>{one.reference}</Ref></CdtrRefInf></Strd>" if one.reference else ""
    batch = f"<PmtInfId>{one.batch}</PmtInfId>" if one.batch else ""
    account = f"<{side}Acct><Id><IBAN>{one.iban}</IBAN></Id></{side}Acct>" if one.iban else ""
    return f"""<Ntry><Amt Ccy="{one.currency}">{one.amount.lstrip("-")}</Amt>
<CdtDbtInd>{"CRDT" if is_in else "DBIT"}</CdtDbtInd><Sts>{status}</Sts>
<BookgDt><Dt>{one.day}</Dt></BookgDt><AcctSvcrRef>{one.bank_reference}</AcctSvcrRef>
<NtryDtls><TxDtls><Refs>{batch}<EndToEndId>{one.end_to_end or "NOTPROVIDED"}</EndToEndId></Refs>
<RltdPties><{side}>{named}</{side}>{account}</RltdPties>
<RmtInf><Ustrd>{one.text}</Ustrd>{structured}</RmtInf></TxDtls></NtryDtls></Ntry>"""
