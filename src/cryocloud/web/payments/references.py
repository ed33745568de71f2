"""References that people copy into a transfer (ISO 11649): their check digits catch a slip of the pen."""

from __future__ import annotations

import re
import secrets

_DIGITS = 16
_CREDITOR_REFERENCE = re.compile(rf"RF[0-9]{{{2 + _DIGITS}}}")


def new_reference() -> str:
    """One that banks check: RF, two check digits, 16 digits."""
    from stdnum.iso7064.mod_97_10 import calc_check_digits

    body = "".join(secrets.choice("0123456789") for _ in range(_DIGITS))
    return f"RF{calc_check_digits(f'{body}RF')}{body}"


def references_in(text: str) -> list[str]:
    """All valid references in what somebody wrote, however they spaced it."""
    from stdnum.iso11649 import is_valid

    bare = re.sub(r"[\s./-]+", "", text.upper())
    return [found for found in _CREDITOR_REFERENCE.findall(bare) if is_valid(found)]


def packed(text: str) -> str:
    return re.sub(r"\s+", "", text).upper()


def in_groups(text: str) -> str:
    """In fours, as account numbers and references are printed."""
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
