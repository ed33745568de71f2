"""Money is whole cents; what does not come out even is rounded once, half away from zero."""

from __future__ import annotations

from cryocloud.web.terms import CURRENCY


def rounded(numerator: int, denominator: int) -> int:
    """The nearest integer to a quotient; a tie goes away from zero. The denominator is positive."""
    if denominator <= 0:
        raise ValueError(f"a denominator must be positive, this is {denominator}")
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


def spoken(cents: int) -> str:
    """An amount for people: ``1,234.50 EUR``."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100:,}.{abs(cents) % 100:02d} {CURRENCY}"


def decimal(cents: int) -> str:
    """An amount for machines: ``1234.50``."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
