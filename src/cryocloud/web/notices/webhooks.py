"""Setting up the webhook of an organization; its owners and admins do."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.errors import Conflict, NotFound
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.core.sealed import seal
from cryocloud.web.notices.calls import SEALED_FOR, SECRET_PREFIX, order_call
from cryocloud.web.notices.models import Call, Webhook
from cryocloud.web.notices.outward import check_url
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization


def webhook_of(actor: Actor, organization: Organization) -> Webhook | None:
    access.require_governor(actor, organization.pk)
    return Webhook.unscoped.select_related("organization").filter(organization=organization).first()


def get_webhook(actor: Actor, organization: Organization) -> Webhook:
    found = webhook_of(actor, organization)
    if found is None:
        raise NotFound
    return found


def calls_of(webhook: Webhook) -> QuerySet[Call]:
    """Newest first; the caller got the webhook through the door."""
    return Call.unscoped.filter(webhook=webhook).select_related("occasion").order_by("-created_at", "-pk")


def set_webhook(*, actor: Actor, organization: Organization, url: str) -> tuple[Webhook, str]:
    """Give it an address; the secret of a new one is told this once, of one that was there it stays and is not told."""
    access.require_governor(actor, organization.pk, purpose=access.Purpose.ADD)
    spend("webhook", organization.pk, amount=60, window_s=3600)
    checked = check_url(url)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        found = Webhook.unscoped.filter(organization=organization).first()
        secret = "" if found else _new_secret()
        webhook = found or Webhook(organization=organization, sealed_secret=seal(SEALED_FOR, secret))
        webhook.url, webhook.is_on, webhook.failing_since = checked, True, None
        webhook.save()
        _record(actor, "webhook.set", webhook)
    return webhook, secret


@transaction.atomic
def renew_secret(*, actor: Actor, webhook: Webhook) -> str:
    """A new secret, told this once; the old one signs nothing from now on."""
    access.require_governor(actor, webhook.organization_id, purpose=access.Purpose.ADD)
    secret = _new_secret()
    Webhook.unscoped.filter(pk=webhook.pk).update(sealed_secret=seal(SEALED_FOR, secret))
    _record(actor, "webhook.secret_renewed", webhook)
    return secret


@transaction.atomic
def switch_webhook(*, actor: Actor, webhook: Webhook, on: bool) -> None:
    """What happens while it is off is not told later."""
    purpose = access.Purpose.ADD if on else access.Purpose.GOVERN
    access.require_governor(actor, webhook.organization_id, purpose=purpose)
    Webhook.unscoped.filter(pk=webhook.pk).update(is_on=on, failing_since=None)
    _record(actor, "webhook.switched_on" if on else "webhook.switched_off", webhook)


@transaction.atomic
def remove_webhook(*, actor: Actor, webhook: Webhook) -> None:
    access.require_governor(actor, webhook.organization_id)
    _record(actor, "webhook.removed", webhook)
    webhook.delete()


@transaction.atomic
def send_test(*, actor: Actor, webhook: Webhook) -> Call:
    access.require_governor(actor, webhook.organization_id)
    if not webhook.is_on:
        raise Conflict("The webhook is switched off. Switch it on, then send a test.")
    spend("webhook", webhook.organization_id, amount=60, window_s=3600)
    return order_call(webhook, None)


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _record(actor: Actor, verb: str, webhook: Webhook, **detail: Any) -> None:
    """Without the address: it may hold a secret of the receiver."""
    record_event(
        verb,
        organization_id=webhook.organization_id,
        target=webhook,
        actor_id=actor.user.pk,
        via=actor.via,
        **detail,
    )
