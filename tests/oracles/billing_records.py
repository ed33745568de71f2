"""What the oracle keeps of plans, contracts and papers."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracles.billing_calendar import month_after

MONTHS = {"monthly": 1, "yearly": 12}


@dataclass(frozen=True)
class Terms:
    """A plan; rates are cents for a slot's hour, and for 10^12 bytes kept 720 hours. None: it stops there."""

    code: str
    monthly: int
    yearly: int | None
    compute_s: int
    storage_bytes: int
    compute_rate: int | None
    storage_rate: int | None

    def price(self, interval: str) -> int:
        cents = self.monthly if interval == "monthly" else self.yearly
        assert cents is not None
        return cents


@dataclass
class Document:
    """An invoice, or with ``of`` a credit note of that one. ``paid_at`` and so on tell of its payment."""

    lines: tuple[tuple[str, int], ...]
    net: int
    vat: int
    at: int
    due: int
    contract: int
    by_card: bool
    of: int | None = None
    paid_at: int | None = None
    first_failed_at: int | None = None
    failures: int = 0
    next_try_at: int | None = None
    credited_at: int | None = None

    @property
    def gross(self) -> int:
        return self.net + self.vat

    @property
    def is_open(self) -> bool:
        return self.of is None and self.gross > 0 and self.paid_at is None and self.credited_at is None


@dataclass
class Contract:
    """A subscription. ``stage``: ordered, running, ended, dropped."""

    number: int
    plan: Terms
    interval: str
    by_card: bool
    made_at: int
    stage: str = "ordered"
    anchor: int = 0
    month: int = 0
    paid_from: int = 0
    following: tuple[Terms, str] | None = None
    end_wished_at: int | None = None
    lapsed_at: int | None = None
    limit_cents: int = 0
    was_refunded: bool = False
    sent_back: int = 0
    review: str = ""

    def begins(self, month: int) -> int:
        return month_after(self.anchor, month)

    @property
    def month_end(self) -> int:
        return self.begins(self.month + 1)

    @property
    def period(self) -> tuple[int, int]:
        return self.begins(self.paid_from), self.begins(self.paid_from + MONTHS[self.interval])

    @property
    def is_last_month(self) -> bool:
        return self.month_end == self.period[1]


@dataclass
class Told:
    """All that came of a history."""

    states: list[tuple[str, int]] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    refunded: int = 0
    billed: list[int] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    included: list[tuple[int, int, int]] = field(default_factory=list)
