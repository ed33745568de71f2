"""Who pays for an organization: their details, checked as they are typed, and what tells in which country they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from cryocloud.web import terms
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.countries import COUNTRIES
from cryocloud.web.billing.models import Customer, PlaceEvidence
from cryocloud.web.billing.numbers import WrongNumber, iban_of, vat_id_of
from cryocloud.web.billing.vat import HOME, MEMBERS, Place, country_of
from cryocloud.web.core.days import today
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization

ADDRESS = "/organization/invoice-details/"
LENGTHS = {
    "name": 200, "street": 200, "postal_code": 20, "city": 100, "region": 60, "country": 2, "email": 254,
    "po_number": 60, "iban": 42, "vat_id": 30,
}  # fmt: skip
NEEDED = {
    "name": "Give the name that invoices are made out to.",
    "street": "Give the street and the number.",
    "city": "Give the city.",
    "country": "Choose a country.",
    "email": "Give the address that invoices are mailed to.",
}
WITHOUT_POSTAL_CODES = {"IE"}
EVIDENCE_YEARS = 10
VAT_IDS_A_DAY = 20
"""Of one organization: the register shuts out who asks it without end."""
LETTERS = ((0x20, 0x52F), (0x1E00, 0x1FFF), (0x2010, 0x2027), (0x20AC, 0x20AC), (0x2116, 0x2116))


@dataclass(frozen=True)
class Details:
    """What a person says about who pays."""

    kind: str
    name: str
    street: str
    city: str
    country: str
    email: str
    postal_code: str = ""
    region: str = ""
    po_number: str = ""
    iban: str = ""
    vat_id: str = ""


class NoCustomer(Conflict):
    """Nobody has said yet to whom invoices go."""

    remedy = ADDRESS

    def __init__(self) -> None:
        super().__init__("Say first who pays: name, address and, for a business in the EU, the VAT id.")


class PlaceUnproven(Conflict):
    """A consumer abroad whose country is not told by two facts that agree."""

    remedy = ADDRESS


def customer_of(organization: Organization) -> Customer:
    """Raises ``NoCustomer`` where nobody has said who pays."""
    customer = known_customer(organization)
    if customer is None:
        raise NoCustomer
    return customer


def known_customer(organization: Organization) -> Customer | None:
    return Customer.unscoped.filter(organization=organization).first()


def mail_address_of(organization: Organization) -> str:
    """Where letters about money go too; "" where nobody has said."""
    customer = known_customer(organization)
    return customer.email if customer else ""


@transaction.atomic
def save_customer(*, actor: Actor, organization: Organization, details: Details) -> Customer:
    """Keep who pays. A new VAT id counts only once the register has confirmed it."""
    access.require_governor(actor, organization.id)
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    checked = checked_details(details)
    customer = known_customer(organization) or Customer(organization=organization)
    is_new_id = checked.vat_id != customer.vat_id
    for name, value in asdict(checked).items():
        setattr(customer, name, value)
    if not is_checkable(customer):
        customer.vat_state = Customer.VatState.NONE
    elif is_new_id or customer.vat_state == Customer.VatState.NONE:
        customer.vat_state = Customer.VatState.UNCHECKED
    if is_new_id:
        customer.vat_checked_at, customer.vat_consultation = None, ""
    customer.save()
    _keep_evidence(customer)
    record_event(
        "customer.saved",
        organization_id=organization.pk,
        target=customer,
        actor_id=actor.user.pk,
        via=actor.via,
        country=customer.country,
        kind=customer.kind,
    )
    if customer.vat_state == Customer.VatState.UNCHECKED:
        from cryocloud.web.billing.tasks import check_vat_id

        spend("vat id", organization.pk, amount=VAT_IDS_A_DAY, window_s=24 * 3600)
        check_vat_id.enqueue(customer.pk, organization_id=organization.pk)
    return customer


def checked_details(details: Details) -> Details:
    """The details as they are kept; raises ``Refused`` with a sentence for each field that is to blame."""
    clean = replace(details, **{name: _one_line(getattr(details, name)) for name in LENGTHS})
    wrong = {name: remedy for name, remedy in NEEDED.items() if not getattr(clean, name)}
    wrong |= {name: remedy for name in LENGTHS if (remedy := _unfit(getattr(clean, name), LENGTHS[name]))}
    if clean.kind not in Customer.Kind.values:
        wrong["kind"] = "Say whether a business or a private person pays."
    if clean.country and clean.country not in COUNTRIES:
        wrong["country"] = f"“{clean.country}” is no country; choose one of the list."
    if not wrong:
        clean = _checked_numbers(clean, wrong)
    if wrong:
        raise Refused("Some of these details cannot be used.", wrong)
    return clean


def _checked_numbers(details: Details, wrong: dict[str, str]) -> Details:
    """Postal code, mail address, VAT id and IBAN, by the rules of the country."""
    in_union = country_of(Place(details.country, details.region, details.postal_code)) is not None
    if details.country in MEMBERS - WITHOUT_POSTAL_CODES and not details.postal_code:
        wrong["postal_code"] = f"Give the postal code; addresses in {COUNTRIES[details.country]} have one."
    try:
        validate_email(details.email)
    except ValidationError:
        wrong["email"] = f"“{details.email}” is no mail address; give one such as accounts@university.edu."
    kept = details
    if details.kind == Customer.Kind.CONSUMER and details.vat_id:
        wrong["vat_id"] = "A private person has no VAT id; leave it out, or say that a business pays."
    elif details.vat_id and in_union:
        try:
            kept = replace(kept, vat_id=vat_id_of(details.vat_id, country=details.country))
        except WrongNumber as error:
            wrong["vat_id"] = f"{error}."
    elif details.vat_id and len(details.vat_id) > 20:
        wrong["vat_id"] = f"This has {len(details.vat_id)} characters; give at most 20."
    if details.iban:
        try:
            kept = replace(kept, iban=iban_of(details.iban))
        except WrongNumber as error:
            wrong["iban"] = f"{error}."
    return kept


def _unfit(given: str, longest: int) -> str:
    """Why a text cannot stand on an invoice; "" if it can. The font of the documents has these letters."""
    if len(given) > longest:
        return f"This has {len(given)} characters; give at most {longest}."
    if not all(any(first <= ord(letter) <= last for first, last in LETTERS) for letter in given):
        return f"Write “{given[:60]}” in Latin, Greek or Cyrillic letters; documents can show no others."
    return ""


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def place_of(customer: Customer) -> Place:
    return Place(customer.country, customer.region, customer.postal_code)


def is_checkable(customer: Customer) -> bool:
    """Whether the answer of the register decides about the VAT: a business in another member state."""
    country = country_of(place_of(customer))
    is_business = customer.kind == Customer.Kind.BUSINESS
    return is_business and bool(customer.vat_id) and country is not None and country != HOME


def is_reverse_chargeable(customer: Customer) -> bool:
    """Whether the register confirmed the id that the customer has now."""
    return is_checkable(customer) and customer.vat_state == Customer.VatState.VALID


def require_sellable(organization: Organization) -> Customer:
    """For whoever is about to sell: who pays is known, and a consumer's country is proven where its VAT is due."""
    customer = customer_of(organization)
    sold = terms.billing()
    country = country_of(place_of(customer))
    is_consumer_abroad = customer.kind == Customer.Kind.CONSUMER and country not in (None, HOME)
    if sold is None or not sold.one_stop_shop or not is_consumer_abroad:
        return customer
    if country not in {country_of(Place(customer.iban[:2]))} - {None}:
        raise PlaceUnproven(
            f"The VAT of {COUNTRIES[customer.country]} is due, and the law wants two facts that tell where you live. "
            "Your address is one; give an IBAN of the same country as the other."
        )
    return customer


def _keep_evidence(customer: Customer) -> None:
    """Of private persons elsewhere in the EU only, and no more than the country."""
    if customer.kind != Customer.Kind.CONSUMER or country_of(place_of(customer)) in (None, HOME):
        return
    until = date(today().year + EVIDENCE_YEARS, 12, 31)
    told = {PlaceEvidence.Kind.ADDRESS: customer.country, PlaceEvidence.Kind.BANK: customer.iban[:2]}
    for kind, country in told.items():
        if country:
            PlaceEvidence.unscoped.update_or_create(
                organization=customer.organization, kind=kind, country=country, defaults={"keep_until": until}
            )
