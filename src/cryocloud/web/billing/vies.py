"""Asking the register of VAT ids of the EU, through the wall around outward calls. No answer is never a yes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cryocloud.web import terms
from cryocloud.web.billing.models import VatCheck
from cryocloud.web.notices.outward import NotCalled, exchange

Answer = VatCheck.Answer
REFUTED = {"INVALID_INPUT", "INVALID"}


@dataclass(frozen=True)
class Consultation:
    """What the register said; ``consultation`` is its number for this question, the proof that it was asked."""

    answer: VatCheck.Answer
    consultation: str = ""
    trader_name: str = ""
    trader_address: str = ""
    problem: str = ""


def consult(vat_id: str) -> Consultation:
    """Ask about an id, in the seller's name so that the answer comes with a number."""
    sold = terms.billing()
    if sold is None:
        return _down("nothing is sold here")
    own = sold.seller.vat_id
    question = {
        "countryCode": vat_id[:2],
        "vatNumber": vat_id[2:],
        "requesterMemberStateCode": own[:2],
        "requesterNumber": own[2:],
    }
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        answer = exchange("POST", sold.vat_register, json.dumps(question).encode(), headers)
    except NotCalled as error:
        return _down(str(error))
    try:
        told = json.loads(answer.body)
    except ValueError:
        return _down(f"status {answer.status}, and an answer that is not JSON")
    if not isinstance(told, dict):
        return _down(f"status {answer.status}, and an answer that is no object")
    return _read(vat_id, told)


def _read(vat_id: str, told: dict[str, Any]) -> Consultation:
    errors = told.get("errorWrappers") or []
    codes = [str(one.get("error", "")) for one in errors if isinstance(one, dict)]
    if codes:
        known = set(codes) <= REFUTED
        return Consultation(Answer.INVALID, problem=codes[0][:100]) if known else _down(codes[0][:100])
    if (told.get("countryCode"), told.get("vatNumber")) != (vat_id[:2], vat_id[2:]):
        return _down("it answered about another id than the one asked for")
    number = told.get("requestIdentifier")
    match told.get("valid"):
        case False:
            return Consultation(Answer.INVALID, consultation=_text(number, 60))
        case True if isinstance(number, str) and number.strip():
            name, address = _text(told.get("name"), 300), _text(told.get("address"), 500)
            return Consultation(Answer.VALID, _text(number, 60), name, address)
        case True:
            return _down("it confirmed the id and gave no number for the proof")
        case _:
            return _down("it said neither yes nor no")


def _down(problem: str) -> Consultation:
    return Consultation(Answer.DOWN, problem=problem[:300])


def _text(value: object, length: int) -> str:
    return " ".join(value.split())[:length] if isinstance(value, str) else ""
