"""The VAT engine against a table whose expectations are written down here by hand, not asked of the engine."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product

import pytest

from cryocloud.web.billing.vat import Place, vat_on

# Country and postal code, then the standard rate with the days on which it changed.
UNION = """
AT 1010 20 | BE 1000 21 | BG 1000 20 | CY 1010 19 | CZ 11000 21 | DE 10115 19 2020-07-01 16 2021-01-01 19 | DK 1050 25
EE 10111 20 2024-01-01 22 2025-07-01 24 | ES 28001 21 | FI 00100 24 2024-09-01 25.5 | FR 75001 20 | GR 10431 24
HR 10000 25 | HU 1011 27 | IE D02AF30 23 2020-09-01 21 2021-03-01 23 | IT 00184 22 | LT 01103 21
LU 1111 17 2023-01-01 16 2024-01-01 17 | LV 1010 21 | MT VLT1010 18 | PL 00-001 23 | PT 1100-148 23
RO 010011 19 2025-08-01 21 | SE 11120 25 | SI 1000 22 | SK 81101 20 2025-01-01 23
AT 6691 19 | AT 6993 19 | PT 9000-001 22 | PT 9500-150 18 2021-07-01 16 | MC 98000 20 | EL 10431 24 | ES 07001 21
FR 20000 20 | FR 97 20 | IT 23030x 22 | FI 02200 24 2024-09-01 25.5 | DE 78267 19 2020-07-01 16 2021-01-01 19
"""
# Parts of member states in which no EU VAT is due on services, and countries that are no members.
OUTSIDE = """
ES 35001 | ES 38001 | ES 51001 | ES 52001 | FI 22100 | FI FI-22100 | FR 97110 | FR 97200 | FR 97300 | FR 97400
FR 97600 | FR 97500 | FR 98800 | DE 78266 | DE 27498 | IT 23041 | GR 63086 | GR 630 86 | EL 63086 | AX 22100 | GP 97110
GB BT1 5GS | XI BT1 5GS | GB SW1A | CH 3000 | NO 0150 | US 20500 | IM IM1 | JE JE2 | GG GY1 | GI GX11 | SM 47890
VA 00120 | LI 9490 | IS 101 | TR 06000 | UA 01001 | RS 11000 | JP 100 | AU 2600 | CA K1A | BR 70150 | IN 110001
CN 100000 | IC 35001 | EA 51001 | RE 97400 | MQ 97200 | GF 97300 | YT 97600 | NC 98800 | GL 3900 | FO 100
"""
LAST_DAY = date(2026, 12, 31)
Row = tuple[Place, date, bool, bool, bool, tuple[str, float]]


def _entries(text: str) -> list[list[str]]:
    return [entry.split() for line in text.strip().splitlines() for entry in line.split("|")]


def _days_and_rates(told: list[str]) -> list[tuple[date, float]]:
    """Days on which a rate is tried: around each change, the year's ends and a leap day."""
    tried = [(date(2020, 1, 2), float(told[0]))]
    rate = float(told[0])
    for since, following in zip(told[1::2], told[2::2], strict=True):
        day = date.fromisoformat(since)
        tried += [(day - timedelta(days=1), rate), (day, float(following))]
        rate = float(following)
    return [*tried, (date(2026, 1, 1), rate), (LAST_DAY, rate)]


def _rows() -> list[Row]:
    rows: list[Row] = []
    for country, postal_code, *told in _entries(UNION):
        place = Place(country, "", postal_code.rstrip("x") if postal_code != "23030x" else "23100")
        for day, rate in _days_and_rates(told):
            rows += [
                (place, day, False, False, False, ("domestic", 21)),
                (place, day, False, False, True, ("destination", rate)),
                (place, day, True, False, False, ("domestic", 21)),
                (place, day, True, False, True, ("destination", rate)),
                (place, day, True, True, True, ("reverse_charge", 0)),
                (place, day, True, True, False, ("reverse_charge", 0)),
                # A private person with an id that somebody confirmed is still a private person.
                (place, day, False, True, False, ("domestic", 21)),
            ]
    return rows


def _rows_without_choice() -> list[Row]:
    """Where neither the customer's kind nor the seller's scheme matters."""
    everywhere = [(Place("ES", region), ("outside", 0.0)) for region in ("ES-35", "ES-38", "es-ce")]
    everywhere += [
        (Place(country, "", " ".join(code)), ("outside", 0.0)) for country, *code in _entries(OUTSIDE)
    ]
    everywhere.append((Place("NL", "", "3512 JE"), ("domestic", 21.0)))
    days = (date(2024, 2, 29), date(2025, 12, 31), date(2026, 1, 1))
    choices = list(product((True, False), repeat=3))
    return [(place, day, *choice, told) for place, told in everywhere for day in days for choice in choices]


ROWS = [*_rows(), *_rows_without_choice()]


def test_the_table_is_as_long_as_promised() -> None:
    assert len(ROWS) >= 400
    assert len({row[:5] for row in ROWS}) == len(ROWS)


@pytest.mark.requirement("BIL-04")
def test_each_row_of_the_table() -> None:
    wrong = []
    for place, day, business, confirmed, shop, (treatment, percent) in ROWS:
        found = vat_on(place, day, is_business=business, is_vat_id_confirmed=confirmed, one_stop_shop=shop)
        if (found.treatment, found.rate_bp) != (treatment, round(percent * 100)):
            wrong.append((place, day, business, confirmed, shop, treatment, percent, found))
    assert wrong == []


@pytest.mark.parametrize(
    ("net_cents", "percent", "vat_cents"),
    [
        (49_000, 21, 10_290),
        (50, 21, 11),
        (-50, 21, -11),
        (2, 25, 1),
        (-2, 25, -1),
        (1, 21, 0),
        (200, 25.5, 51),
        (100, 25.5, 26),
    ],
)
def test_vat_is_rounded_half_away_from_zero(net_cents: int, percent: float, vat_cents: int) -> None:
    countries = {21: "LV", 25: "SE", 25.5: "FI"}
    found = vat_on(
        Place(countries[percent]), LAST_DAY, is_business=False, is_vat_id_confirmed=False, one_stop_shop=True
    )
    assert found.of(net_cents) == vat_cents
