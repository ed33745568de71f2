"""What is sold, by whom and for how much: one typed file that enforces, bills and feeds the public pages.

The operator names a TOML file in ``CRYOCLOUD_BILLING``. Money is in whole cents without VAT; a plan's rates are cents
for one hour of one slot and for 10^12 bytes kept for 30 days. Without the file nothing is sold, and no page offers it.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cryocloud.web.configuration import PREFIX, ConfigurationError, configuration

CURRENCY = "EUR"
CODE = r"^[a-z][a-z0-9-]{0,38}$"


class Terms(BaseModel):
    """Shared by all parts of the file: nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Seller(Terms):
    """Who issues the invoices. ``series`` begins each invoice number and must never change within a year."""

    name: str = Field(min_length=1, max_length=200)
    street: str = Field(min_length=1, max_length=200)
    postal_code: str = Field(min_length=1, max_length=20)
    city: str = Field(min_length=1, max_length=100)
    country: str = Field(pattern="^[A-Z]{2}$")
    vat_id: str = Field(min_length=4, max_length=20)
    registration_id: str = Field(min_length=1, max_length=40, description="Number in the trade register")
    iban: str = Field(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$")
    bic: str = Field("", pattern=r"^([A-Z0-9]{8}([A-Z0-9]{3})?)?$")
    email: str = Field(pattern=r"^[^@\s<>\"]+@[^@\s<>\"]+$")
    series: str = Field("CC", pattern="^[A-Z]{1,6}$")


class Plan(Terms):
    """Something to subscribe to. What a month includes counts from the day of the month on which it began.

    Where a rate is None, work stops at what is included; else it goes on up to the limit that the owner has set.
    """

    code: str = Field(pattern=CODE)
    name: str = Field(min_length=1, max_length=60)
    monthly_cents: int = Field(ge=0, le=10**9)
    yearly_cents: int | None = Field(None, ge=0, le=10**9)
    compute_hours: int = Field(ge=0, le=10**6)
    storage_bytes: int = Field(ge=0, le=10**18)
    files: int | None = Field(None, ge=0)
    slots: int | None = Field(None, ge=1, le=1024, description="Attempts at the same time")
    compute_cents_an_hour: int | None = Field(None, ge=0, le=10**6)
    storage_cents_a_terabyte_month: int | None = Field(None, ge=0, le=10**6)
    is_offered: bool = Field(True, description="Whether it can be chosen; who has it keeps it either way")


class Billing(Terms):
    """The whole file."""

    seller: Seller
    plans: tuple[Plan, ...] = Field(min_length=1)
    due_days: int = Field(14, ge=1, le=90, description="Days in which an invoice is to be paid by transfer")
    retry_days: tuple[int, ...] = Field((1, 3, 5, 7), description="Days after which a payment is tried again")
    reminder_days: tuple[int, ...] = Field((1, 7, 14, 28), description="Days after the due day of a reminder")
    one_stop_shop: bool = Field(
        False,
        description="Consumers elsewhere in the EU pay the VAT of their country (above 10,000 EUR a year)",
    )
    vat_register: str = Field(
        "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number",
        max_length=500,
        description="Where VAT ids of customers are asked about (VIES)",
    )

    @model_validator(mode="after")
    def _codes_differ(self) -> Billing:
        codes = [plan.code for plan in self.plans]
        twice = next((code for code in codes if codes.count(code) > 1), None)
        if twice:
            raise ValueError(f"two plans have the code {twice!r}")
        return self

    def plan(self, code: str) -> Plan | None:
        return next((plan for plan in self.plans if plan.code == code), None)

    @property
    def offered(self) -> tuple[Plan, ...]:
        return tuple(plan for plan in self.plans if plan.is_offered)


def billing() -> Billing | None:
    """The terms of this platform, or None where nothing is sold."""
    path = configuration().billing
    return None if path is None else _read(path)


@lru_cache(maxsize=8)
def _read(path: Path) -> Billing:
    """The file as it was when it was first asked for: prices change with a restart, not in the middle of a request."""
    try:
        return Billing.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{PREFIX}BILLING: {path}: {place}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{PREFIX}BILLING: {path} cannot be read: {error}") from None
