"""Which ways to pay there are here; each library is loaded only where its key is set."""

from __future__ import annotations

from functools import lru_cache

from cryocloud.web.configuration import Configuration, configuration
from cryocloud.web.payments.models import ProviderName
from cryocloud.web.payments.providers.base import Provider


def offered() -> tuple[ProviderName, ...]:
    """Bank transfer always, and the providers that the operator has an account with."""
    site = configuration()
    keys = {ProviderName.STRIPE: site.stripe_key, ProviderName.MOLLIE: site.mollie_key}
    return (ProviderName.MANUAL, *(name for name, key in keys.items() if key))


def online(name: str) -> Provider:
    """The provider of that name; one whose key is gone cannot be asked any more."""
    return _made(ProviderName(name), configuration())


@lru_cache(maxsize=8)
def _made(name: ProviderName, site: Configuration) -> Provider:
    if name == ProviderName.STRIPE:
        from cryocloud.web.payments.providers.stripe import Stripe

        return Stripe(site.stripe_key, site.stripe_webhook_secret, site.stripe_url)
    if name == ProviderName.MOLLIE:
        from cryocloud.web.payments.providers.mollie import Mollie

        return Mollie(site.mollie_key, site.mollie_url, site.mollie_reports_token)
    raise ValueError(f"{name} takes no money by itself")
