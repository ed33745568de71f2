"""VAT ids: typed wrong, confirmed, refuted, taken back, and a register that fails. Nothing but a yes takes VAT off."""

from __future__ import annotations

import time

import pytest

from cryocloud.web.billing import ledger, tasks
from cryocloud.web.billing.customers import VAT_IDS_A_DAY, Details, save_customer
from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.models import Customer, Invoice, VatCheck
from cryocloud.web.billing.numbers import WrongNumber, vat_id_of
from cryocloud.web.billing.vat_checks import register_replaced
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import TooManyRequests
from cryocloud.web.notices.models import Occasion
from web_books import issue, line
from web_data import run_tasks

pytestmark = pytest.mark.django_db
GERMAN = Details(
    kind="business",
    name="Institut für Strukturbiologie",
    street="Hauptstr. 1",
    postal_code="10115",
    city="Berlin",
    country="DE",
    email="rechnung@institut.example",
    vat_id="DE 136 695 976",
)


def save(owner, **given) -> Customer:
    return save_customer(
        actor=owner.actor, organization=owner.organization, details=Details(**GERMAN.__dict__ | given)
    )


def running_line(net_cents: int = 49_000):
    """Something that is still being supplied."""
    made = line(net_cents)
    moment = now()
    return type(made)(**made.__dict__ | {"from_at": moment, "until_at": moment.replace(year=moment.year + 1)})


@pytest.mark.parametrize(
    ("typed", "country", "kept"),
    [
        ("DE 136 695 976", "DE", "DE136695976"),
        ("136695976", "DE", "DE136695976"),
        ("GR094014201", "GR", "EL094014201"),
        ("el 094014201", "GR", "EL094014201"),
        ("NL 0044.95.445.B01", "NL", "NL004495445B01"),
        ("FR 83 404 833 048", "MC", "FR83404833048"),
        ("ATU13585627", "AT", "ATU13585627"),
        ("BE 0776.091.951", "BE", "BE0776091951"),
    ],
)
def test_ids_are_kept_as_the_register_knows_them(typed: str, country: str, kept: str) -> None:
    assert vat_id_of(typed, country=country) == kept


@pytest.mark.parametrize(
    ("typed", "country", "words"),
    [
        ("DE136695977", "DE", "check digits"),
        ("DE13669597", "DE", "too many or too few"),
        ("FR83404833048", "DE", "begins with FR"),
        ("XI123456789", "IE", "Northern Ireland"),
        ("hello", "DE", "no VAT id for Germany"),
        ("NL123456789B01", "NL", "check digits"),
    ],
)
def test_wrong_ids_get_a_sentence(typed: str, country: str, words: str) -> None:
    with pytest.raises(WrongNumber, match=words):
        vat_id_of(typed, country=country)


@pytest.mark.requirement("BIL-05")
def test_a_confirmed_id_takes_the_vat_off_and_is_proven(owner, register) -> None:
    customer = save(owner)
    assert (customer.vat_id, customer.vat_state) == ("DE136695976", "unchecked")
    assert issue(owner.organization, key="before").vat_cents == 10_290
    run_tasks()
    customer.refresh_from_db()
    assert customer.vat_state == "valid"
    assert customer.vat_consultation == VatCheck.unscoped.get().consultation != ""
    assert register.asked[0]["requesterNumber"] == "123456782B12"
    invoice = issue(owner.organization, key="after")
    assert (invoice.treatment, invoice.vat_cents) == ("reverse_charge", 0)
    assert invoice.customer["vat_consultation"] == customer.vat_consultation


@pytest.mark.requirement("BIL-05")
@pytest.mark.parametrize("fault", ["down", "refusing", "garbage", "unproven", "country", "slow"])
def test_a_register_that_fails_never_takes_vat_off(owner, register, fault: str, monkeypatch) -> None:
    monkeypatch.setattr("cryocloud.web.notices.outward.DEADLINE_S", 0.5)
    register.fault = fault
    began_s = time.monotonic()
    customer = save(owner)
    run_tasks()
    assert time.monotonic() - began_s < 2.5
    customer.refresh_from_db()
    assert customer.vat_state == "unchecked"
    kept = VatCheck.unscoped.get()
    assert kept.answer == "down" and kept.problem
    assert issue(owner.organization).vat_cents == 10_290
    register.fault = ""
    tasks.check_vat_ids()
    run_tasks()
    customer.refresh_from_db()
    assert customer.vat_state == "valid"


