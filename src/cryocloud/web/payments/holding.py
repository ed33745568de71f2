"""Locks, always in the same order: the organization before its payments, as all that changes its plan takes them."""

from __future__ import annotations

from cryocloud.web.organizations.models import Organization
from cryocloud.web.payments.models import Payment


def hold_payment(payment_id: str) -> Payment:
    """The payment as it is now, under both locks."""
    organization_id = Payment.unscoped.values_list("organization_id", flat=True).get(pk=payment_id)
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    held = Payment.unscoped.select_for_update(no_key=True, of=("self",))
    return held.select_related("invoice", "organization").get(pk=payment_id)
