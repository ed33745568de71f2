"""Which VAT a Dutch seller owes on services that are supplied electronically: a pure function over dated rates.

Sources: Directive 2006/112/EC, articles 6, 7, 44, 58 and 196, and the notices of the member states on their rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from cryocloud.web.billing.money import rounded

HOME = "NL"
BASIS_POINTS = 10_000


class Treatment(StrEnum):
    """Why an invoice bears the VAT that it bears."""

    DOMESTIC = "domestic"  # Dutch VAT
    DESTINATION = "destination"  # VAT of the consumer's country, declared in the one-stop shop
    REVERSE_CHARGE = "reverse_charge"  # the business abroad owes it
    OUTSIDE = "outside"  # supplied outside of the territory of EU VAT


@dataclass(frozen=True)
class Place:
    """Where the customer is established or lives, as the address says."""

    country: str
    region: str = ""
    postal_code: str = ""


@dataclass(frozen=True)
class Vat:
    """The rate is in basis points: 2100 is 21 %. ``country`` is the one that it is owed to; empty for none."""

    treatment: Treatment
    country: str
    rate_bp: int

    def of(self, net_cents: int) -> int:
        return rounded(net_cents * self.rate_bp, BASIS_POINTS)


@dataclass(frozen=True)
class Rate:
    """The standard rate of a country, or of a part of it with its own, from a day on, until the next one."""

    area: str
    rate_bp: int
    since: date


def _rate(area: str, percent: float, year: int, month: int = 1, day: int = 1) -> Rate:
    return Rate(area, round(percent * 100), date(year, month, day))


RATES = (
    _rate("AT", 20, 1984),
    _rate("AT-JUNGHOLZ", 19, 1996),
    _rate("BE", 21, 1996),
    _rate("BG", 20, 1999),
    _rate("CY", 19, 2014, 1, 13),
    _rate("CZ", 21, 2013),
    _rate("DE", 19, 2007),
    _rate("DE", 16, 2020, 7, 1),
    _rate("DE", 19, 2021),
    _rate("DK", 25, 1992),
    _rate("EE", 20, 2009, 7, 1),
    _rate("EE", 22, 2024),
    _rate("EE", 24, 2025, 7, 1),
    _rate("ES", 21, 2012, 9, 1),
    _rate("FI", 24, 2013),
    _rate("FI", 25.5, 2024, 9, 1),
    _rate("FR", 20, 2014),
    _rate("GR", 24, 2016, 6, 1),
    _rate("HR", 25, 2012, 3, 1),
    _rate("HU", 27, 2012),
    _rate("IE", 23, 2012),
    _rate("IE", 21, 2020, 9, 1),
    _rate("IE", 23, 2021, 3, 1),
    _rate("IT", 22, 2013, 10, 1),
    _rate("LT", 21, 2009, 9, 1),
    _rate("LU", 17, 2015),
    _rate("LU", 16, 2023),
    _rate("LU", 17, 2024),
    _rate("LV", 21, 2012, 7, 1),
    _rate("MT", 18, 2004),
    _rate("NL", 21, 2012, 10, 1),
    _rate("PL", 23, 2011),
    _rate("PT", 23, 2011),
    _rate("PT-AZORES", 18, 2014),
    _rate("PT-AZORES", 16, 2021, 7, 1),
    _rate("PT-MADEIRA", 22, 2012, 4, 1),
    _rate("RO", 19, 2017),
    _rate("RO", 21, 2025, 8, 1),
    _rate("SE", 25, 1990, 7, 1),
    _rate("SI", 22, 2013, 7, 1),
    _rate("SK", 20, 2011),
    _rate("SK", 23, 2025),
)
MEMBERS = frozenset(rate.area for rate in RATES if "-" not in rate.area)
AS_ANOTHER = {"MC": "FR", "EL": "GR"}
"""Monaco belongs to the French territory; EL is how VAT ids name Greece."""

OUTSIDE_BY_REGION = frozenset(
    {"ES-35", "ES-38", "ES-GC", "ES-TF", "ES-CN", "ES-CE", "ES-ML", "FI-01", "GR-69", "EL-69"}
)
OUTSIDE_BY_POSTAL_CODE = {
    "ES": ("35", "38", "51", "52"),  # Canaries, Ceuta, Melilla
    "FI": ("22",),  # Åland
    "FR": ("971", "972", "973", "974", "975", "976", "977", "978", "984", "986", "987", "988"),  # overseas
    "DE": ("78266", "27498"),  # Büsingen, Heligoland
    "IT": ("23041", "23030", "22061", "22060"),  # Livigno, Campione d'Italia
    "GR": ("63086", "63087"),  # Mount Athos
}
OWN_RATE_BY_POSTAL_CODE = {
    "AT": (("AT-JUNGHOLZ", ("6691", "6991", "6992", "6993")),),
    "PT": (("PT-MADEIRA", ("90", "91", "92", "93", "94")), ("PT-AZORES", ("95", "96", "97", "98", "99"))),
}


def vat_on(
    place: Place, day: date, *, is_business: bool, is_vat_id_confirmed: bool, one_stop_shop: bool
) -> Vat:
    """What is owed on a service invoiced on a day. Only a confirmed id takes the VAT off an invoice within the EU."""
    country = country_of(place)
    if country is None:
        return Vat(Treatment.OUTSIDE, "", 0)
    if country == HOME:
        return Vat(Treatment.DOMESTIC, HOME, standard_rate(HOME, day))
    if is_business and is_vat_id_confirmed:
        return Vat(Treatment.REVERSE_CHARGE, country, 0)
    if one_stop_shop:
        return Vat(Treatment.DESTINATION, country, standard_rate(_area_of(country, place), day))
    return Vat(Treatment.DOMESTIC, HOME, standard_rate(HOME, day))


def country_of(place: Place) -> str | None:
    """The member state whose VAT territory it is; None outside of all of them."""
    country = AS_ANOTHER.get(place.country, place.country)
    if country not in MEMBERS or place.region.strip().upper() in OUTSIDE_BY_REGION:
        return None
    outside = OUTSIDE_BY_POSTAL_CODE.get(country, ())
    # An address in Monaco has a French postal code, and is not overseas.
    return None if place.country != "MC" and _digits(place).startswith(outside or ("-",)) else country


def standard_rate(area: str, day: date) -> int:
    """In basis points. A day before the table begins is a ``ValueError``: nothing was sold then."""
    known = [rate for rate in RATES if rate.area == area and rate.since <= day]
    if not known:
        raise ValueError(f"no standard rate of {area} is known on {day}")
    return max(known, key=lambda rate: rate.since).rate_bp


def rate_text(rate_bp: int) -> str:
    """``21`` or ``25.5``."""
    return f"{rate_bp / 100:g}"


def _area_of(country: str, place: Place) -> str:
    digits = _digits(place)
    for area, beginnings in OWN_RATE_BY_POSTAL_CODE.get(country, ()):
        if digits.startswith(beginnings):
            return area
    return country


def _digits(place: Place) -> str:
    """Of the postal code, without a country code before it: ``FI-22100`` and ``22 100`` are the same."""
    return "".join(letter for letter in place.postal_code if letter.isdigit())
