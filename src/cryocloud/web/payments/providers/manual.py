"""Bank transfer: what the customer writes on it. What has come in, statements of the bank tell."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

from cryocloud.web.billing.money import decimal
from cryocloud.web.payments.models import Payment
from cryocloud.web.payments.references import in_groups
from cryocloud.web.terms import CURRENCY, Seller, billing


@dataclass(frozen=True)
class Instructions:
    """Everything that a transfer needs; ``code`` is the text that banking apps read from a QR code (EPC069-12)."""

    name: str
    iban: str
    bic: str
    amount_cents: int
    reference: str
    due_at: datetime
    code: str

    @property
    def iban_words(self) -> str:
        return in_groups(self.iban)

    @property
    def reference_words(self) -> str:
        return in_groups(self.reference)


def instructions(payment: Payment) -> Instructions:
    terms = billing()
    if terms is None:
        raise RuntimeError("nothing is sold here, so nothing can be paid")
    seller = terms.seller
    return Instructions(
        name=seller.name,
        iban=seller.iban,
        bic=seller.bic,
        amount_cents=payment.missing_cents,
        reference=payment.reference,
        due_at=payment.invoice.due_at,
        code=_code(seller, payment.missing_cents, payment.reference),
    )


def _code(seller: Seller, amount_cents: int, reference: str) -> str:
    """Version 002 of the European Payments Council's code, for which the BIC may be left out."""
    amount = f"{CURRENCY}{decimal(amount_cents)}"
    return "\n".join(
        ("BCD", "002", "1", "SCT", seller.bic, seller.name[:70], seller.iban, amount, "", reference)
    )


def code_picture(code: str) -> str:
    """As an SVG document."""
    import qrcode
    from qrcode.image.svg import SvgPathImage

    drawn = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, border=4, image_factory=SvgPathImage)
    drawn.add_data(code)
    picture = io.BytesIO()
    drawn.make_image().save(picture)
    return picture.getvalue().decode()
