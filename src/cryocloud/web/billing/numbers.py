"""VAT ids and bank accounts as people type them, checked by their digits; what is wrong is said in a sentence."""

from __future__ import annotations

from cryocloud.web.billing.countries import COUNTRIES
from cryocloud.web.billing.vat import MEMBERS

GREECE, GREECE_IN_VAT_IDS = "GR", "EL"
FRANCE, MONACO = "FR", "MC"


class WrongNumber(Exception):
    """The message holds what was given and the remedy."""


def vat_id_of(text: str, *, country: str) -> str:
    """An id of a business in a member state as VIES knows it, such as ``EL094014201``; raises ``WrongNumber``."""
    from stdnum import exceptions
    from stdnum.eu import vat

    typed = "".join(letter for letter in text.upper() if letter.isalnum())
    prefix = prefix_of(country)
    if typed.startswith("XI"):
        raise WrongNumber(
            f"{typed} is an id of Northern Ireland, which holds for goods only; leave it out for a service"
        )
    given = GREECE_IN_VAT_IDS if typed[:2] == GREECE else typed[:2]
    if given.isalpha() and given != prefix and (given in MEMBERS or given == GREECE_IN_VAT_IDS):
        raise WrongNumber(
            f"{typed} begins with {given}, and the address is in {COUNTRIES[country]}, whose ids begin with {prefix}; "
            "give the id of the business at that address"
        )
    bare = typed[2:] if given == prefix else typed
    try:
        found = vat.validate(prefix + bare)
    except exceptions.ValidationError as error:
        example = "NL123456782B90" if country == "NL" else f"{prefix} and its digits"
        raise WrongNumber(
            f"{typed} is no VAT id for {COUNTRIES[country]}: {_reason(error)}. Look at one of your own invoices; "
            f"it reads {example}"
        ) from error
    return prefix + found[2:]


def prefix_of(country: str) -> str:
    """With which letters the VAT ids of a member state begin; Monaco's businesses have French ones."""
    return {GREECE: GREECE_IN_VAT_IDS, MONACO: FRANCE}.get(country, country)


def iban_of(text: str) -> str:
    """Without spaces; raises ``WrongNumber``."""
    from stdnum import exceptions, iban

    typed = "".join(text.split()).upper()
    try:
        return str(iban.validate(typed))
    except exceptions.ValidationError as error:
        raise WrongNumber(
            f"{typed} is no IBAN: {_reason(error)}. It stands on your bank card or statement, such as "
            "NL91 ABNA 0417 1643 00"
        ) from error


def _reason(error: Exception) -> str:
    from stdnum import exceptions

    if isinstance(error, exceptions.InvalidChecksum):
        return "its check digits do not fit, so a digit is wrong or two are swapped"
    if isinstance(error, exceptions.InvalidLength):
        return "it has too many or too few characters"
    return "it is not built like one"
