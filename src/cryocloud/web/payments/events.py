"""Messages of providers: each is acted on once, and what it says is looked up, so that their order does not matter."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from django.db import transaction
from django_tasks import task

from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.tasks import CALLING, is_waiting
from cryocloud.web.payments import charging, method_changes, refunds
from cryocloud.web.payments.models import Charge, MethodChange, ProviderEvent, ProviderName, Refund
from cryocloud.web.payments.providers import offered, online
from cryocloud.web.payments.providers.base import Event, ProviderDown

SETTLED_WITHIN = timedelta(minutes=1)


def receive_event(provider: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Keep a message and have the worker act on it. Raises ``ForgedEvent``; then nothing is written."""
    if provider == ProviderName.MANUAL or provider not in offered():
        raise NotFound
    event = online(provider).read_event(body, headers)
    with transaction.atomic():
        row = _keep(provider, event)
        if row is not None and not is_waiting(act_on_event, row.pk):
            act_on_event.enqueue(row.pk)
        crash_point("webhook:before-commit")
    crash_point("webhook:after-commit")


def _keep(provider: str, event: Event) -> ProviderEvent | None:
    """The row to act on. Mollie tells the same id at every change: of what is ours, it is looked up again.

    Its messages are unsigned. An id that nobody here has been told leaves nothing behind and nothing to be asked; where
    only the answer to our own order is missing, the clock asks within a minute.
    """
    said = {"kind": event.kind[:80], "subject": event.subject}
    if provider == ProviderName.MOLLIE:
        if not any(
            model.unscoped.filter(provider=provider, reference=event.subject).exists()
            for model in (Charge, MethodChange)
        ):
            return None
        changed = {"received_at": now(), "settled_at": None}
        row, _ = ProviderEvent.objects.update_or_create(
            provider=provider, event_id=event.event_id, defaults=changed, create_defaults=said
        )
        return row
    row, is_new = ProviderEvent.objects.get_or_create(
        provider=provider, event_id=event.event_id, defaults=said
    )
    return row if is_new else None


@task(priority=CALLING)
def act_on_event(event_id: int) -> None:
    """A provider that is down is asked again by the clock, for as long as it takes."""
    with suppress(ProviderDown):
        act_on(event_id)


def act_on(event_id: int) -> None:
    event = ProviderEvent.objects.get(pk=event_id)
    if event.settled_at is not None:
        return
    order_id = online(event.provider).order_of(event.subject)
    crash_point("webhook:looked-up")
    charge = Charge.unscoped.filter(pk=order_id, provider=event.provider).first()
    if charge is not None:
        charging.follow(charge.pk)
        for refund in charge.refunds.filter(state__in=Refund.UNDER_WAY):
            refunds.carry_out(refund.pk)
    change = MethodChange.unscoped.filter(pk=order_id, provider=event.provider).first()
    if change is not None:
        method_changes.follow(change.pk)
    # A message that came meanwhile has written a later moment, and is acted on again.
    unchanged = ProviderEvent.objects.filter(pk=event_id, received_at=event.received_at)
    unchanged.update(settled_at=now())
    crash_point("webhook:settled")
