"""References that people copy into a transfer, and account numbers: their check digits catch a slip of the pen."""

from __future__ import annotations

import re
import secrets

_DIGITS = 16
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CREDITOR_REFERENCE = re.compile(rf"RF[0-9]{{{2 + _DIGITS}}}")


def new_reference() -> str:
    """A creditor reference (ISO 11649) that banks check: RF, two check digits, 16 digits."""
    body = "".join(secrets.choice("0123456789") for _ in range(_DIGITS))
    return f"RF{98 - _remainder(f'{body}RF00'):02d}{body}"


def references_in(text: str) -> list[str]:
    """All valid references in what somebody wrote, however they spaced it."""
    packed = re.sub(r"[\s./-]+", "", text.upper())
    return [found for found in _CREDITOR_REFERENCE.findall(packed) if is_checked(found)]


def is_iban(text: str) -> bool:
    return bool(_IBAN.fullmatch(text)) and is_checked(text)


def is_checked(text: str) -> bool:
    """Whether the check digits at the third and fourth place fit (ISO 7064, MOD 97-10)."""
    return _remainder(text[4:] + text[:4]) == 1


def packed(text: str) -> str:
    return re.sub(r"\s+", "", text).upper()


def in_groups(text: str) -> str:
    """In fours, as account numbers and references are printed."""
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _remainder(text: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in text)) % 97