def test_nobody_at_the_address_of_the_register(owner) -> None:
    customer = save(owner)
    run_tasks()
    customer.refresh_from_db()
    assert (customer.vat_state, VatCheck.unscoped.get().answer) == ("unchecked", "down")


def test_a_refuted_id_bears_vat_and_the_owners_are_told_once(owner, register) -> None:
    register.in_force.clear()
    save(owner)
    run_tasks()
    tasks.check_vat_ids()
    run_tasks()
    assert Customer.unscoped.get().vat_state == "invalid"
    assert issue(owner.organization).vat_cents == 10_290
    assert Occasion.unscoped.filter(kind="letter").count() == 1


def test_an_id_that_is_taken_back_later(owner, register) -> None:
    save(owner)
    run_tasks()
    register.in_force.clear()
    tasks.check_vat_ids()
    run_tasks()
    assert Customer.unscoped.get().vat_state == "invalid"
    assert issue(owner.organization).vat_cents == 10_290


def test_a_confirmed_id_stays_so_while_the_register_is_down(owner, register) -> None:
    save(owner)
    run_tasks()
    register.fault = "down"
    tasks.check_vat_ids()
    run_tasks()
    assert Customer.unscoped.get().vat_state == "valid"


def test_another_id_is_checked_anew_and_an_answer_about_the_old_one_counts_for_nothing(
    owner, register
) -> None:
    save(owner)
    run_tasks()
    customer = save(owner, vat_id="DE129274202")
    assert (customer.vat_state, customer.vat_consultation) == ("unchecked", "")
    assert issue(owner.organization).vat_cents == 10_290


def test_what_runs_is_invoiced_again_without_vat_and_keeps_its_payment(owner, register) -> None:
    register.fault = "down"
    save(owner)
    ended = issue(owner.organization, key="ended")
    paid = issue(owner.organization, running_line(), key="paid")
    unpaid = issue(owner.organization, running_line(10_000), key="unpaid")
    ledger.book("p", {"cash:manual": 59_290, "receivable": -59_290}, text="Payment", invoice=paid)
    seen: list[tuple[Invoice, Invoice]] = []
    register_replaced(lambda old, new: seen.append((old, new)))
    register.fault = ""
    tasks.check_vat_ids()
    run_tasks()
    assert not hasattr(Invoice.unscoped.get(pk=ended.pk), "credit_note")
    anew = {one.key: one for one in Invoice.unscoped.filter(treatment="reverse_charge", kind="invoice")}
    assert set(anew) == {"paid:vat_id_confirmed", "unpaid:vat_id_confirmed"}
    assert open_cents(anew["paid:vat_id_confirmed"]) == 0
    assert open_cents(paid) == -10_290
    assert open_cents(anew["unpaid:vat_id_confirmed"]) == 10_000
    assert open_cents(unpaid) == 0
    assert ledger.balance("vat") == -10_290  # of what has ended
    assert ledger.balance("moved") == 0
    assert [old for old, _ in seen] == [paid, unpaid]
    tasks.check_vat_ids()
    run_tasks()
    assert Invoice.unscoped.count() == 7


def test_an_organization_without_a_german_address_is_not_asked_about(owner, register) -> None:
    save(owner, country="NL", vat_id="NL004495445B01", postal_code="3512 JE")
    tasks.check_vat_ids()
    run_tasks()
    assert register.asked == []
    assert Customer.unscoped.get().vat_state == "none"


def test_nobody_has_the_register_asked_without_end(owner) -> None:
    for number in range(VAT_IDS_A_DAY):
        save(owner, street=f"Hauptstr. {number}")
    with pytest.raises(TooManyRequests):
        save(owner)
    save(owner, vat_id="")
